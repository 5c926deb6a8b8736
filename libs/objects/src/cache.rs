//! The cache: a folder of files laid out as the objects they are copies of.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::{ObjectUrl, is_url};

/// The environment variable that names the cache's folder.
const VARIABLE: &str = "DISRANKER_OBJECT_CACHE";

/// What tells one state of an object from another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// Size.
    pub bytes: u64,
    /// The entity tag that the store gives it, or, without one, the time it was written.
    pub tag: String,
}

/// The cache. `files/<scheme>/<bucket>/<key>` is an object's copy, `versions/<scheme>/<bucket>/<key>.json` its [`Version`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cache {
    folder: PathBuf,
}

impl Cache {
    /// The cache in a folder.
    #[must_use]
    pub fn new(folder: &Path) -> Cache {
        Cache { folder: folder.to_path_buf() }
    }

    /// The cache that the environment names: `DISRANKER_OBJECT_CACHE`, else `disranker/objects` in the user's folder of caches.
    #[must_use]
    pub fn from_env() -> Cache {
        let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let of_user = || set("XDG_CACHE_HOME").or_else(|| Some(set("HOME")?.join(".cache")));
        let folder = set(VARIABLE).or_else(|| Some(of_user()?.join("disranker/objects")));
        let folder = folder.unwrap_or_else(|| std::env::temp_dir().join("disranker-objects"));
        // Relative to where the program was started, however a file's path is written later.
        Cache { folder: std::path::absolute(&folder).unwrap_or(folder) }
    }

    /// Its folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where the copy of an object, or of a folder of objects, lies.
    #[must_use]
    pub fn file(&self, url: &ObjectUrl) -> PathBuf {
        self.below("files", url).join(&url.key)
    }

    /// As [`Cache::file`], of a path of the configuration; `None` if it is no URL of an object.
    #[must_use]
    pub fn file_of(&self, path: &str) -> Option<PathBuf> {
        is_url(path).then(|| ObjectUrl::parse(path).ok()).flatten().map(|url| self.file(&url))
    }

    /// The URL of the object that a file is a copy of; `None` for any other file.
    #[must_use]
    pub fn url_of(&self, file: &Path) -> Option<String> {
        let below = file.strip_prefix(self.folder.join("files")).ok()?;
        let (scheme, rest) = below.to_str()?.split_once('/')?;
        Some(format!("{scheme}://{rest}"))
    }

    /// True if the copy of an object is of this version.
    #[must_use]
    pub fn has(&self, url: &ObjectUrl, version: &Version) -> bool {
        let noted = fs::read(self.version_file(url)).ok().and_then(|json| serde_json::from_slice(&json).ok());
        noted.as_ref() == Some(version) && fs::metadata(self.file(url)).is_ok_and(|file| file.len() == version.bytes)
    }

    /// Takes over a whole copy of an object. A kill on the way leaves a copy without a version, which is fetched again.
    ///
    /// # Errors
    /// [`files::Error`].
    pub fn take(&self, copy: &Path, url: &ObjectUrl, version: &Version) -> files::Result<()> {
        let (file, noted) = (self.file(url), self.version_file(url));
        let failed = |action| files::Error::of(&file, action);
        self.forget(url)?;
        self.make_folder_of(&file)?;
        self.make_folder_of(&noted)?;
        fs::rename(copy, &file).map_err(failed("writing"))?;
        files::sync_folder(file.parent().unwrap_or(Path::new("")))?;
        let json = serde_json::to_vec(version).map_err(|error| failed("writing")(error.into()))?;
        files::write_atomically(&noted, &json)
    }

    /// Removes the copies below the folder `url` whose keys are not among `keys`.
    ///
    /// # Errors
    /// [`files::Error`].
    pub fn keep_only(&self, url: &ObjectUrl, keys: &[&str]) -> files::Result<()> {
        let root = self.below("files", url);
        for file in files_below(&root.join(&url.key)) {
            let key = file.strip_prefix(&root).ok().and_then(Path::to_str).unwrap_or_default();
            if !keys.contains(&key) {
                self.forget(&url.with_key(key))?;
                fs::remove_file(&file).map_err(files::Error::of(&file, "removing"))?;
            }
        }
        Ok(())
    }

