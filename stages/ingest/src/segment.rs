//! A segment: some millions of bytes of one log file, read into events.

use std::borrow::Cow;
use std::collections::BTreeSet;

use analysis::normalised_query;
use hmac::Mac;
use pipeline::config::ClickedValue;
use records::{Reason, Record, Value};
use unicode_segmentation::UnicodeSegmentation;
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use crate::bytes::Put;
use crate::columns::{Kind, Places};
use crate::event::Event;
use crate::names::Names;
use crate::reading::{Reading, Users};
use crate::report::Fate;
use crate::stats::Stats;
use crate::value;

/// Buckets of a log. Fixed, so that the parts of earlier runs stay usable.
pub(crate) const BUCKETS: usize = 64;

/// Length of the longest id.
const MAX_ID_BYTES: usize = 1000;
const ID_TOO_LONG: &str = "an id is longer than 1000 bytes";

pub(crate) const EMPTY_QUERY: &str = "empty query";
const QUERY_TOO_LONG: &str = "query too long";
/// Values of a dwell time that many logs write where there was none.
const NO_DWELL: [&str; 2] = ["-1", "-1.0"];

/// The year 1990 in microseconds since 1970: no log is older.
const EARLY_TIME: i64 = 631_152_000_000_000;

const ANOTHER_KIND: &str = "record of another kind";
pub(crate) const HOLDS_LINES: &str = "the query holds whole lines, as a quote in it is not doubled";
pub(crate) const CLICK_WITHOUT_DOCUMENT: &str = "clicked, but doc_id does not say which of the shown documents";

/// The text of a document as a log row has it: the earliest that is not empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) title: Option<(i64, String)>,
    pub(crate) summary: Option<(i64, String)>,
}

/// Keeps the earlier of two texts; of two at one time, the first in byte-wise order. Texts without a time come last.
pub(crate) fn keep_earlier(known: &mut Option<(i64, String)>, time: i64, text: &str) {
    let earlier = known.as_ref().is_none_or(|(before, known)| (time, text) < (*before, known.as_str()));
    if earlier && !text.is_empty() {
        *known = Some((time, text.to_string()));
    }
}

/// The events of a segment by bucket, and the texts that they refer to by number.
#[derive(Debug, Default)]
pub(crate) struct Segment {
    /// Normalised query texts.
    pub(crate) queries: Names,
    /// Query numbers and the ids that the log gives them.
    pub(crate) query_ids: BTreeSet<(u32, String)>,
    pub(crate) documents: Names,
    /// By document, where the log holds the texts.
    pub(crate) seen: Vec<Seen>,
    /// Events by bucket, as [`Event::put`] writes them.
    pub(crate) buckets: Vec<Vec<u8>>,
    /// Lines without events: line, reason and beginning.
    pub(crate) rejects: Vec<u8>,
    pub(crate) stats: Stats,
    raw_queries: Names,
    /// The query of the record before, which is often that of the next one too.
    last_query: (String, Option<Result<u32, &'static str>>),
    raw_fates: Vec<Result<u32, &'static str>>,
    raw_documents: Names,
    raw_document_numbers: Vec<Option<u32>>,
    raw_users: Names,
    hashed_users: Vec<String>,
}

/// What an opening record says for those after it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Opened {
    line: u64,
    search: Option<String>,
    session: Option<String>,
    user: Option<String>,
    query: Option<String>,
    query_id: Option<String>,
    shown_at: Option<i64>,
}

type Found<'v> = Option<&'v str>;

/// The values of a record that all its events share.
struct Shared<'v> {
    line: u64,
    search: Option<Cow<'v, str>>,
    session: Option<Cow<'v, str>>,
    user: Option<String>,
    query: Option<u32>,
    shown_at: Option<i64>,
    dwell_seconds: Option<f64>,
}

impl Segment {
    pub(crate) fn new(reading: &Reading) -> Segment {
        let stats = Stats::new(reading.kinds.fields.len());
        Segment { buckets: vec![Vec::new(); BUCKETS], stats, ..Segment::default() }
    }

