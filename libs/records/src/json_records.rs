//! The records of JSON text: lines of objects, or pieces of any other text of objects.

use crate::error::Error;
use crate::json::Parser;
use crate::json_pieces::{Step, next_piece};
use crate::record::{Content, Found, Reason, Record, Value, Visit};
use crate::text_lines::{Checked, count, is_blank};

/// A record of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Piece {
    start: usize,
    end: usize,
    line: u64,
    span: u64,
}

/// Where the text of a block starts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    /// The line, from 1.
    pub(crate) line: u64,
    /// Bytes of this line before the block.
    pub(crate) column: usize,
    /// The last line that an earlier record is in.
    pub(crate) covered: u64,
}

/// Finds the pieces of `window`, and returns where the last one that is whole ends; all of the window if the file ends with it
/// or there is nothing but brackets after it.
pub(crate) fn cut(window: &[u8], whole: bool, place: &mut Place, pieces: &mut Vec<Piece>) -> usize {
    let mut at = 0;
    let mut line = place.line;
    loop {
        match next_piece(window, place.column, at, whole) {
            Step::Piece { start, end, .. } => {
                line += count(b'\n', &window[at..start]);
                let last = line + count(b'\n', &window[start..end]);
                let span = last.saturating_sub(place.covered.max(line - 1));
                pieces.push(Piece { start, end, line, span });
                (at, line, place.covered) = (end, last, last);
            }
            Step::Open { .. } => return at,
            Step::End => return window.len(),
        }
    }
}

/// Visits the pieces of `bytes`.
pub(crate) fn visit_pieces<E: From<Error>>(
    mut parser: Parser,
    bytes: &[u8],
    pieces: &[Piece],
    visit: &mut Visit<E>,
) -> Result<Found, E> {
    let checked = Checked::new(bytes);
    let mut values = Vec::new();
    for &Piece { start, end, line, span } in pieces {
        let outcome = checked.part(start, end).and_then(|text| parser.read_only(text, &mut values));
        visit(&record(line, span, &bytes[start..end], outcome, &values))?;
    }
    Ok(parser.found)
}

/// Visits the lines of `bytes`, whose first one has the number `line`.
pub(crate) fn visit_lines<E: From<Error>>(
    mut parser: Parser,
    bytes: &[u8],
    mut line: u64,
    visit: &mut Visit<E>,
) -> Result<Found, E> {
    let checked = Checked::new(bytes);
    let mut values = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let line_end = memchr::memchr(b'\n', &bytes[at..]).map_or(bytes.len(), |skip| at + skip);
        let content = &bytes[at..line_end];
        let content = content.strip_suffix(b"\r").unwrap_or(content);
        if !is_blank(content) {
            match checked.part(at, at + content.len()) {
                Err(reason) => visit(&record(line, 1, content, Err(reason), &values))?,
                Ok(text) => match parser.read(text, &mut values) {
                    Some((end, outcome)) if text[end..].trim_ascii().is_empty() => {
                        visit(&record(line, 1, content, outcome, &values))?;
                    }
                    _ => visit_glued(&mut parser, text, line, &mut values, visit)?,
                },
            }
        }
        at = line_end + 1;
        line += 1;
    }
    Ok(parser.found)
}

/// Visits the objects that stand on one line, if nothing else does, or the line.
fn visit_glued<'a, E: From<Error>>(
    parser: &mut Parser,
    text: &'a str,
    line: u64,
    values: &mut Vec<Value<'a>>,
    visit: &mut Visit<E>,
) -> Result<(), E> {
    let mut pieces = Vec::new();
    let mut at = 0;
    while let Step::Piece { start, end, object } = next_piece(text.as_bytes(), 0, at, true) {
        if !object {
            pieces.clear();
            break;
        }
        pieces.push(&text[start..end]);
        at = end;
    }
    if pieces.len() < 2 {
        let outcome = parser.read_only(pieces.first().unwrap_or(&text), values);
        return visit(&record(line, 1, text.as_bytes(), outcome, values));
    }
    for (at, piece) in pieces.iter().enumerate() {
        let outcome = parser.read_only(piece, values);
        visit(&record(line, u64::from(at == 0), piece.as_bytes(), outcome, values))?;
    }
    Ok(())
}

fn record<'a>(
    line: u64,
    span: u64,
    content: &'a [u8],
    outcome: Result<(), Reason>,
    values: &'a [Value<'a>],
) -> Record<'a> {
    Record { line, span, fields: 0, values: outcome.map(|()| values), content: Content::Bytes(content) }
}