    fn below(&self, kind: &str, url: &ObjectUrl) -> PathBuf {
        self.folder.join(kind).join(url.scheme).join(&url.bucket)
    }

    fn version_file(&self, url: &ObjectUrl) -> PathBuf {
        self.below("versions", url).join(format!("{}.json", url.key))
    }

    fn forget(&self, url: &ObjectUrl) -> files::Result<()> {
        let noted = self.version_file(url);
        match fs::remove_file(&noted) {
            Ok(()) => files::sync_folder(noted.parent().unwrap_or(Path::new(""))),
            Err(_) if !noted.exists() => Ok(()),
            Err(cause) => Err(files::Error::of(&noted, "removing")(cause)),
        }
    }

    /// Makes the folder of a file. A copy that lies where the folder must be is that of an object which is a folder now.
    fn make_folder_of(&self, file: &Path) -> files::Result<()> {
        let folder = file.parent().unwrap_or(Path::new(""));
        for above in folder.ancestors().take_while(|above| *above != self.folder) {
            if above.is_file() {
                fs::remove_file(above).map_err(files::Error::of(above, "removing"))?;
            }
        }
        fs::create_dir_all(folder).map_err(files::Error::of(folder, "creating"))
    }
}

/// All files below a folder; none where there is no such folder.
fn files_below(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(key: &str) -> ObjectUrl {
        ObjectUrl::parse(&format!("s3://bucket/{key}")).unwrap()
    }

    /// A cache with copies of these keys; each content is its key.
    fn cache(folder: &Path, keys: &[&str]) -> Cache {
        let cache = Cache::new(folder);
        for key in keys {
            put(&cache, key);
        }
        cache
    }

    fn put(cache: &Cache, key: &str) {
        let copy = cache.folder().join("copy");
        fs::write(&copy, key).unwrap();
        cache.take(&copy, &url(key), &version(key)).unwrap();
    }

    fn version(key: &str) -> Version {
        Version { bytes: key.len() as u64, tag: format!("tag of {key}") }
    }

    #[test]
    fn a_copy_is_of_the_version_that_was_taken() {
        let folder = tempfile::tempdir().unwrap();
        let cache = cache(folder.path(), &["logs/a.csv"]);
        let a = url("logs/a.csv");
        assert!(cache.has(&a, &version("logs/a.csv")));
        assert!(!cache.has(&a, &Version { tag: "another".into(), ..version("logs/a.csv") }));
        assert!(!cache.has(&a, &Version { bytes: 3, ..version("logs/a.csv") }));
        assert!(!cache.has(&url("logs/b.csv"), &version("logs/b.csv")));
        fs::write(cache.file(&a), "shorter").unwrap();
        assert!(!cache.has(&a, &version("logs/a.csv")), "the copy was changed");
    }

    #[test]
    fn files_and_urls_stand_for_each_other() {
        let cache = Cache::new(Path::new("/cache"));
        let file = Path::new("/cache/files/s3/bucket/logs/a.csv");
        assert_eq!(cache.file_of("s3://bucket/logs/a.csv").as_deref(), Some(file));
        assert_eq!(cache.url_of(file).as_deref(), Some("s3://bucket/logs/a.csv"));
        assert_eq!(cache.file_of("logs/a.csv"), None);
        assert_eq!(cache.file_of("https://host/a.csv"), None);
        assert_eq!(cache.url_of(Path::new("/data/a.csv")), None);
    }

    #[test]
    fn a_folder_loses_the_copies_of_removed_objects() {
        let folder = tempfile::tempdir().unwrap();
        let keys = ["model/config.json", "model/1_Pooling/config.json", "model/old.bin", "other/old.bin"];
        let cache = cache(folder.path(), &keys);
        cache.keep_only(&url("model"), &keys[..2]).unwrap();
        let kept: Vec<bool> = keys.iter().map(|key| cache.has(&url(key), &version(key))).collect();
        assert_eq!(kept, [true, true, false, true]);
        assert!(!cache.file(&url("model/old.bin")).exists());
    }

    #[test]
    fn an_object_may_become_a_folder() {
        let folder = tempfile::tempdir().unwrap();
        let cache = cache(folder.path(), &["logs"]);
        put(&cache, "logs/a.csv");
        assert!(cache.has(&url("logs/a.csv"), &version("logs/a.csv")) && !cache.has(&url("logs"), &version("logs")));
    }
}