    /// Reads a record into events, or notes why it has none.
    pub(crate) fn take(&mut self, reading: &Reading, file: &str, record: &Record, opened: &mut Option<Opened>) {
        self.stats.count(record);
        let outcome = match &record.values {
            Err(reason) => {
                if reading.kinds.in_order() {
                    *opened = None;
                }
                Err((reason.clone(), false))
            }
            Ok(values) => match reading.kinds.find(values, record.fields) {
                None => Err((Reason::LeftOut(ANOTHER_KIND), false)),
                Some(kind) if reading.holds_lines(record, text(values, kind.places.query)) => {
                    if reading.kinds.in_order() {
                        *opened = None;
                    }
                    Err((HOLDS_LINES.into(), false))
                }
                Some(kind) => self.read(reading, kind, file, record.line, values, opened),
            },
        };
        if let Err((reason, clicked)) = outcome {
            let content = reading.content(record);
            let reason = self.stats.reject(record, reason, clicked, &content);
            self.rejects.put_u64(record.line);
            self.rejects.put_text(&reason);
            self.rejects.put_text(&content);
        }
    }

    fn read(
        &mut self,
        reading: &Reading,
        kind: &Kind,
        file: &str,
        line: u64,
        values: &[Value],
        opened: &mut Option<Opened>,
    ) -> Result<(), (Reason, bool)> {
        let places = &kind.places;
        if kind.opens {
            // If this record cannot be read, those after it are of no group rather than of the one before.
            *opened = None;
        }
        let clicked = match text(values, places.clicked) {
            Some(value) => {
                self.stats.click_counts += u64::from(reading.clicked_values.are_flags() && value::is_count(value));
                reading.clicked_values.read(value).map_err(|reason| (reason.into(), false))?
            }
            None if places.clicked.is_some() && reading.clicked_values.missing().is_some() => {
                reading.clicked_values.missing().unwrap_or(ClickedValue::Shown)
            }
            None if kind.clicked == Some(true) => ClickedValue::Clicked,
            None if kind.needs_document && places.clicked.is_some() => {
                return Err(("clicked is missing".into(), false));
            }
            None => ClickedValue::Shown,
        };
        if clicked == ClickedValue::Ignored {
            return Err((Reason::LeftOut(ANOTHER_KIND), false));
        }
        let clicked = clicked == ClickedValue::Clicked;
        let failed = |reason: Reason| (reason, clicked);
        let position = text(values, places.position);
        let position = position.map(|text| value::position(text, reading.first_position));
        let position = position.transpose().map_err(|reason| failed(reason.into()))?;
        if kind.opens {
            *opened = Some(self.open(reading, places, line, values));
        }
        let shared = self.shared(reading, places, file, line, values, opened.as_ref()).map_err(failed)?;
        if kind.opens && shared.query.is_none() && places.doc_id.is_none() && places.shown.is_none() {
            // It says something of the records after it, and nothing of a search of its own.
            return Err((Reason::LeftOut(ANOTHER_KIND), false));
        }
        let shown = places.shown.and_then(|at| values.get(at)).map(items).unwrap_or_default();
        let doc_id = text(values, places.doc_id);
        if clicked && doc_id.is_none() && places.shown.is_some() && !places.shown_marks_clicks {
            let is_told = text(values, places.clicked).is_some();
            match places.doc_id {
                // Without a value that says so, a page without a clicked document was not clicked.
                Some(_) if !is_told => {}
                None if kind.clicked == Some(true) || shown.len() == 1 => {
                    return self.clicked_list(reading, &shared, &shown, position).map_err(failed);
                }
                _ => return Err(failed(CLICK_WITHOUT_DOCUMENT.into())),
            }
        }
        if !shown.is_empty() {
            return self
                .page(
                    reading,
                    places,
                    &shared,
                    &shown,
                    doc_id.filter(|_| clicked || places.clicked.is_none()),
                    position,
                )
                .map_err(failed);
        }
        match doc_id {
            None if kind.needs_document || places.doc_id.is_some() && (clicked || shared.query.is_none()) => {
                return Err(failed("doc_id is missing".into()));
            }
            Some(_) if position.is_none() && !clicked => return Err(failed("position is missing".into())),
            _ => {}
        }
        let document = doc_id.map(|id| self.document(reading, id)).transpose().map_err(failed)?;
        if let (Some(document), Some(_)) = (document, places.title.or(places.summary)) {
            self.see(document, shared.shown_at, text(values, places.title), text(values, places.summary));
        }
        // Clicks alone are not compared by position: one without a position needs no impression that has it.
        let top = (reading.clicks_only && clicked && document.is_some()).then_some(1);
        self.push(&shared, document, position.or(top), clicked);
        Ok(())
    }

