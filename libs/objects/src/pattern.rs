//! Which keys of a bucket a pattern matches: the rules of local files.

use glob::MatchOptions;

use crate::Error;
use crate::ObjectUrl;

/// A wildcard does not match a slash, but `**` does.
const OPTIONS: MatchOptions =
    MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: false };

/// A pattern of keys.
#[derive(Debug, Clone)]
pub struct Pattern {
    /// Brackets stand for themselves where a key has them.
    literal_brackets: glob::Pattern,
    brackets: glob::Pattern,
    named: Vec<String>,
    /// The folder that holds all keys it can match; empty for the whole bucket.
    pub folder: String,
}

impl Pattern {
    /// The pattern of a URL; `None` where it has no wildcard and names one object.
    ///
    /// # Errors
    /// [`Error::BadUrl`] for a malformed pattern.
    pub fn of(url: &ObjectUrl) -> Result<Option<Pattern>, Error> {
        let Some(first) = url.key.find(['*', '?', '[']) else { return Ok(None) };
        let bad = |cause: glob::PatternError| Error::BadUrl { url: url.to_string(), found: cause.to_string() };
        let folder = url.key[..first].rsplit_once('/').map_or("", |(folder, _)| folder);
        Ok(Some(Pattern {
            literal_brackets: glob::Pattern::new(&url.key.replace('[', "[[]")).map_err(bad)?,
            brackets: glob::Pattern::new(&url.key).map_err(bad)?,
            named: url.key.split('/').map(str::to_string).collect(),
            folder: folder.to_string(),
        }))
    }

    /// Those of `keys` that it matches. Keys with a part that begins with `_` or `.` are hidden, unless the pattern names this part.
    #[must_use]
    pub fn matching<T>(&self, keys: Vec<T>, key: impl Fn(&T) -> &str) -> Vec<T> {
        let is_literal = keys.iter().any(|found| self.literal_brackets.matches_with(key(found), OPTIONS));
        let pattern = if is_literal { &self.literal_brackets } else { &self.brackets };
        let is_named = |part: &str| self.named.iter().any(|named| named == part);
        let is_hidden = |key: &str| key.split('/').any(|part| part.starts_with(['_', '.']) && !is_named(part));
        let is_match = |found: &T| pattern.matches_with(key(found), OPTIONS) && !is_hidden(key(found));
        keys.into_iter().filter(is_match).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_match_as_files_do() {
        let keys = [
            "log[2023]/a.csv",
            "log[2023]/_SUCCESS",
            "log2.csv",
            "log4.csv",
            "logs/2024/a.csv",
            "logs/2024/deep/b.csv",
            "logs/_temporary/c.csv",
            "logs/d.csv",
        ];
        let found = |pattern: &str| {
            let url = ObjectUrl::parse(&format!("s3://b/{pattern}")).unwrap();
            Pattern::of(&url).unwrap().unwrap().matching(keys.to_vec(), |key| *key)
        };
        assert_eq!(found("log[2023]/*"), ["log[2023]/a.csv"]);
        assert_eq!(found("log[2023]/_SUCCESS"), ["log[2023]/_SUCCESS"]);
        assert_eq!(found("log[23].csv"), ["log2.csv"]);
        assert_eq!(found("log?.csv"), ["log2.csv", "log4.csv"]);
        assert_eq!(found("logs/*.csv"), ["logs/d.csv"]);
        assert_eq!(found("logs/**/*.csv"), ["logs/2024/a.csv", "logs/2024/deep/b.csv", "logs/d.csv"]);
        assert_eq!(found("logs/_temporary/*"), ["logs/_temporary/c.csv"]);
    }

    #[test]
    fn only_the_folder_before_the_first_wildcard_is_listed() {
        let folder = |key: &str| {
            let url = ObjectUrl::parse(&format!("gs://b/{key}")).unwrap();
            Pattern::of(&url).map(|pattern| pattern.map(|pattern| pattern.folder))
        };
        assert_eq!(folder("logs/2024-*/part.csv"), Ok(Some("logs".into())));
        assert_eq!(folder("*.csv"), Ok(Some(String::new())));
        assert_eq!(folder("logs/a.csv"), Ok(None));
        assert!(folder("logs/a**.csv").unwrap_err().to_string().starts_with("gs://b/logs/a**.csv: expected"));
    }
}
