//! The columns of a file of pairs, and what is said of values that cannot be used.

use pipeline::BadInput;

/// The column the output adds.
pub(crate) const SCORE: &str = "score";
/// The column that a file may have with what people think of a document.
pub(crate) const GRADE: &str = "grade";
/// Characters of what was found that an error tells.
const TOLD: usize = 120;

/// A column that every file of pairs has.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Column {
    pub(crate) name: &'static str,
    /// A document without a title or summary has texts all the same; a pair without a query has no meaning.
    pub(crate) nullable: bool,
}

/// Query, title and summary.
pub(crate) const COLUMNS: [Column; 3] = [
    Column { name: "query", nullable: false },
    Column { name: "title", nullable: true },
    Column { name: "summary", nullable: true },
];

/// Refuses columns without those needed, or with one that the output adds.
pub(crate) fn check_names<'a>(place: &str, names: impl Iterator<Item = &'a str> + Clone) -> Result<(), BadInput> {
    if names.clone().any(|name| name == SCORE) {
        return Err(BadInput(format!(
            "{place}: expected no column `{SCORE}`, which the output adds, found one; rename it"
        )));
    }
    let missing = COLUMNS.iter().find(|column| !names.clone().any(|name| name == column.name));
    missing.map_or(Ok(()), |column| {
        let found: Vec<String> = names.map(|name| format!("`{name}`")).collect();
        let found = if found.is_empty() { "none".to_string() } else { told(&found.join(", ")) };
        Err(BadInput(format!("{place}: expected a column `{}`, found {found}", column.name)))
    })
}

/// The error of a value that is no text.
pub(crate) fn not_text(place: &str, column: Column, found: &dyn std::fmt::Display) -> BadInput {
    BadInput(format!("{place}: expected text in column `{}`, found {}", column.name, told(&found.to_string())))
}

/// The beginning of a text that may be of any length.
pub(crate) fn told(text: &str) -> String {
    match text.char_indices().nth(TOLD) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_string(),
    }
}