    /// A click for each document of a record of clicks that holds them as a list.
    fn clicked_list(
        &mut self,
        reading: &Reading,
        shared: &Shared,
        clicked: &[&str],
        position: Option<i32>,
    ) -> Result<(), Reason> {
        let ids = clicked.iter().filter(|item| !item.is_empty()).map(|item| reading.id_of_item(item));
        let documents: Vec<u32> = ids.map(|id| self.document(reading, id)).collect::<Result<_, _>>()?;
        if documents.is_empty() {
            return Err(CLICK_WITHOUT_DOCUMENT.into());
        }
        let position = position.filter(|_| documents.len() == 1).or(reading.clicks_only.then_some(1));
        documents.into_iter().for_each(|document| self.push(shared, Some(document), position, true));
        Ok(())
    }

    /// One event for each of the shown documents of a page, and one for a clicked document.
    fn page(
        &mut self,
        reading: &Reading,
        places: &Places,
        shared: &Shared,
        shown: &[&str],
        clicked_id: Found,
        position: Option<i32>,
    ) -> Result<(), Reason> {
        let mut documents = Vec::with_capacity(shown.len());
        for item in shown {
            if item.is_empty() {
                documents.push(None);
                continue;
            }
            let item = reading.id_of_item(item);
            let (id, clicked) = match (places.shown_marks_clicks, item.rsplit_once('-')) {
                (true, Some((id, "0"))) => (id, false),
                (true, Some((id, "1"))) => (id, true),
                (true, _) => return Err("an item of `shown` does not end in -0 or -1".into()),
                (false, _) => (item, false),
            };
            documents.push(Some((self.document(reading, id)?, clicked)));
        }
        let clicked = clicked_id.map(|id| self.document(reading, id)).transpose()?;
        // Of a page after the first, the position is that of its first document.
        let start = if clicked.is_none() { position.unwrap_or(1) } else { 1 };
        for (place, document) in (start..).zip(&documents) {
            if let Some((document, marked)) = *document {
                self.push(shared, Some(document), Some(place), marked);
            }
        }
        if let Some(document) = clicked {
            self.push(shared, Some(document), position, true);
        }
        Ok(())
    }

