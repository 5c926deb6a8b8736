//! Lists objects of S3 and Google Cloud Storage, and copies them into the cache of `objects`, which starts this program:
//! `fetch-objects fetch|list objects|folder URL CACHE`. It says what it does in lines of JSON ([`objects::Message`]).

mod copy;
mod failure;
mod listing;
mod store;

use std::io::{Read, Write};
use std::path::Path;
use std::process::ExitCode;

use objects::{Cache, Message, Object, ObjectUrl};

use crate::failure::Failure;
use crate::store::Store;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let [action @ ("fetch" | "list"), kind @ ("objects" | "folder"), url, cache] = arguments[..] else {
        eprintln!("error: expected fetch|list objects|folder URL CACHE; the stages start this program by themselves");
        return ExitCode::from(2);
    };
    std::thread::spawn(end_with_the_caller);
    let outcome = run((action == "fetch", kind == "folder"), url, &Cache::new(Path::new(cache)));
    let (message, code) = match outcome {
        Ok(objects) => (Message::Objects(objects), 0),
        Err(Failure::BadInput(line)) => (Message::BadInput(line), 3),
        Err(Failure::Failed(line)) => (Message::Failed(line), 1),
    };
    say(&message);
    ExitCode::from(code)
}

/// Ends this process when the one that started it is gone, which holds its input open as long as it lives.
fn end_with_the_caller() {
    // Whatever ends the input ends the process.
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
    std::process::exit(1);
}

/// Tells the caller.
fn say(message: &Message) {
    let line = serde_json::to_string(message).unwrap_or_default();
    let mut stdout = std::io::stdout().lock();
    // A caller that no longer listens ends this process, see above.
    let _ = writeln!(stdout, "{line}").and_then(|()| stdout.flush());
}

fn run((fetches, is_folder): (bool, bool), url: &str, cache: &Cache) -> Result<Vec<Object>, Failure> {
    let url = ObjectUrl::parse(url).map_err(|error| Failure::BadInput(error.to_string()))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.map_err(|cause| Failure::Failed(format!("{url}: {cause}")))?;
    runtime.block_on(async {
        let store = Store::open(&url).await?;
        let found =
            if is_folder { listing::folder(&store, &url).await? } else { listing::objects(&store, &url).await? };
        if fetches {
            copy::missing(&store, cache, &found).await?;
            if is_folder && !found.is_empty() {
                let keys: Vec<&str> = found.iter().map(|object| object.url.key.as_str()).collect();
                cache.keep_only(&url, &keys).map_err(|error| Failure::of_disk(&error))?;
            }
        }
        let object = |found: &listing::Found| Object {
            key: found.url.key.clone(),
            bytes: found.version.bytes,
            is_cached: cache.has(&found.url, &found.version),
        };
        Ok(found.iter().map(object).collect())
    })
}
