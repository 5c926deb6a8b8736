//! Where the objects of JSON text start and end, without reading them.
//!
//! Objects may stand one a line, glued to each other, over several lines, or be the items of arrays. What lies between them
//! is skipped if it is white space, a comma or a bracket. Damage must not swallow the objects after it: a damaged object ends
//! before the next line that starts with an object, indented no deeper than it.

use jiter::Jiter;
use memchr::{memchr, memchr3, memrchr};

/// Deepest nesting; jiter refuses deeper ones anyway at 200.
const DEEPEST: u32 = 127;

/// What comes next in the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// An object, or what stands where one should be.
    Piece { start: usize, end: usize, object: bool },
    /// A piece that ends behind the text at hand.
    Open { start: usize },
    /// Nothing.
    End,
}

enum Object {
    Whole(usize),
    Open,
    /// Not JSON at this byte.
    Damaged(usize),
}

/// The first piece at or after `at` of `bytes`, which start in this column of a line. With `last` the file ends with them.
pub(crate) fn next_piece(bytes: &[u8], column: usize, at: usize, last: bool) -> Step {
    let skipped = |b: &u8| b.is_ascii_whitespace() || matches!(b, b'[' | b']' | b',');
    let Some(start) = bytes[at..].iter().position(|b| !skipped(b)).map(|skip| at + skip) else { return Step::End };
    let (end, object) = if bytes[start] == b'{' {
        match object_end(bytes, start) {
            Object::Whole(end) => (Some(end), true),
            Object::Open => (last.then_some(bytes.len()), false),
            Object::Damaged(near) => (damage_end(bytes, column, start, near, last), false),
        }
    } else {
        (other_end(bytes, start, last), false)
    };
    match end {
        Some(end) => Step::Piece { start, end: start + bytes[start..end].trim_ascii_end().len(), object },
        None => Step::Open { start },
    }
}

/// True if the records of a file that starts with `bytes` are not one or more a line. With `whole` that is all of it.
pub(crate) fn spans_lines(bytes: &[u8], whole: bool) -> bool {
    if bytes.trim_ascii_start().starts_with(b"[") || (!whole && memchr(b'\n', bytes).is_none()) {
        return true;
    }
    let mut at = 0;
    let mut lines_seen = false;
    loop {
        match next_piece(bytes, 0, at, whole) {
            Step::Piece { start, end, object } => {
                let spans = object && memchr(b'\n', &bytes[start..end]).is_some();
                if spans {
                    return true;
                }
                lines_seen |= object;
                at = end;
            }
            Step::Open { start } => return !lines_seen && memchr(b'\n', &bytes[start..]).is_some(),
            Step::End => return false,
        }
    }
}

const fn structural() -> [bool; 256] {
    let mut table = [false; 256];
    let marks = *b"\"{}[]";
    let mut at = 0;
    while at < marks.len() {
        table[marks[at] as usize] = true;
        at += 1;
    }
    table
}

static STRUCTURAL: [bool; 256] = structural();

/// The end of the object that starts at `start`, by its brackets and quotes.
fn object_end(bytes: &[u8], start: usize) -> Object {
    // One bit for each open bracket, the innermost lowest: set for objects.
    let mut open = 0_u128;
    let mut depth = 0;
    let mut at = start;
    while let Some(skip) = bytes[at..].iter().position(|b| STRUCTURAL[usize::from(*b)]) {
        at += skip;
        let mark = bytes[at];
        match mark {
            b'"' => match string_end(bytes, at) {
                Object::Whole(end) => {
                    at = end;
                    continue;
                }
                unfinished => return unfinished,
            },
            b'{' | b'[' => {
                if depth == DEEPEST || (depth > 0 && !may_open(&bytes[..at], open & 1 == 1)) {
                    return Object::Damaged(at);
                }
                open = open << 1 | u128::from(mark == b'{');
                depth += 1;
            }
            _ => {
                if (mark == b'}') != (open & 1 == 1) {
                    return Object::Damaged(at);
                }
                open >>= 1;
                depth -= 1;
                if depth == 0 {
                    return Object::Whole(at + 1);
                }
            }
        }
        at += 1;
    }
    Object::Open
}

/// The end of the string whose quote is at `start`. A line end in it is damage.
fn string_end(bytes: &[u8], start: usize) -> Object {
    let mut at = start + 1;
    while let Some(skip) = bytes.get(at..).and_then(|rest| memchr3(b'"', b'\\', b'\n', rest)) {
        at += skip;
        match bytes[at] {
            b'"' => return Object::Whole(at + 1),
            b'\n' => return Object::Damaged(at),
            _ if bytes.get(at + 1) == Some(&b'\n') => return Object::Damaged(at),
            _ => at += 2,
        }
    }
    Object::Open
}

/// True if a bracket may open after `before`, directly within an object or an array.
fn may_open(before: &[u8], in_object: bool) -> bool {
    match before.trim_ascii_end().last() {
        Some(b':') => in_object,
        Some(b',' | b'[') => !in_object,
        _ => false,
    }
}

/// The column of the byte at `at` of `bytes`, which start in this column.
pub(crate) fn column_of(bytes: &[u8], column: usize, at: usize) -> usize {
    memrchr(b'\n', &bytes[..at]).map_or(column + at, |end| at - end - 1)
}

