//! Counts with their nouns.

use std::fmt::Display;

/// A count, as it is written, with its noun: `1 search` and `2 searches`, `1 query` and `0 queries`. The noun is in the singular,
/// and an `s` at its end makes the plural, but for `ch` and for `y` after a consonant.
#[must_use]
pub fn counted(count: impl Display, noun: &str) -> String {
    let count = count.to_string();
    match noun.strip_suffix('y') {
        _ if count == "1" => format!("1 {noun}"),
        Some(stem) => format!("{count} {stem}ies"),
        None if noun.ends_with("ch") => format!("{count} {noun}es"),
        None => format!("{count} {noun}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_singular() {
        let all = |count: u64| ["row", "search", "judged query"].map(|noun| counted(count, noun));
        assert_eq!(all(1), ["1 row", "1 search", "1 judged query"]);
        assert_eq!(all(0), ["0 rows", "0 searches", "0 judged queries"]);
        assert_eq!(counted("12 thousand", "document"), "12 thousand documents");
    }
}
