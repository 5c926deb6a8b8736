//! How many rows, queries and documents a run has: from the first records in proportion to the files' sizes, or from
//! `[simulate]`.

use ingest::sample::{Found, Input, SplitSample};
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
    /// The shares of the splits train, validation and test in the judged queries.
    pub(crate) shares: [f64; 3],
    /// Queries that train, judged or not.
    pub(crate) training_queries: f64,
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
                ..Size::default()
            };
        }
        for name in ["log", "documents", "queries", "judgments"] {
            if let Some(input) = named(inputs, name) {
                size.take(input);
            }
        }
        let ingest = &pipeline.ingest;
        if ingest.grades_from_clicks() {
            (size.judged_queries, size.judged_documents) = (size.queries, CLICKED_DEPTH);
        }
        if ingest.log.is_none() && pipeline.simulate.is_none() && pipeline.is_judged() {
            // Others of the files of query texts are left out.
            size.queries = size.judged_queries;
        }
        let of_files = named(inputs, "judgments").and_then(|input| match &input.found {
            Found::Judgments(sample) => sample.splits,
            _ => None,
        });
        size.part(&ingest.split, of_files);
        size
    }

    /// Shares out the queries: as files have them, or as they are drawn. Without a file of its own, validation has a part of the queries
    /// that no file or fold puts into the test split.
    fn part(&mut self, split: &SplitConfig, of_files: Option<[SplitSample; 3]>) {
        let drawn = split.train / (split.train + split.validation).max(f64::MIN_POSITIVE);
        if let Some(of_files) = of_files {
            self.shares = shares_of_queries(of_files);
        } else if let Some(folds) = split.folds {
            self.shares = [1.0 - 1.0 / folds as f64, 0.0, 1.0 / folds as f64];
        } else {
            self.shares = [split.train, split.validation, 1.0 - split.train - split.validation];
            self.training_queries = self.queries * split.train;
            return;
        }
        let [train, validation, test] = self.shares;
        let drawn = if validation > 0.0 { 1.0 } else { drawn };
        self.shares = [train * drawn, validation + train * (1.0 - drawn), test];
        self.training_queries = (self.queries - self.judged_queries * (validation + test)).max(0.0) * drawn;
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
                if let Some(splits) = sample.splits {
                    self.judged_queries = all * queries_of(splits).iter().sum::<f64>();
                    self.judged_documents = all / self.judged_queries.max(1.0);
                }
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

/// Queries of splits, of one judgment in all files. A split of whose files nothing was read is judged as deep as all.
fn queries_of(splits: [SplitSample; 3]) -> [f64; 3] {
    let of_one = |queries: u64, judgments: u64| queries as f64 / judgments.max(1) as f64;
    let all = of_one(splits.iter().map(|split| split.queries).sum(), splits.iter().map(|split| split.judgments).sum());
    splits.map(|split| split.share * if split.judgments > 0 { of_one(split.queries, split.judgments) } else { all })
}

/// The shares of splits in the queries of all.
fn shares_of_queries(splits: [SplitSample; 3]) -> [f64; 3] {
    let queries = queries_of(splits);
    let all: f64 = queries.iter().sum();
    queries.map(|queries| queries / all.max(f64::MIN_POSITIVE))
}

/// Memory for the log's rows, in bytes.
pub(crate) fn memory_limit(pipeline: &Pipeline) -> f64 {
    let machine = || models::machine_bytes().unwrap_or(8 << 30) / 2;
    pipeline.ingest.memory_limit.map_or_else(machine, |limit| limit.bytes) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parted(split: &SplitConfig, of_files: Option<[SplitSample; 3]>) -> ([f64; 3], f64) {
        let mut size = Size { queries: 1000.0, judged_queries: 200.0, ..Size::default() };
        size.part(split, of_files);
        (size.shares.map(|share| (share * 1000.0).round() / 1000.0), size.training_queries.round())
    }

    #[test]
    fn queries_are_parted_as_ingest_does() {
        let split = SplitConfig { train: 0.6, validation: 0.2, ..SplitConfig::default() };
        assert_eq!(parted(&split, None), ([0.6, 0.2, 0.2], 600.0));
        let folds = SplitConfig { folds: Some(2), ..split.clone() };
        assert_eq!(parted(&folds, None), ([0.375, 0.125, 0.5], 675.0));

        // The test split is judged to ten times the depth, so that it has as many judgments of a tenth of the queries.
        let sample = |share, queries, judgments| SplitSample { share, queries, judgments };
        let [train, none, test] = [sample(0.5, 100, 100), sample(0.0, 0, 0), sample(0.5, 10, 100)];
        assert_eq!(parted(&split, Some([train, none, test])), ([0.682, 0.227, 0.091], 736.0));
        assert_eq!(
            parted(&split, Some([sample(0.4, 100, 100), sample(0.1, 10, 10), test])),
            ([0.727, 0.182, 0.091], 945.0)
        );
        assert_eq!(parted(&split, Some([none, none, test])), ([0.0, 0.0, 1.0], 600.0));
        // Nothing was read of the test split's files.
        let [train, test] = [sample(0.5, 10, 20), sample(0.5, 0, 0)];
        assert_eq!(parted(&split, Some([train, none, test])), ([0.375, 0.125, 0.5], 675.0));
    }
}
