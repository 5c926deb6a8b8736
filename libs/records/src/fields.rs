//! The fields of delimited text, line by line: quoted CSV and unquoted TSV or white space.
//!
//! The parser takes whole lines and returns whether the record is complete, so that the reader knows the record's first
//! line and raw text, and can name the line of a quote that is never closed.

/// What separates the fields of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delimited {
    /// Commas; fields may be quoted. A quote in a quoted field is doubled, or also escaped by a backslash.
    Csv {
        /// True if a backslash in a quoted field stands for the character after it.
        backslash: bool,
    },
    /// Tabs; a quote is an ordinary character.
    Tsv,
    /// Any white space; a quote is an ordinary character.
    Space,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    FieldStart,
    Plain,
    Quoted,
    /// After a backslash in a quoted field.
    Escaped,
    /// After a quote in a quoted field: its end, or the first of two.
    QuoteSeen,
}

/// Parses one record after another.
#[derive(Debug)]
pub(crate) struct RecordParser {
    kind: Delimited,
    state: State,
    text: String,
    /// End of each field in `text`.
    ends: Vec<usize>,
    stray: bool,
}

impl RecordParser {
    pub(crate) fn new(kind: Delimited) -> RecordParser {
        RecordParser { kind, state: State::FieldStart, text: String::new(), ends: Vec::new(), stray: false }
    }

    /// Forgets the record before.
    pub(crate) fn clear(&mut self) {
        self.state = State::FieldStart;
        self.text.clear();
        self.ends.clear();
        self.stray = false;
    }

    /// Takes the next line, without its line end. False where the record goes on in the next line.
    pub(crate) fn feed(&mut self, line: &str) -> bool {
        match self.kind {
            Delimited::Csv { backslash } => self.feed_csv(line, backslash),
            Delimited::Tsv => self.split(line.split('\t')),
            Delimited::Space => self.split(line.split_whitespace()),
        }
    }

    fn split<'a>(&mut self, fields: impl Iterator<Item = &'a str>) -> bool {
        for field in fields {
            self.text.push_str(field);
            self.ends.push(self.text.len());
        }
        true
    }

    fn feed_csv(&mut self, line: &str, backslash: bool) -> bool {
        if matches!(self.state, State::Quoted | State::Escaped) {
            self.text.push('\n');
            self.state = State::Quoted;
        }
        for c in line.chars() {
            self.state = match (self.state, c) {
                (State::FieldStart, '"') => State::Quoted,
                (State::FieldStart | State::Plain | State::QuoteSeen, ',') => {
                    self.ends.push(self.text.len());
                    State::FieldStart
                }
                (State::Quoted, '"') => State::QuoteSeen,
                (State::Quoted, '\\') if backslash => State::Escaped,
                (State::QuoteSeen, '"') => self.push(c, State::Quoted),
                (State::QuoteSeen, _) => {
                    self.stray = true;
                    self.push(c, State::Plain)
                }
                (State::Quoted | State::Escaped, _) => self.push(c, State::Quoted),
                (State::FieldStart | State::Plain, _) => self.push(c, State::Plain),
            };
        }
        if matches!(self.state, State::Quoted | State::Escaped) {
            return false;
        }
        self.ends.push(self.text.len());
        true
    }

    fn push(&mut self, c: char, next: State) -> State {
        self.text.push(c);
        next
    }

    /// Number of fields of the record.
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Field `index`, from 0.
    pub(crate) fn field(&self, index: usize) -> Option<&str> {
        let end = *self.ends.get(index)?;
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        Some(&self.text[start..end])
    }

    /// All fields in order.
    pub(crate) fn fields(&self) -> impl Iterator<Item = &str> {
        (0..self.len()).filter_map(|index| self.field(index))
    }

    /// True if text stood between a closing quote and the next comma.
    pub(crate) fn has_stray_text(&self) -> bool {
        self.stray
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const CSV: Delimited = Delimited::Csv { backslash: false };

    fn parse(kind: Delimited, text: &str) -> Option<Vec<String>> {
        let mut parser = RecordParser::new(kind);
        let complete = text.split('\n').map(|line| parser.feed(line)).last();
        complete?.then(|| parser.fields().map(String::from).collect())
    }

    #[test]
    fn quotes_and_escapes() {
        let escaped = Delimited::Csv { backslash: true };
        let cases: [(Delimited, &str, Option<&[&str]>); 9] = [
            (CSV, r#"a,"b,""c""",d"#, Some(&["a", "b,\"c\"", "d"])),
            (CSV, "\"two\nlines\",x", Some(&["two\nlines", "x"])),
            (CSV, r#"a"b, "c""#, Some(&["a\"b", " \"c\""])),
            (CSV, r#""open,x"#, None),
            (CSV, r#""7\", x"#, Some(&["7\\", " x"])),
            (escaped, r#""7\", x","y\\""#, Some(&["7\", x", "y\\"])),
            (CSV, ",,", Some(&["", "", ""])),
            (Delimited::Tsv, "a\t\"b\t\tc", Some(&["a", "\"b", "", "c"])),
            (Delimited::Space, " 1  0 d\t3 ", Some(&["1", "0", "d", "3"])),
        ];
        for (kind, text, expected) in cases {
            let found = parse(kind, text);
            let found = found.as_ref().map(|fields| fields.iter().map(String::as_str).collect::<Vec<_>>());
            assert_eq!(found.as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn text_after_a_closing_quote_is_noticed() {
        let mut parser = RecordParser::new(CSV);
        assert!(parser.feed(r#""a"b,c"#));
        assert!(parser.has_stray_text());
        parser.clear();
        assert!(parser.feed(r#""a","c""#));
        assert!(!parser.has_stray_text());
    }

    fn csv_line(fields: &[String], delimiter: u8, style: csv::QuoteStyle) -> String {
        let mut writer = csv::WriterBuilder::new().delimiter(delimiter).quote_style(style).from_writer(Vec::new());
        writer.write_record(fields).unwrap();
        let text = String::from_utf8(writer.into_inner().unwrap()).unwrap();
        text.strip_suffix('\n').unwrap().to_string()
    }

    proptest! {
        #[test]
        fn csv_reads_what_an_independent_writer_wrote(fields in prop::collection::vec("[a-z\",\\\\ \n\té]{0,8}", 1..6)) {
            let text = csv_line(&fields, b',', csv::QuoteStyle::Necessary);
            prop_assert_eq!(parse(CSV, &text), Some(fields));
        }

        #[test]
        fn tsv_reads_what_an_independent_writer_wrote(fields in prop::collection::vec("[a-z\",\\\\ é]{1,8}", 1..6)) {
            let text = csv_line(&fields, b'\t', csv::QuoteStyle::Never);
            prop_assert_eq!(parse(Delimited::Tsv, &text), Some(fields));
        }

        #[test]
        fn no_text_panics(text in any::<String>(), backslash in any::<bool>()) {
            for kind in [Delimited::Csv { backslash }, Delimited::Tsv, Delimited::Space] {
                let mut parser = RecordParser::new(kind);
                text.lines().for_each(|line| { parser.feed(line); });
                prop_assert_eq!(parser.fields().count(), parser.len());
            }
        }
    }
}
