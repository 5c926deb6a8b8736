//! How the records of the log are read, as the configuration says.

use hmac::{Hmac, KeyInit};
use pipeline::config::{ConfigError, DwellUnit, IngestConfig, UserIds};
use records::{Layout, Record};
use sha2::Sha256;

use crate::columns::Kinds;
use crate::input::CONTENT_CHARS;
use crate::segment::text;
use crate::time::Times;
use crate::value::ClickedValues;

/// How the records of the log are read.
#[derive(Debug)]
pub(crate) struct Reading {
    pub(crate) kinds: Kinds,
    pub(crate) clicked_values: ClickedValues,
    pub(crate) times: Times,
    pub(crate) dwell_unit: Option<DwellUnit>,
    pub(crate) first_position: i32,
    pub(crate) doc_id_width: usize,
    /// The character between fields, of delimited text.
    delimiter: Option<char>,
    pub(crate) query_enclosure: Option<(char, char)>,
    shown_id_end: Option<char>,
    pub(crate) clicks_only: bool,
    pub(crate) max_query_chars: usize,
    pub(crate) users: Users,
}

/// What is kept of user ids.
#[derive(Debug)]
pub(crate) enum Users {
    Plain,
    Hashed(Box<Hmac<Sha256>>),
    Dropped,
}

impl Reading {
    /// # Errors
    /// Where the time zone or the time format of the configuration does not exist.
    pub(crate) fn new(config: &IngestConfig, user_key: Option<&str>) -> anyhow::Result<Option<Reading>> {
        let Some(log) = &config.log else { return Ok(None) };
        let hashed = user_key.and_then(|key| Hmac::<Sha256>::new_from_slice(key.as_bytes()).ok());
        let users = match (config.privacy.user_ids, hashed) {
            (UserIds::Plain, _) => Users::Plain,
            (UserIds::Hashed, Some(hmac)) => Users::Hashed(Box::new(hmac)),
            (UserIds::Hashed, None) | (UserIds::Dropped, _) => Users::Dropped,
        };
        Ok(Some(Reading {
            kinds: Kinds::of(log),
            clicked_values: ClickedValues::new(&log.clicked_values),
            times: Times::new(&log.time).map_err(|error| ConfigError::Unusable(format!("{error:#}")))?,
            dwell_unit: log.dwell_unit,
            first_position: log.first_position,
            doc_id_width: log.doc_id_width,
            delimiter: Layout::new(log.format, &log.dialect).delimiter(),
            query_enclosure: log.query_enclosure.as_deref().and_then(pipeline::config::enclosure),
            shown_id_end: log.shown_id_end,
            clicks_only: log.clicks_only,
            max_query_chars: config.clean.max_query_chars,
            users,
        }))
    }

    /// The id in an item of a list of documents.
    pub(crate) fn id_of_item<'i>(&self, item: &'i str) -> &'i str {
        self.shown_id_end.and_then(|end| item.split_once(end)).map_or(item, |(id, _)| id)
    }

    /// True if the query of a record of delimited text holds as many fields as whole lines of the file have: the quote that
    /// begins it is a user's, and ends with another one lines later.
    pub(crate) fn holds_lines(&self, record: &Record, query: Option<&str>) -> bool {
        let Some(delimiter) = self.delimiter.filter(|_| record.span > 1 && record.fields > 1) else { return false };
        query.is_some_and(|query| {
            let lines = query.matches('\n').count();
            lines > 0 && query.matches(delimiter).count() == (record.fields - 1) * lines
        })
    }

    /// The beginning of a record, without the user's id unless that is kept.
    pub(crate) fn content(&self, record: &Record) -> String {
        let content = records::printable(&record.content(), CONTENT_CHARS);
        let users = self.kinds.users();
        if matches!(self.users, Users::Plain) || users.is_empty() {
            return content;
        }
        match &record.values {
            Err(_) => "(not shown, as it may hold a user id)".into(),
            Ok(values) => {
                let ids = users.iter().filter_map(|&at| text(values, Some(at)));
                ids.fold(content, |content, id| content.replace(id, "…"))
            }
        }
    }
}
