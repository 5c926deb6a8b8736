//! Copying objects into the cache: several requests on the way, one writer, and pieces that a kill does not undo.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

use futures_util::{StreamExt, stream};
use object_store::{GetOptions, GetRange, ObjectStore};
use objects::{Cache, Message};

use crate::failure::Failure;
use crate::listing::Found;
use crate::say;
use crate::store::Store;

/// Bytes of a request: what is in memory for each, and what a kill undoes of those that were answered.
const PIECE: u64 = 16 << 20;
/// Requests on the way.
const REQUESTS: usize = 8;

/// A piece of an object.
#[derive(Debug, Clone)]
struct Piece<'a> {
    found: &'a Found,
    range: Range<u64>,
}

/// Copies the objects that the cache does not have.
pub(crate) async fn missing(store: &Store, cache: &Cache, found: &[Found]) -> Result<(), Failure> {
    let is_missing = |found: &&Found| !cache.has(&found.url, &found.version);
    if !found.iter().any(|found| is_missing(&found)) {
        return Ok(());
    }
    let _lock = lock(cache).map_err(|cause| Failure::of_io(cache.folder(), "locking", &cause))?;
    // Another process may have fetched some meanwhile.
    let missing: Vec<&Found> = found.iter().filter(is_missing).collect();
    let pieces: Vec<Piece> = missing.iter().flat_map(|found| pieces(cache, found)).collect();
    let bytes = pieces.iter().map(|piece| piece.range.end - piece.range.start).sum();
    say(&Message::Plan { objects: missing.len(), bytes });
    let contents = stream::iter(pieces).map(|piece| async move {
        let content = read(store, &piece).await?;
        Ok::<_, Failure>((piece, content))
    });
    // In order, so that each object is written from its beginning.
    let mut contents = contents.buffered(REQUESTS);
    let mut begun: Option<Partial> = None;
    while let Some(content) = contents.next().await {
        let (Piece { found, range }, content) = content?;
        let path = Partial::path(cache, found);
        let failed = |cause: io::Error| Failure::of_io(&path, "writing", &cause);
        let opened = begun.take().map_or_else(|| Partial::open(&path, range.start), Ok);
        let mut partial = opened.map_err(failed)?;
        let is_whole = range.end == found.version.bytes;
        partial.add(&content, (!is_whole).then_some(range.end)).map_err(failed)?;
        say(&Message::Stored(range.end - range.start));
        if is_whole {
            cache.take(&path, &found.url, &found.version).map_err(|error| Failure::of_disk(&error))?;
        } else {
            begun = Some(partial);
        }
    }
    // With what interrupted runs left of objects that have changed since; what cannot be removed does no harm.
    let _ = fs::remove_dir_all(cache.folder().join("partial"));
    Ok(())
}

/// Holds the cache for this process; `say`s so where it waits for another one.
fn lock(cache: &Cache) -> io::Result<File> {
    fs::create_dir_all(cache.folder())?;
    let file = File::create(cache.folder().join("lock"))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            say(&Message::Waiting);
            file.lock().map(|()| file)
        }
        Err(TryLockError::Error(cause)) => Err(cause),
    }
}

/// What is left to be read of an object; of one that is empty or was only to be put in its place, an empty piece.
fn pieces<'a>(cache: &Cache, found: &'a Found) -> impl Iterator<Item = Piece<'a>> + use<'a> {
    let (kept, bytes) = (Partial::kept(&Partial::path(cache, found)), found.version.bytes);
    let start = if kept <= bytes { kept } else { 0 };
    let count = (bytes - start).div_ceil(PIECE).max(1);
    (0..count).map(move |number| {
        let from = start + number * PIECE;
        Piece { found, range: from..(from + PIECE).min(bytes) }
    })
}

async fn read(store: &Store, piece: &Piece<'_>) -> Result<Vec<u8>, Failure> {
    let Piece { found, range } = piece;
    if range.is_empty() {
        return Ok(Vec::new());
    }
    // Of the version that was listed, so that no copy is made of two.
    let options = GetOptions {
        range: Some(GetRange::Bounded(range.clone())),
        if_match: found.e_tag.clone(),
        ..GetOptions::default()
    };
    let answer = async { store.client.get_opts(&found.location, options).await?.bytes().await };
    let content = answer.await.map_err(|error| store.failure(&found.url, &error))?;
    let (expected, read) = (range.end - range.start, content.len() as u64);
    if expected != read {
        let url = &found.url;
        return Err(Failure::Failed(format!("{url}: expected {expected} bytes from {}, found {read}", range.start)));
    }
    Ok(content.into())
}

/// A copy on its way.
struct Partial {
    path: PathBuf,
    file: File,
}

impl Partial {
    /// The place of a copy of one version of an object.
    fn path(cache: &Cache, found: &Found) -> PathBuf {
        let name = files::sha256(format!("{}\n{}", found.url, found.version.tag).as_bytes());
        cache.folder().join("partial").join(&name[..32])
    }

    /// Bytes of a copy that are on disk for certain: as many as were noted after they had been flushed.
    fn kept(path: &Path) -> u64 {
        let noted = fs::read_to_string(path.with_extension("kept")).ok().and_then(|text| text.parse().ok());
        let length = fs::metadata(path).map(|file| file.len());
        noted.filter(|noted| length.is_ok_and(|length| *noted <= length)).unwrap_or(0)
    }

    fn open(path: &Path, kept: u64) -> io::Result<Partial> {
        fs::create_dir_all(path.parent().unwrap_or(path))?;
        let mut file = OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
        file.set_len(kept)?;
        file.seek(SeekFrom::End(0))?;
        Ok(Partial { path: path.to_path_buf(), file })
    }

    /// Adds a piece, and notes the length of the copy where it is not whole yet.
    fn add(&mut self, content: &[u8], kept: Option<u64>) -> io::Result<()> {
        self.file.write_all(content)?;
        self.file.sync_data()?;
        let Some(kept) = kept else { return Ok(()) };
        let noted = files::write_atomically(&self.path.with_extension("kept"), kept.to_string().as_bytes());
        noted.map_err(|error| error.cause)
    }
}