    fn shared<'v>(
        &mut self,
        reading: &Reading,
        places: &Places,
        file: &str,
        line: u64,
        values: &'v [Value],
        opened: Option<&'v Opened>,
    ) -> Result<Shared<'v>, Reason> {
        let from = |get: fn(&Opened) -> &Option<String>| opened.and_then(|opened| get(opened).as_deref());
        let id = |place: Option<usize>, opened: Found<'v>| -> Result<Option<Cow<'v, str>>, Reason> {
            let id = text(values, place).map(value::id).or(opened.map(Cow::Borrowed));
            match id {
                Some(id) if id.len() > MAX_ID_BYTES => Err(ID_TOO_LONG.into()),
                id => Ok(id),
            }
        };
        let mut search = id(places.search_id, from(|opened| &opened.search))?;
        if let (None, Some(opened)) = (&search, opened) {
            search = Some(Cow::Owned(format!("{file}:{}", opened.line)));
        }
        let session = id(places.session_id, from(|opened| &opened.session))?;
        let user = id(places.user_id, from(|opened| &opened.user))?;
        let user = user.map(|user| self.user(reading, &user));
        let query = text(values, places.query).or(from(|opened| &opened.query));
        let query = query.map(|query| self.query(reading, query)).transpose().map_err(Reason::LeftOut)?;
        if let (Some(query), Some(id)) = (query, id(places.query_id, from(|opened| &opened.query_id))?) {
            let key = (query, id.into_owned());
            self.query_ids.insert(key);
        }
        let shown_at = self.time(reading, text(values, places.shown_at));
        let dwell = |text: &str| value::dwell_seconds(text, reading.dwell_unit);
        let given = text(values, places.dwell_seconds).filter(|text| !NO_DWELL.contains(text));
        let dwell_seconds = self.optional("dwell_seconds", given, dwell);
        Ok(Shared {
            line,
            search,
            session,
            user: user.flatten(),
            query,
            shown_at: shown_at.or(opened.and_then(|opened| opened.shown_at)),
            dwell_seconds,
        })
    }

    fn open(&mut self, reading: &Reading, places: &Places, line: u64, values: &[Value]) -> Opened {
        let own = |place| text(values, place).map(String::from);
        let time = text(values, places.shown_at);
        Opened {
            line,
            search: own(places.search_id).map(|id| value::id(&id).into_owned()),
            session: own(places.session_id).map(|id| value::id(&id).into_owned()),
            user: own(places.user_id),
            query: own(places.query),
            query_id: own(places.query_id),
            shown_at: self.time(reading, time),
        }
    }

    /// The time of an event.
    fn time(&mut self, reading: &Reading, text: Found) -> Option<i64> {
        let time = self.optional("shown_at", text, |text| reading.times.microseconds(text));
        self.stats.early_times += u64::from(time.is_some_and(|time| time < EARLY_TIME));
        time
    }

    /// An optional value: one that cannot be read is counted and dropped.
    fn optional<V>(
        &mut self,
        column: &'static str,
        text: Found,
        read: impl Fn(&str) -> Result<V, &'static str>,
    ) -> Option<V> {
        let text = text?;
        let value = read(text);
        self.stats.value(column, text, value.as_ref().err().copied());
        value.ok()
    }

    fn push(&mut self, shared: &Shared, document: Option<u32>, position: Option<i32>, clicked: bool) {
        let mut event = Event {
            group: 0,
            line: shared.line,
            search: shared.search.as_deref(),
            session: shared.session.as_deref(),
            user: shared.user.as_deref(),
            query: shared.query,
            document,
            position,
            clicked,
            dwell_seconds: shared.dwell_seconds,
            shown_at: shared.shown_at,
        };
        event.group = match (event.search, event.session.or(event.user)) {
            (Some(search), _) => xxh3_64(search.as_bytes()),
            (None, Some(visitor)) => xxh3_64(visitor.as_bytes()),
            (None, None) => self.hash_of(&event),
        };
        self.stats.event(&event);
        event.put(&mut self.buckets[event.group as usize % BUCKETS]);
    }

    /// A hash of an event's own values: of its query and time where it has both, so that the rows of a page are together.
    fn hash_of(&self, event: &Event) -> u64 {
        let mut hash = Xxh3::new();
        if let Some(query) = event.query {
            hash.update(self.queries.name(query).as_bytes());
        }
        hash.update(&event.shown_at.unwrap_or(i64::MIN).to_le_bytes());
        if event.query.is_none() || event.shown_at.is_none() {
            let document = event.document.map(|document| self.documents.name(document));
            hash.update(document.unwrap_or_default().as_bytes());
            hash.update(&event.position.unwrap_or_default().to_le_bytes());
            hash.update(&[u8::from(event.clicked)]);
            hash.update(&event.dwell_seconds.unwrap_or(-1.0).to_le_bytes());
        }
        hash.digest()
    }

    fn query(&mut self, reading: &Reading, raw: &str) -> Result<u32, &'static str> {
        match &self.last_query {
            (last, Some(fate)) if last == raw => *fate,
            _ => {
                let fate = self.new_query(reading, raw);
                self.last_query.0.clear();
                self.last_query.0.push_str(raw);
                self.last_query.1 = Some(fate);
                fate
            }
        }
    }

    fn new_query(&mut self, reading: &Reading, raw: &str) -> Result<u32, &'static str> {
        let number = self.raw_queries.number(raw) as usize;
        if number == self.raw_fates.len() {
            let text = normalised_query(enclosed(raw, reading.query_enclosure));
            self.raw_fates.push(match text.chars().count() {
                0 => Err(EMPTY_QUERY),
                length
                    if length > reading.max_query_chars && text.graphemes(true).count() > reading.max_query_chars =>
                {
                    Err(QUERY_TOO_LONG)
                }
                _ => Ok(self.queries.number(&text)),
            });
        }
        self.raw_fates[number]
    }

    fn document(&mut self, reading: &Reading, raw: &str) -> Result<u32, Reason> {
        let number = self.raw_documents.number(raw) as usize;
        if number == self.raw_document_numbers.len() {
            let id = value::id(raw);
            let id = value::padded(&id, reading.doc_id_width);
            self.raw_document_numbers.push((id.len() <= MAX_ID_BYTES).then(|| self.documents.number(&id)));
        }
        self.raw_document_numbers[number].ok_or(ID_TOO_LONG.into())
    }

    fn user(&mut self, reading: &Reading, id: &str) -> Option<String> {
        let hmac = match &reading.users {
            Users::Plain => return Some(id.to_string()),
            Users::Dropped => return None,
            Users::Hashed(hmac) => hmac,
        };
        let number = self.raw_users.number(id) as usize;
        if number == self.hashed_users.len() {
            let mut hmac = (**hmac).clone();
            hmac.update(id.as_bytes());
            let hash = hmac.finalize().into_bytes();
            self.hashed_users.push(hash[..16].iter().map(|byte| format!("{byte:02x}")).collect());
        }
        Some(self.hashed_users[number].clone())
    }

    fn see(&mut self, document: u32, shown_at: Option<i64>, title: Found, summary: Found) {
        self.seen.resize(self.documents.len(), Seen::default());
        let seen = &mut self.seen[document as usize];
        let time = shown_at.unwrap_or(i64::MAX);
        keep_earlier(&mut seen.title, time, title.unwrap_or_default());
        keep_earlier(&mut seen.summary, time, summary.unwrap_or_default());
    }
}

