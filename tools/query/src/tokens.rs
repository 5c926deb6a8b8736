//! The tokens of SQL, cut as DuckDB's own tokenizer cuts them.

/// What a token is; white space and comments are none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A keyword or an unquoted name.
    Word,
    /// A name in double quotes or backticks.
    Quoted,
    /// A text in single quotes, or between dollar tags.
    Text,
    /// The semicolon after a statement.
    End,
    /// Numbers and operators.
    Other,
}

/// A token and where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Token<'a> {
    pub(crate) kind: Kind,
    pub(crate) text: &'a str,
    /// Byte index.
    pub(crate) at: usize,
    /// False for a quoted token whose end is missing.
    pub(crate) closed: bool,
}

impl Token<'_> {
    /// True for the unquoted word, in any case.
    pub(crate) fn is(&self, word: &str) -> bool {
        self.kind == Kind::Word && self.text.eq_ignore_ascii_case(word)
    }
}

/// The tokens of `sql`.
pub(crate) fn tokens(sql: &str) -> Tokens<'_> {
    Tokens { sql, at: 0, open_comment: false }
}

/// The tokens of a text, one after the other.
pub(crate) struct Tokens<'a> {
    sql: &'a str,
    at: usize,
    open_comment: bool,
}

impl Tokens<'_> {
    /// True if a `/*` was met whose `*/` is missing; known after the last token.
    pub(crate) fn ends_in_comment(&self) -> bool {
        self.open_comment
    }

    /// Skips white space and comments; block comments may stand within each other.
    fn skip_blank(&mut self) {
        loop {
            let rest = &self.sql[self.at..];
            if let Some(c) = rest.chars().next().filter(|c| c.is_whitespace()) {
                self.at += c.len_utf8();
            } else if rest.starts_with("--") {
                self.at += rest.find(['\n', '\r']).map_or(rest.len(), |end| end + 1);
            } else if rest.starts_with("/*") {
                let length = block_comment(rest);
                self.open_comment |= length.is_none();
                self.at += length.unwrap_or(rest.len());
            } else {
                return;
            }
        }
    }
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        self.skip_blank();
        let rest = &self.sql[self.at..];
        let first = rest.chars().next()?;
        let (kind, length) = match first {
            ';' => (Kind::End, Some(1)),
            '\'' => (Kind::Text, quoted(rest, '\'')),
            '"' | '`' => (Kind::Quoted, quoted(rest, first)),
            'e' | 'E' if rest[1..].starts_with('\'') => (Kind::Text, escaped(&rest[1..]).map(|length| length + 1)),
            'n' | 'N' | 'x' | 'X' | 'b' | 'B' if rest[1..].starts_with('\'') => {
                (Kind::Text, quoted(&rest[1..], '\'').map(|length| length + 1))
            }
            '$' => match dollar_tag(rest) {
                Some(tag) => (Kind::Text, rest[tag.len()..].find(tag).map(|end| end + 2 * tag.len())),
                None => (Kind::Other, Some(1)),
            },
            '0'..='9' => (Kind::Other, Some(number(rest))),
            c if is_word(c) => (Kind::Word, Some(rest.find(|c| c != '$' && !is_word(c)).unwrap_or(rest.len()))),
            c => (Kind::Other, Some(c.len_utf8())),
        };
        let text = &rest[..length.unwrap_or(rest.len())];
        let token = Token { kind, text, at: self.at, closed: length.is_some() };
        self.at += text.len();
        Some(token)
    }
}

/// A character of an unquoted word.
fn is_word(c: char) -> bool {
    c == '_' || c.is_ascii_alphanumeric() || (!c.is_ascii() && !c.is_whitespace())
}

/// Length of a text in quotes, of which a doubled one is part of the text.
fn quoted(text: &str, quote: char) -> Option<usize> {
    let mut from = 1;
    loop {
        let end = from + text[from..].find(quote)? + 1;
        if !text[end..].starts_with(quote) {
            return Some(end);
        }
        from = end + 1;
    }
}

/// Length of a text in single quotes in which a backslash escapes the next character.
fn escaped(text: &str) -> Option<usize> {
    let mut from = 1;
    loop {
        let at = from + text[from..].find(['\'', '\\'])?;
        let next = text[at + 1..].chars().next();
        if text[at..].starts_with('\'') && next != Some('\'') {
            return Some(at + 1);
        }
        from = at + 1 + next?.len_utf8();
    }
}

/// Length of a block comment with those in it.
fn block_comment(text: &str) -> Option<usize> {
    let (mut at, mut depth) = (2, 1);
    while depth > 0 {
        at += text[at..].find(['/', '*'])?;
        if text[at..].starts_with("/*") {
            (at, depth) = (at + 2, depth + 1);
        } else if text[at..].starts_with("*/") {
            (at, depth) = (at + 2, depth - 1);
        } else {
            at += 1;
        }
    }
    Some(at)
}

/// The opening `$$` or `$name$` of a dollar-quoted text; `$1` and `$name` are parameters.
fn dollar_tag(text: &str) -> Option<&str> {
    let end = text[1..].find('$')? + 1;
    let name = &text[1..end];
    (name.chars().all(is_word) && !name.starts_with(|c: char| c.is_ascii_digit())).then_some(&text[..=end])
}

/// Length of a number; what stands right behind its digits begins another token.
fn number(text: &str) -> usize {
    text.find(|c: char| !c.is_ascii_digit() && c != '.' && c != '_').unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(sql: &str) -> Vec<&str> {
        tokens(sql).map(|token| token.text).collect()
    }

    #[test]
    fn quotes_hide_what_stands_in_them() {
        let cases: [(&str, &[&str]); 9] = [
            ("'it''s;' ;", &["'it''s;'", ";"]),
            (r"e'\'' ';'", &[r"e'\''", "';'"]),
            (r"e'a''\\';", &[r"e'a''\\'", ";"]),
            ("\"a\"\";\" `b;`", &["\"a\"\";\"", "`b;`"]),
            ("$$;$$ $t$ $$;$ $t$ $1", &["$$;$$", "$t$ $$;$ $t$", "$", "1"]),
            ("a$$ ; b$c$", &["a$$", ";", "b$c$"]),
            ("/* ; /* */ ; */ x -- ; y\nz", &["x", "z"]),
            ("x';' n'a'", &["x';'", "n'a'"]),
            ("1e5 .5;", &["1", "e5", ".", "5", ";"]),
        ];
        for (sql, expected) in cases {
            assert_eq!(texts(sql), expected, "{sql}");
        }
    }

    #[test]
    fn an_end_that_is_missing_is_told() {
        for sql in ["'a", "e'\\'", "\"a", "`", "$$ $", "$t$ $$"] {
            assert!(tokens(sql).any(|token| !token.closed), "{sql}");
        }
        let mut open = tokens("x /* /* */");
        assert!(open.by_ref().all(|token| token.closed) && open.ends_in_comment());
    }
}