/// The end of the damaged object at `start`, of which the byte at `near` is wrong.
fn damage_end(bytes: &[u8], column: usize, start: usize, near: usize, last: bool) -> Option<usize> {
    let column = column_of(bytes, column, start);
    let mut at = start + memrchr(b'\n', &bytes[start..near]).unwrap_or(near - start);
    while let Some(skip) = memchr(b'\n', &bytes[at..]) {
        let line = at + skip + 1;
        let indent = bytes[line..].iter().position(|b| !matches!(b, b' ' | b'\t'));
        match indent {
            None if !last => return None,
            Some(indent) if indent <= column && bytes[line + indent] == b'{' => return Some(line),
            _ => at = line,
        }
    }
    last.then_some(bytes.len())
}

/// The end of what starts at `start` and is no object: a single value of an array, or the rest of the line.
fn other_end(bytes: &[u8], start: usize, last: bool) -> Option<usize> {
    let line_end = memchr(b'\n', &bytes[start..]).map(|skip| start + skip).or(last.then_some(bytes.len()))?;
    let line = &bytes[start..line_end];
    let mut jiter = Jiter::new(line).with_allow_inf_nan();
    if jiter.next_skip().is_ok() {
        let end = jiter.current_index();
        if matches!(line[end..].trim_ascii_start().first(), None | Some(b',' | b']' | b'[' | b'{')) {
            return Some(start + end);
        }
    }
    Some(line_end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The pieces of `text`; those that are no whole object in angle brackets.
    fn pieces(text: &str) -> Vec<String> {
        let mut found = Vec::new();
        let mut at = 0;
        while let Step::Piece { start, end, object } = next_piece(text.as_bytes(), 0, at, true) {
            let piece = &text[start..end];
            found.push(if object { piece.to_string() } else { format!("<{piece}>") });
            at = end;
        }
        found
    }

    #[test]
    fn objects_are_found_however_they_stand() {
        let cases: [(&str, &[&str]); 8] = [
            ("{\"a\":1}{\"a\":\"}{\"} , {}", &["{\"a\":1}", "{\"a\":\"}{\"}", "{}"]),
            ("[\n {\"a\": [{}, {\"b\": {}}]},\n {\n\"a\":\n2}\n]", &["{\"a\": [{}, {\"b\": {}}]}", "{\n\"a\":\n2}"]),
            ("[{\"a\":\"\\\"{\"}]\n[{}]", &["{\"a\":\"\\\"{\"}", "{}"]),
            ("[null, {\"a\":1}, 2,\"x\", NaN]", &["<null>", "{\"a\":1}", "<2>", "<\"x\">", "<NaN>"]),
            ("{\"a\":1}\n(2 rows affected)\n", &["{\"a\":1}", "<(2 rows affected)>"]),
            ("{\"a\": 1}}\n{\"b\":1}", &["{\"a\": 1}", "<}>", "{\"b\":1}"]),
            ("\"a\": {\"b\": 1}}\n{}", &["<\"a\": {\"b\": 1}}>", "{}"]),
            (" \n", &[]),
        ];
        for (text, expected) in cases {
            assert_eq!(pieces(text), expected, "{text}");
        }
    }

    #[test]
    fn damage_swallows_no_later_object() {
        let cases: [(&str, &[&str]); 6] = [
            ("{\"a\": \"x\n{\"a\": 1}\n", &["<{\"a\": \"x>", "{\"a\": 1}"]),
            ("{\"a\": {\"b\": 1}\n{\"a\": 1}\n", &["<{\"a\": {\"b\": 1}>", "{\"a\": 1}"]),
            ("{\"a\":\n{\"a\": 1}\n{\"a\": 2}\n", &["<{\"a\":\n{\"a\": 1}>", "{\"a\": 2}"]),
            ("[\n {\n  \"a\": [1,\n },\n {\"a\": 1}\n]", &["<{\n  \"a\": [1,\n },>", "{\"a\": 1}"]),
            (
                "[\n {\n  \"a\": \"\n\",\n  \"b\":\n  {}\n },\n {}]",
                &["<{\n  \"a\": \"\n\",\n  \"b\":\n  {}\n },>", "{}"],
            ),
            ("{\"a\": [{}", &["<{\"a\": [{}>"]),
        ];
        for (text, expected) in cases {
            assert_eq!(pieces(text), expected, "{text}");
        }
    }

    #[test]
    fn lines_are_told_from_other_forms() {
        let lines =
            ["{}\n{}\n", "{}{}\n{}", "{\"a\":[\n{\"a\":1}\n{\"a\":1}\n", "x\n{}", "{\"a\":\n{\"a\":1}\n{\"b\":1}"];
        let others = ["[{}]", " [\n{}\n]", "{\n}\n{}", "{}\n{\"a\":\n1}", "{\"a\":\n"];
        for text in lines {
            assert!(!spans_lines(text.as_bytes(), true), "{text}");
        }
        for text in &others[..4] {
            assert!(spans_lines(text.as_bytes(), true), "{text}");
        }
        for text in others {
            assert!(spans_lines(text.as_bytes(), false), "{text}");
        }
    }

    proptest! {
        #[test]
        fn pieces_go_forward(text in "[a{}\\[\\]\",:\\\\ \n\x0c0]{0,60}", last in any::<bool>()) {
            let mut at = 0;
            while let Step::Piece { start, end, .. } = next_piece(text.as_bytes(), 0, at, last) {
                prop_assert!(at <= start && start < end && end <= text.len());
                at = end;
            }
            spans_lines(text.as_bytes(), last);
        }
    }
}
