//! URLs of objects.

use std::fmt;

use crate::Error;

/// The stores that can be read, by the scheme of their URLs.
const SCHEMES: [&str; 2] = ["s3", "gs"];

/// An object, a folder of objects, or a pattern: `s3://bucket/key` or `gs://bucket/key`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectUrl {
    /// `s3` or `gs`.
    pub scheme: &'static str,
    /// The bucket.
    pub bucket: String,
    /// What follows the bucket, without slashes at its ends.
    pub key: String,
}

/// True if a path of a configuration is a URL, of whatever scheme, and no file's name.
#[must_use]
pub fn is_url(text: &str) -> bool {
    let scheme = text.split_once("://").map(|(scheme, _)| scheme);
    scheme.is_some_and(|scheme| {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
        scheme.starts_with(|c: char| c.is_ascii_alphabetic()) && scheme.chars().all(allowed)
    })
}

impl ObjectUrl {
    /// Reads a URL.
    ///
    /// # Errors
    /// [`Error::BadUrl`] for another scheme, and for a bucket or key that no local file can stand for.
    pub fn parse(text: &str) -> Result<ObjectUrl, Error> {
        let bad = |found: &str| Error::BadUrl { url: text.to_string(), found: found.to_string() };
        let (found, rest) = text.split_once("://").ok_or_else(|| bad("no ://"))?;
        let scheme = SCHEMES.into_iter().find(|scheme| *scheme == found);
        let scheme = scheme.ok_or_else(|| bad(&format!("the scheme {found}")))?;
        let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
        let key = key.trim_end_matches('/');
        let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if bucket.is_empty() || bucket.starts_with('.') || !bucket.chars().all(allowed) {
            return Err(bad(&format!("the bucket `{bucket}`")));
        }
        if key.is_empty() {
            return Err(bad("no path in the bucket"));
        }
        if key.split('/').any(|part| ["", ".", ".."].contains(&part)) || key.contains('\0') {
            return Err(bad("an empty part, `.` or `..` in the path"));
        }
        Ok(ObjectUrl { scheme, bucket: bucket.into(), key: key.into() })
    }

    /// The URL of another key in the same bucket.
    #[must_use]
    pub fn with_key(&self, key: &str) -> ObjectUrl {
        ObjectUrl { key: key.into(), ..self.clone() }
    }
}

impl fmt::Display for ObjectUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}/{}", self.scheme, self.bucket, self.key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_told_from_paths_and_read() {
        for path in ["logs/a.csv", "./s3/a", "/s3:/b/c", "{run}/x://y", "hf:org/name", "C:/x"] {
            assert!(!is_url(path), "{path}");
        }
        for url in ["s3://b/k", "gs://b/k", "s3a://b/k", "https://host/x"] {
            assert!(is_url(url), "{url}");
        }
        let url = ObjectUrl::parse("s3://my.bucket/logs/2024 [x]/*.csv").unwrap();
        assert_eq!((url.scheme, &*url.bucket, &*url.key), ("s3", "my.bucket", "logs/2024 [x]/*.csv"));
        assert_eq!(ObjectUrl::parse("gs://b/models/name/").unwrap().to_string(), "gs://b/models/name");
    }

    #[test]
    fn what_cannot_be_a_file_of_the_cache_is_refused() {
        for (url, found) in [
            ("https://host/x", "the scheme https"),
            ("s3://", "the bucket ``"),
            ("s3:///key", "the bucket ``"),
            ("s3://../key", "the bucket `..`"),
            ("s3://b", "no path in the bucket"),
            ("s3://b/", "no path in the bucket"),
            ("s3://b/a/../../c", "an empty part, `.` or `..` in the path"),
            ("s3://b/a//c", "an empty part, `.` or `..` in the path"),
            ("s3://user:secret@b/c", "the bucket `user:secret@b`"),
        ] {
            let error = ObjectUrl::parse(url).unwrap_err().to_string();
            assert_eq!(error, format!("{url}: expected s3://bucket/path or gs://bucket/path, found {found}"));
        }
    }
}