pub(crate) fn text<'v>(values: &'v [Value], place: Option<usize>) -> Found<'v> {
    place.and_then(|at| values.get(at)).and_then(Value::text)
}

fn items<'v>(value: &'v Value) -> Vec<&'v str> {
    match value {
        Value::Missing => Vec::new(),
        Value::Items(items) => items.iter().map(|item| item.as_ref()).collect(),
        Value::Text(text) => {
            // Some logs hold a list as the text of one, such as `["a","b"]`.
            let inner = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
            let separator = |c: char| c.is_whitespace() || [',', ';', '|'].contains(&c);
            let quote = |c: char| inner.is_some() && (c == '"' || c == '\'');
            let items = inner.unwrap_or(&**text).split(separator).map(|item| item.trim_matches(quote));
            items.filter(|item| !item.is_empty()).collect()
        }
    }
}

/// The text between `marks`, if it has both.
fn enclosed(text: &str, marks: Option<(char, char)>) -> &str {
    let inner = marks.and_then(|(open, close)| text.strip_prefix(open)?.strip_suffix(close));
    inner.unwrap_or(text)
}

/// The fate of a line that has no event.
pub(crate) fn fate_of(reason: &Reason) -> Fate {
    match reason {
        Reason::LeftOut(EMPTY_QUERY | QUERY_TOO_LONG) => Fate::LeftOut,
        Reason::LeftOut(_) => Fate::NoRow,
        Reason::Malformed(_) | Reason::Binary(_) => Fate::Rejected,
    }
}
