//! The call of `fetch-objects`.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;

use crate::{Cache, Error, Message, Object, ObjectUrl};

/// The program that reads object stores.
const PROGRAM: &str = "fetch-objects";

/// What is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fetch<'a> {
    /// The object of a URL, or those that match its wildcards.
    Objects(&'a str),
    /// All objects below a URL.
    Folder(&'a str),
}

/// An object that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Where its copy lies, or will lie.
    pub file: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// True if the copy is there, as the object is in the store.
    pub is_cached: bool,
}

/// What was fetched by this process: all its parts read the same state of the store.
static FETCHED: Mutex<Option<HashMap<String, Vec<Found>>>> = Mutex::new(None);

/// Fetches the objects that the cache does not have, and returns all that were asked for, sorted by key; none where nothing
/// matches. `said` is told what `fetch-objects` says on the way. What this process fetched before is not looked at again.
///
/// # Errors
/// [`Error`].
pub fn fetch(what: Fetch<'_>, said: &mut dyn FnMut(&Message)) -> Result<Vec<Found>, Error> {
    let name = format!("{what:?}");
    let known = |fetched: &mut Option<HashMap<String, Vec<Found>>>| fetched.get_or_insert_default().get(&name).cloned();
    if let Ok(Some(found)) = FETCHED.lock().map(|mut fetched| known(&mut fetched)) {
        return Ok(found);
    }
    let found = call("fetch", what, said)?;
    if let Ok(mut fetched) = FETCHED.lock() {
        fetched.get_or_insert_default().insert(name, found.clone());
    }
    Ok(found)
}

/// What [`fetch`] would return; nothing is fetched.
///
/// # Errors
/// [`Error`].
pub fn list(what: Fetch<'_>) -> Result<Vec<Found>, Error> {
    call("list", what, &mut |_| {})
}

fn call(action: &str, what: Fetch<'_>, said: &mut dyn FnMut(&Message)) -> Result<Vec<Found>, Error> {
    let (kind, text) = match what {
        Fetch::Objects(url) => ("objects", url),
        Fetch::Folder(url) => ("folder", url),
    };
    let (url, cache) = (ObjectUrl::parse(text)?, Cache::from_env());
    let program = std::env::current_exe().unwrap_or_default().with_file_name(PROGRAM);
    if !program.is_file() {
        return Err(Error::NoProgram { url: text.to_string(), program });
    }
    let failed = |cause: &str| Error::Failed(format!("{url}: {}: {cause}", program.display()));
    let mut command = Command::new(&program);
    command.args([action, kind, &url.to_string()]).arg(cache.folder());
    // It ends when the input that we hold is closed, so that a kill of this process ends both.
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut process = command.spawn().map_err(|cause| failed(&cause.to_string()))?;
    let end = listen(&mut process, said);
    let mut complaint = String::new();
    // Without a complaint, the status tells what happened.
    let _ = process.stderr.take().map(|mut stderr| stderr.read_to_string(&mut complaint));
    let status = process.wait().map_err(|cause| failed(&cause.to_string()))?;
    let found = |Object { key, bytes, is_cached }| Found { file: cache.file(&url.with_key(&key)), bytes, is_cached };
    match end {
        Some(Message::Objects(objects)) => Ok(objects.into_iter().map(found).collect()),
        Some(Message::BadInput(line)) => Err(Error::BadInput(line)),
        Some(Message::Failed(line)) => Err(Error::Failed(line)),
        _ => Err(failed(&format!("{status} {}", complaint.trim().replace('\n', " ")))),
    }
}

/// Passes on what the process says; returns its last message.
fn listen(process: &mut Child, said: &mut dyn FnMut(&Message)) -> Option<Message> {
    let mut last = None;
    for line in BufReader::new(process.stdout.take()?).lines().map_while(Result::ok) {
        let Ok(message) = serde_json::from_str(&line) else { continue };
        said(&message);
        last = Some(message);
    }
    last
}
