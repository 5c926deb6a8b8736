//! The fields of the log's records, by the kind of record.

use pipeline::config::{LogColumns, LogConfig, LogKind};
use records::{Field, Lists, Value};

use crate::value;

/// Indices of a kind's fields in a record's values.
#[derive(Debug, Clone, Default)]
pub(crate) struct Places {
    pub(crate) search_id: Option<usize>,
    pub(crate) session_id: Option<usize>,
    pub(crate) user_id: Option<usize>,
    pub(crate) query_id: Option<usize>,
    pub(crate) query: Option<usize>,
    pub(crate) doc_id: Option<usize>,
    pub(crate) position: Option<usize>,
    pub(crate) clicked: Option<usize>,
    pub(crate) shown: Option<usize>,
    pub(crate) shown_marks_clicks: bool,
    pub(crate) dwell_seconds: Option<usize>,
    pub(crate) shown_at: Option<usize>,
    pub(crate) title: Option<usize>,
    pub(crate) summary: Option<usize>,
}

/// A kind of record.
#[derive(Debug, Clone)]
pub(crate) struct Kind {
    when: Option<(usize, Wanted)>,
    when_fields: Option<usize>,
    /// Whether its documents were clicked, where no field says so.
    pub(crate) clicked: Option<bool>,
    pub(crate) opens: bool,
    /// True if every record must name a document.
    pub(crate) needs_document: bool,
    pub(crate) places: Places,
}

/// The values of the column that tells a kind.
#[derive(Debug, Clone)]
struct Wanted {
    exact: Vec<String>,
    folded: Vec<String>,
}

/// How a kind matches a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Match {
    /// By the exact value.
    Exact,
    /// The value in another case, or as a whole number (`1.0` is `1`).
    Folded,
    /// The kind names no values.
    Any,
}

impl Wanted {
    fn new(values: &[String]) -> Wanted {
        Wanted { exact: values.to_vec(), folded: values.iter().map(|value| value::folded(value)).collect() }
    }

    fn matches(&self, value: &str) -> Option<Match> {
        if self.exact.is_empty() {
            return Some(Match::Any);
        }
        if self.exact.iter().any(|wanted| wanted == value) {
            return Some(Match::Exact);
        }
        let plain = value::id(value.trim_ascii());
        self.folded.iter().any(|wanted| wanted.eq_ignore_ascii_case(&plain)).then_some(Match::Folded)
    }
}

impl Kind {
    fn matches(&self, values: &[Value], fields: usize) -> Option<Match> {
        if self.when_fields.is_some_and(|wanted| wanted != fields) {
            return None;
        }
        let Some((at, wanted)) = &self.when else { return Some(Match::Any) };
        values.get(*at).and_then(Value::text).and_then(|value| wanted.matches(value))
    }
}

/// All wanted fields of the log, and the kinds of its records.
#[derive(Debug, Clone)]
pub(crate) struct Kinds {
    pub(crate) fields: Vec<Field>,
    /// Indices of the fields that every file must have.
    pub(crate) needed: Vec<usize>,
    kinds: Vec<Kind>,
}

impl Kinds {
    pub(crate) fn of(log: &LogConfig) -> Kinds {
        let mut fields = Fields::default();
        let constant = log.clicks_only.then_some(true);
        let mut kinds: Vec<Kind> = log.kinds.iter().map(|kind| fields.kind(kind, constant)).collect();
        let mut needed = Vec::new();
        if kinds.is_empty() {
            let places = fields.places(&log.columns);
            let clicked = places.clicked.filter(|_| !log.clicked_values.contains_key(""));
            needed.extend(places.doc_id.into_iter().chain(clicked));
            let needs_document = log.columns.shown.is_none();
            kinds.push(Kind { when: None, when_fields: None, clicked: constant, opens: false, needs_document, places });
        }
        Kinds { fields: fields.0, needed, kinds }
    }

    /// The first kind that a record matches; of kinds that name values, one with the exact value comes before one with the value
    /// in another spelling.
    pub(crate) fn find(&self, values: &[Value], fields: usize) -> Option<&Kind> {
        let mut folded = None;
        let mut any = None;
        for kind in &self.kinds {
            match kind.matches(values, fields) {
                Some(Match::Exact) if any.is_none() => return Some(kind),
                Some(Match::Folded) if any.is_none() => folded = folded.or(Some(kind)),
                Some(Match::Any) => any = any.or(Some(kind)),
                _ => {}
            }
        }
        folded.or(any)
    }

    /// The fields that hold user ids.
    pub(crate) fn users(&self) -> Vec<usize> {
        self.kinds.iter().filter_map(|kind| kind.places.user_id).collect()
    }

    /// True if values of some records hold for the following ones, so that the records of a file must be read in order.
    pub(crate) fn in_order(&self) -> bool {
        self.kinds.iter().any(|kind| kind.opens)
    }
}

#[derive(Default)]
struct Fields(Vec<Field>);

impl Fields {
    fn add(&mut self, name: &str, lists: Lists) -> usize {
        if let Some(at) = self.0.iter().position(|field| field.name == name) {
            return at;
        }
        self.0.push(Field::optional(name).with_lists(lists));
        self.0.len() - 1
    }

    fn places(&mut self, columns: &LogColumns) -> Places {
        let mut add = |name: &Option<String>, lists: Lists| name.as_deref().map(|name| self.add(name, lists));
        Places {
            search_id: add(&columns.search_id, Lists::Refused),
            session_id: add(&columns.session_id, Lists::Refused),
            user_id: add(&columns.user_id, Lists::Refused),
            query_id: add(&columns.query_id, Lists::Refused),
            query: add(&columns.query, Lists::Refused),
            doc_id: add(&columns.doc_id, Lists::Refused),
            position: add(&columns.position, Lists::Refused),
            clicked: add(&columns.clicked, Lists::Refused),
            shown: add(&columns.shown, Lists::Items),
            shown_marks_clicks: columns.shown_marks_clicks,
            dwell_seconds: add(&columns.dwell_seconds, Lists::Refused),
            shown_at: add(&columns.shown_at, Lists::Refused),
            title: add(&columns.title, Lists::Joined),
            summary: add(&columns.summary, Lists::Joined),
        }
    }

    fn kind(&mut self, kind: &LogKind, constant: Option<bool>) -> Kind {
        let when = kind.when_column.as_deref();
        let when = when.map(|name| (self.add(name, Lists::Refused), Wanted::new(&kind.when_values)));
        let places = self.places(&kind.columns);
        let clicked = kind.clicked.or(constant);
        Kind { when, when_fields: kind.when_fields, clicked, opens: kind.opens, needs_document: false, places }
    }
}
