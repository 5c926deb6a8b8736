//! A server on this machine that answers as the Hugging Face Hub does.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The commit that every branch of the server's repositories is at.
pub(crate) const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// A server of one folder, under any name; it ends with the test's process.
#[derive(Debug)]
pub(crate) struct Hub {
    pub(crate) endpoint: String,
    requests: Arc<AtomicUsize>,
}

impl Hub {
    /// Serves the files of `folder`.
    pub(crate) fn serve(folder: &Path) -> Hub {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(AtomicUsize::new(0));
        let (folder, counter) = (folder.to_path_buf(), Arc::clone(&requests));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                counter.fetch_add(1, Ordering::SeqCst);
                // A client that hangs up early is its own affair.
                let _ = answer(stream.unwrap(), &folder);
            }
        });
        Hub { endpoint, requests }
    }

    /// Requests so far.
    pub(crate) fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

fn answer(mut stream: TcpStream, folder: &Path) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let request = lines.next().unwrap_or_else(|| Ok(String::new()))?;
    let target = request.split(' ').nth(1).unwrap_or_default().to_string();
    let mut range = None;
    for line in lines {
        let line = line?.to_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(bytes) = line.strip_prefix("range: bytes=") {
            let (first, last) = bytes.split_once('-').unwrap();
            range = Some((first.parse::<usize>().unwrap(), last.parse::<usize>().ok()));
        }
    }
    let content = content(&target, folder);
    let Some(content) = content else {
        return write!(stream, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    };
    let (first, last) = range.unwrap_or((0, None));
    let last = last.unwrap_or(content.len() - 1);
    write!(
        stream,
        "HTTP/1.1 206 Partial Content\r\nContent-Length: {}\r\nContent-Range: bytes {first}-{last}/{}\r\nETag: \"{}\"\r\n\
         X-Repo-Commit: {COMMIT}\r\nConnection: close\r\n\r\n",
        last + 1 - first,
        content.len(),
        files::sha256(&content),
    )?;
    stream.write_all(&content[first..=last])
}

/// What lies at a path: the list of files of `main`, or a file at the commit.
fn content(target: &str, folder: &Path) -> Option<Vec<u8>> {
    if target.starts_with("/api/models/") && target.ends_with("/revision/main") {
        let names = fs::read_dir(folder).ok()?.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let siblings: Vec<_> = names.map(|name| serde_json::json!({ "rfilename": name })).collect();
        return serde_json::to_vec(&serde_json::json!({ "siblings": siblings, "sha": COMMIT })).ok();
    }
    let (_, file) = target.split_once(&format!("/resolve/{COMMIT}/"))?;
    let path: PathBuf = folder.join(file);
    fs::read(path).ok()
}
