//! Where the documents of lists come from.

use std::fmt;

use serde_json::{Map, Value, json};

/// Why a document is in a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DocumentSource {
    /// It was shown for the query.
    Shown,
    /// It was found for the query.
    Found,
    /// It was drawn from all documents.
    Random,
    /// A file of scores has it.
    File,
}

impl DocumentSource {
    const ALL: [DocumentSource; 4] = [Self::Shown, Self::Found, Self::Random, Self::File];

    /// Its name in tables.
    pub(crate) fn name(self) -> &'static str {
        match self {
            DocumentSource::Shown => "shown",
            DocumentSource::Found => "found",
            DocumentSource::Random => "random",
            DocumentSource::File => "file",
        }
    }
}

/// How many documents of a table come from where, and what the teacher makes of them.
#[derive(Debug, Default)]
pub(crate) struct Distribution {
    /// Number and sum of scores of each source.
    counts: [(usize, f64); DocumentSource::ALL.len()],
}

impl Distribution {
    /// Counts a document with the name of its source.
    pub(crate) fn add(&mut self, source: &str, score: f32) {
        let counted = DocumentSource::ALL.iter().zip(&mut self.counts).find(|(known, _)| known.name() == source);
        if let Some((_, (count, sum))) = counted {
            *count += 1;
            *sum += f64::from(score);
        }
    }

    /// Documents, share of all and mean score of each source that has any.
    fn shares(&self) -> impl Iterator<Item = (&'static str, usize, f64, f64)> {
        let all: usize = self.counts.iter().map(|(count, _)| count).sum();
        let counted = DocumentSource::ALL.iter().zip(&self.counts).filter(|(_, (count, _))| *count > 0);
        counted
            .map(move |(source, &(count, sum))| (source.name(), count, count as f64 / all as f64, sum / count as f64))
    }

    /// The figures for the manifest.
    pub(crate) fn fact(&self) -> Value {
        let figures = self.shares().map(|(source, documents, share, mean_score)| {
            (source.to_string(), json!({ "documents": documents, "share": share, "mean_score": mean_score }))
        });
        Value::Object(figures.collect::<Map<_, _>>())
    }
}

impl fmt::Display for Distribution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (source, documents, share, mean)) in self.shares().enumerate() {
            let separator = if at > 0 { "; " } else { "" };
            write!(f, "{separator}{source} {documents} ({:.1} %), mean score {mean:.3}", 100.0 * share)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_counted_with_their_scores() {
        let mut distribution = Distribution::default();
        for (source, score) in [("shown", 1.0), ("random", -2.0), ("shown", 2.0), ("shown", 0.0)] {
            distribution.add(source, score);
        }
        assert_eq!(
            distribution.to_string(),
            "shown 3 (75.0 %), mean score 1.000; random 1 (25.0 %), mean score -2.000"
        );
        assert_eq!(distribution.fact()["random"], json!({ "documents": 1, "share": 0.25, "mean_score": -2.0 }));
        assert_eq!(distribution.fact().as_object().unwrap().len(), 2);
    }
}
