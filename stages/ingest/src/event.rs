//! One event of the log, and its form on disk.

use std::fmt::Write;

use crate::bytes::{Put, Take, has};
use crate::input::CONTENT_CHARS;

/// What one line of the log, or one item of its list, says. Texts are those of the log; query and document are numbers of
/// the segment's, later of the whole log's texts.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Event<'a> {
    /// Hash of what the event is grouped by: its search id, else its session id, else its user id, else itself.
    pub(crate) group: u64,
    pub(crate) line: u64,
    pub(crate) search: Option<&'a str>,
    pub(crate) session: Option<&'a str>,
    pub(crate) user: Option<&'a str>,
    pub(crate) query: Option<u32>,
    pub(crate) document: Option<u32>,
    /// From 1.
    pub(crate) position: Option<i32>,
    pub(crate) clicked: bool,
    pub(crate) dwell_seconds: Option<f64>,
    /// Microseconds since 1970.
    pub(crate) shown_at: Option<i64>,
}

impl<'a> Event<'a> {
    /// Appends the event to `record`.
    pub(crate) fn put(&self, record: &mut Vec<u8>) {
        record.put_flags([
            self.clicked,
            self.search.is_some(),
            self.session.is_some(),
            self.user.is_some(),
            self.query.is_some(),
            self.document.is_some(),
            self.position.is_some(),
            self.dwell_seconds.is_some(),
            self.shown_at.is_some(),
        ]);
        record.put_u64(self.group);
        record.put_u64(self.line);
        [self.search, self.session, self.user].into_iter().flatten().for_each(|text| record.put_text(text));
        [self.query, self.document, self.position.map(|position| position as u32)]
            .into_iter()
            .flatten()
            .for_each(|number| record.put_u32(number));
        [self.dwell_seconds.map(f64::to_bits), self.shown_at.map(|time| time as u64)]
            .into_iter()
            .flatten()
            .for_each(|number| record.put_u64(number));
    }

    /// Takes the next event from `records`.
    pub(crate) fn take(records: &mut Take<'a>) -> Event<'a> {
        let flags = records.u16();
        let (group, line) = (records.u64(), records.u64());
        let mut text = |index| has(flags, index).then(|| records.text());
        let (search, session, user) = (text(1), text(2), text(3));
        let mut number = |index| has(flags, index).then(|| records.u32());
        let (query, document, position) = (number(4), number(5), number(6));
        let mut wide = |index| has(flags, index).then(|| records.u64());
        let (dwell_seconds, shown_at) = (wide(7), wide(8));
        Event {
            group,
            line,
            search,
            session,
            user,
            query,
            document,
            position: position.map(|position| position as i32),
            clicked: has(flags, 0),
            dwell_seconds: dwell_seconds.map(f64::from_bits),
            shown_at: shown_at.map(|time| time as i64),
        }
    }
}

impl Event<'_> {
    /// Writes what the event says into `content`, without what it does not say; `query` and `document` are its texts.
    pub(crate) fn describe(&self, query: Option<&str>, document: Option<&str>, content: &mut String) {
        content.clear();
        let texts = [("search_id", self.search), ("session_id", self.session), ("query", query), ("doc_id", document)];
        for (name, text) in texts {
            if let Some(text) = text {
                let _ = write!(content, "{name}={text} ");
            }
        }
        if let Some(position) = self.position {
            let _ = write!(content, "position={position} ");
        }
        let _ = write!(content, "clicked={}", self.clicked);
        *content = records::printable(content.as_bytes(), CONTENT_CHARS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn events_survive_the_disk(
            texts in prop::array::uniform3(prop::option::of(".{0,5}")),
            numbers in prop::array::uniform2(prop::option::of(any::<u32>())),
            position in prop::option::of(1..10_000i32),
            (group, line, clicked) in any::<(u64, u64, bool)>(),
            (dwell_seconds, shown_at) in (prop::option::of(0.0..1e6), prop::option::of(any::<i64>())),
        ) {
            let [search, session, user] = texts.each_ref().map(|text| text.as_deref());
            let [query, document] = numbers;
            let event = Event {
                group, line, search, session, user, query, document, position, clicked, dwell_seconds, shown_at,
            };
            let mut bytes = Vec::new();
            event.put(&mut bytes);
            event.put(&mut bytes);
            let mut records = Take(&bytes);
            prop_assert_eq!(Event::take(&mut records), event);
            prop_assert_eq!(Event::take(&mut records), event);
            prop_assert!(records.is_empty());
        }
    }
}
