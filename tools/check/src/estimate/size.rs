//! How many rows, queries and documents a run has: from the first records in proportion to the files' sizes, or from
//! `[simulate]`.

use ingest::sample::{Found, Input};
use pipeline::config::SplitConfig;
use pipeline::{Pipeline, counted};

use crate::{named, numbers};

/// Queries grow slower than searches: with their number to this power, as words of a text do (Heaps' law).
const GROWTH: f64 = 0.6;
/// Characters of the documents and queries that `simulate` makes.
const SIMULATED_CHARS: (f64, f64) = (130.0, 20.0);
/// Judged documents of a query where clicks give the grades.
const CLICKED_DEPTH: f64 = 10.0;

/// How much there is of everything.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Size {
    /// Rows of the log.
    pub(crate) rows: f64,
    /// Distinct queries.
    pub(crate) queries: f64,
    /// Documents.
    pub(crate) documents: f64,
    /// Characters of a document.
    pub(crate) document_chars: f64,
    /// Characters of a query.
    pub(crate) query_chars: f64,
    /// Queries with judgments.
    pub(crate) judged_queries: f64,
    /// Judged documents of such a query.
    pub(crate) judged_documents: f64,
    /// The shares of the splits train, validation and test in the queries.
    pub(crate) shares: [f64; 3],
}

impl Size {
    /// What the inputs hold; what stage `simulate` is still to make, as the configuration has it.
    pub(crate) fn of(pipeline: &Pipeline, inputs: &[Input]) -> Size {
        let mut size = Size::default();
        if let Some(simulate) = &pipeline.simulate {
            let world = simulate.world.clone().unwrap_or_default();
            let (document_chars, query_chars) = SIMULATED_CHARS;
            size = Size {
                rows: (simulate.searches * simulate.results_per_page) as f64,
                queries: world.queries as f64,
                documents: world.documents as f64,
                document_chars,
                query_chars,
                judged_queries: world.judged_queries as f64,
                judged_documents: world.judged_documents as f64,
                shares: [0.0; 3],
            };
        }
        for name in ["log", "documents", "queries", "judgments"] {
            if let Some(input) = named(inputs, name) {
                size.take(input);
            }
        }
        let ingest = &pipeline.ingest;
        size.shares = match size.shares {
            [0.0, 0.0, 0.0] => split_shares(&ingest.split),
            of_files => with_validation(of_files, &ingest.split),
        };
        if ingest.grades_from_clicks() {
            (size.judged_queries, size.judged_documents) = (size.queries, CLICKED_DEPTH);
        }
        size
    }

    /// Takes over what an input holds.
    fn take(&mut self, input: &Input) {
        let all = input.all_records().unwrap_or(input.records) as f64;
        let scale = all / input.records.max(1) as f64;
        match &input.found {
            Found::Log(log) => {
                self.rows = all.max(log.results as f64 * scale);
                self.queries = log.queries as f64 * scale.powf(GROWTH);
                self.query_chars = log.query_chars as f64 / log.queries.max(1) as f64;
                if log.documents > 0 {
                    self.documents = log.documents as f64 * scale.powf(GROWTH);
                    self.document_chars = log.text_chars as f64 / log.documents as f64;
                }
            }
            Found::Documents(sample) => {
                self.documents = (sample.documents - sample.repeated) as f64 * scale;
                self.document_chars = sample.text_chars as f64 / sample.documents.max(1) as f64;
            }
            Found::Queries(queries) => {
                self.queries = self.queries.max(*queries as f64 * scale);
                self.query_chars = if self.query_chars > 0.0 { self.query_chars } else { SIMULATED_CHARS.1 };
            }
            Found::Judgments(sample) => {
                let judgments: u64 = sample.grades.iter().sum();
                self.judged_queries = sample.queries as f64 * scale;
                self.judged_documents = judgments as f64 / sample.queries.max(1) as f64;
                self.shares = sample.shares.unwrap_or_default();
            }
            Found::Nothing => {}
        }
    }

    /// Queries of the test split that are judged, or all of it where nothing is judged.
    pub(crate) fn test_queries(&self, pipeline: &Pipeline) -> f64 {
        self.shares[2] * if pipeline.is_judged() { self.judged_queries } else { self.queries }
    }

    /// The counts, in words.
    pub(crate) fn text(&self) -> String {
        let Size { rows, queries, documents, judged_queries, .. } = *self;
        let counts = [(rows, "row"), (queries, "query"), (documents, "document"), (judged_queries, "judged query")];
        let [rows, queries, documents, judged] = counts.map(|(count, noun)| counted(numbers::count(count), noun));
        format!("{rows} of the log, {queries}, {documents}, {judged}")
    }
}

/// The shares of the splits where the configuration draws them.
fn split_shares(split: &SplitConfig) -> [f64; 3] {
    match split.folds.map(|folds| 1.0 / folds as f64) {
        Some(test) => with_validation([1.0 - test, 0.0, test], split),
        None => [split.train, split.validation, 1.0 - split.train - split.validation],
    }
}

/// The shares of the splits where files or folds decide on the test split: without a file of its own, validation has a part of the
/// training queries.
fn with_validation([train, validation, test]: [f64; 3], split: &SplitConfig) -> [f64; 3] {
    if validation > 0.0 {
        return [train, validation, test];
    }
    let drawn = train * split.validation / (split.train + split.validation).max(f64::MIN_POSITIVE);
    [train - drawn, drawn, test]
}

/// Memory for the log's rows, in bytes.
pub(crate) fn memory_limit(pipeline: &Pipeline) -> f64 {
    let machine = || models::machine_bytes().unwrap_or(8 << 30) / 2;
    pipeline.ingest.memory_limit.map_or_else(machine, |limit| limit.bytes) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn validation_without_a_file_of_its_own_has_a_part_of_the_training_queries() {
        let split = SplitConfig { train: 0.6, validation: 0.2, ..SplitConfig::default() };
        let near = |found: [f64; 3], expected: [f64; 3]| {
            assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-9), "{found:?}, expected {expected:?}");
        };
        near(split_shares(&split), [0.6, 0.2, 0.2]);
        near(with_validation([0.8, 0.0, 0.2], &split), [0.6, 0.2, 0.2]);
        near(with_validation([0.5, 0.1, 0.4], &split), [0.5, 0.1, 0.4]);
        near(split_shares(&SplitConfig { folds: Some(2), ..split }), [0.375, 0.125, 0.5]);
    }
}
