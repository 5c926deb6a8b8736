//! Prompts as text files: messages with places for query and documents.
//!
//! A line `--- system`, `--- user` or `--- assistant` begins a message. `{name}` with small letters is a place; other braces are
//! text. What is put into a place is never searched for places again.

use std::path::Path;

use serde_json::{Value, json};

use crate::error::Error;

const ROLES: [&str; 3] = ["system", "user", "assistant"];

/// The places that a kind of prompt has.
#[derive(Debug, Clone, Copy)]
pub(super) struct Places {
    pub(super) needed: &'static [&'static str],
    pub(super) optional: &'static [&'static str],
}

/// The places of a prompt about one document.
pub(super) const PAIR: Places = Places { needed: &["query", "document"], optional: &[] };

/// The messages of a prompt.
#[derive(Debug, Clone)]
pub(super) struct Template {
    messages: Vec<Message>,
}

#[derive(Debug, Clone)]
struct Message {
    role: &'static str,
    pieces: Vec<Piece>,
}

#[derive(Debug, Clone, PartialEq)]
enum Piece {
    Text(String),
    Place(String),
}

impl Template {
    /// The template of a file, or the built-in one without a file.
    pub(super) fn open(path: Option<&Path>, built_in: &str, places: Places) -> Result<Template, Error> {
        let Some(path) = path else { return Template::parse("built-in template", built_in, places) };
        let text = std::fs::read_to_string(path);
        let text = text.map_err(|cause| Error::Unreadable { path: path.into(), cause })?;
        Template::parse(&path.display().to_string(), &text, places)
    }

    fn parse(name: &str, text: &str, places: Places) -> Result<Template, Error> {
        let bad = |expected: String, found: String| Error::Template { name: name.into(), expected, found };
        let mut texts: Vec<(&str, Vec<&str>)> = Vec::new();
        for line in text.lines() {
            let role = line
                .strip_prefix("--- ")
                .map(str::trim)
                .and_then(|role| ROLES.into_iter().find(|known| *known == role));
            match (role, texts.last_mut()) {
                (Some(role), _) => texts.push((role, Vec::new())),
                (None, Some((_, lines))) => lines.push(line),
                (None, None) if line.trim().is_empty() => {}
                (None, None) => {
                    return Err(bad("a line `--- system` or `--- user` before all text".into(), format!("{line:?}")));
                }
            }
        }
        let messages = texts.into_iter().map(|(role, lines)| Message { role, pieces: pieces(lines.join("\n").trim()) });
        let template = Template { messages: messages.collect() };
        if template.messages.last().is_none_or(|message| message.role != "user") {
            return Err(bad("a message of the user at the end (a line `--- user`)".into(), "none".into()));
        }
        let has = |place: &str| template.places().any(|known| known == place);
        if let Some(missing) = places.needed.iter().find(|place| !has(place)) {
            return Err(bad(format!("the place {{{missing}}}"), "none".into()));
        }
        let known = || places.needed.iter().chain(places.optional);
        if let Some(unknown) = template.places().find(|place| !known().any(|known| known == place)) {
            let names: Vec<String> = known().map(|place| format!("{{{place}}}")).collect();
            return Err(bad(format!("only the places {}", names.join(", ")), format!("{{{unknown}}}")));
        }
        Ok(template)
    }

    fn places(&self) -> impl Iterator<Item = &str> {
        self.messages.iter().flat_map(|message| &message.pieces).filter_map(|piece| match piece {
            Piece::Place(place) => Some(place.as_str()),
            Piece::Text(_) => None,
        })
    }

    /// The messages with these texts in their places.
    pub(super) fn messages(&self, texts: &[(&str, &str)]) -> Vec<Value> {
        let text = |place: &str| texts.iter().find(|(name, _)| *name == place).map_or("", |(_, text)| text);
        let content = |message: &Message| -> String {
            let pieces = message.pieces.iter().map(|piece| match piece {
                Piece::Text(text) => text,
                Piece::Place(place) => text(place),
            });
            pieces.collect()
        };
        self.messages.iter().map(|message| json!({ "role": message.role, "content": content(message) })).collect()
    }
}

/// Cuts a text at its places.
fn pieces(text: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let (mut start, mut from) = (0, 0);
    while let Some(open) = text[from..].find('{').map(|at| from + at) {
        from = open + 1;
        let Some(close) = text[from..].find(|c: char| !c.is_ascii_lowercase() && c != '_').map(|at| from + at) else {
            break;
        };
        if close > from && text[close..].starts_with('}') {
            pieces.push(Piece::Text(text[start..open].into()));
            pieces.push(Piece::Place(text[from..close].into()));
            (start, from) = (close + 1, close + 1);
        }
    }
    pieces.push(Piece::Text(text[start..].into()));
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACES: Places = Places { needed: &["query", "document"], optional: &["count"] };

    fn message(text: &str) -> String {
        Template::parse("my.txt", text, PLACES).unwrap_err().to_string()
    }

    #[test]
    fn places_are_filled_once() {
        let template =
            Template::parse("t", "\n--- system\nJSON {\"a\": {}} {\n--- user\n{query}{count}:\n{document}\n", PLACES);
        let messages =
            template.unwrap().messages(&[("query", "{document}"), ("document", "d {query}"), ("count", "2")]);
        let expected = json!([
            { "role": "system", "content": "JSON {\"a\": {}} {" },
            { "role": "user", "content": "{document}2:\nd {query}" },
        ]);
        assert_eq!(Value::Array(messages), expected);
    }

    #[test]
    fn bad_templates_are_refused_by_name() {
        assert_eq!(
            message("--- user\n{query}"),
            "my.txt: expected the place {document}, found none; correct the template"
        );
        assert_eq!(
            message("--- user\n{query} {document} {passage}"),
            "my.txt: expected only the places {query}, {document}, {count}, found {passage}; correct the template"
        );
        assert!(message("{query} {document}").contains("before all text, found \"{query} {document}\""));
        assert!(message("--- system\n{query} {document}").contains("a message of the user at the end"));
        assert!(message("").contains("a message of the user at the end"));
        let missing = Template::open(Some(Path::new("/nowhere/t.txt")), "", PLACES).unwrap_err().to_string();
        assert!(missing.starts_with("/nowhere/t.txt: expected a readable template"), "{missing}");
    }
}
