//! The documents, from their own files or from the log's rows.

use std::collections::HashMap;

use anyhow::Result;
use pipeline::config::{CleanConfig, DocumentsConfig};
use records::{Field, Layout, RawFile, Reason};

use crate::input::{RecordCounts, RejectLimits, Source};
use crate::names::Names;

/// The documents by number.
#[derive(Debug, Default)]
pub(crate) struct Documents {
    pub(crate) ids: Names,
    pub(crate) titles: Vec<String>,
    pub(crate) summaries: Vec<String>,
    /// By document: the time of the earliest log row that carries it.
    first_seen: HashMap<u32, Option<i64>>,
}

impl Documents {
    /// Reads the document files.
    ///
    /// # Errors
    /// As [`Source::read`].
    pub(crate) fn read(
        files: Vec<RawFile>,
        layout: Layout,
        config: &DocumentsConfig,
        clean: &CleanConfig,
    ) -> Result<(Documents, RecordCounts)> {
        let columns = &config.columns;
        let mut fields = vec![Field::required(&columns.doc_id), Field::optional(&columns.title)];
        fields.extend(columns.summary.iter().map(|name| Field::optional(name)));
        let source = Source { what: "documents", files, layout, fields };
        let mut documents = Documents::default();
        let counts = source.read(RejectLimits::of(clean), |_, _, values| {
            let Some((Some(id), rest)) = values.split_first() else {
                return Err("doc_id is missing".into());
            };
            if documents.ids.find(id).is_some() {
                return Err(Reason::LeftOut("document id seen before"));
            }
            let text = |value: &Option<_>| value.as_deref().map(str::to_string);
            let title = rest.first().and_then(text).unwrap_or_default();
            let parts: Vec<String> = rest.iter().skip(1).filter_map(text).collect();
            documents.add(id, title, parts.join(" "));
            Ok(())
        })?;
        Ok((documents, counts))
    }

    fn add(&mut self, id: &str, title: String, summary: String) -> u32 {
        self.titles.push(title);
        self.summaries.push(summary);
        self.ids.number(id)
    }

    /// Adds a document from a log row and returns its number. Of several rows of a document the earliest is kept; without
    /// times, the first.
    pub(crate) fn see(&mut self, id: &str, shown_at: Option<i64>, title: &str, summary: &str) -> u32 {
        let number = match self.ids.find(id) {
            None => self.add(id, title.into(), summary.into()),
            Some(number) => {
                let before = self.first_seen.get(&number).copied().flatten();
                let earlier = shown_at.is_some_and(|now| before.is_none_or(|before| now < before));
                if !earlier {
                    return number;
                }
                self.titles[number as usize] = title.into();
                self.summaries[number as usize] = summary.into();
                number
            }
        };
        self.first_seen.insert(number, shown_at);
        number
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_earliest_row_describes_the_document() {
        let mut documents = Documents::default();
        for (shown_at, title) in
            [(None, "no time"), (Some(5), "five"), (Some(3), "three"), (Some(3), "late"), (None, "none")]
        {
            assert_eq!(documents.see("d", shown_at, title, ""), 0);
        }
        assert_eq!(documents.titles, ["three"]);
    }
}
