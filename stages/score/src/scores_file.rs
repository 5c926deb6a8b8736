//! A teacher that is a file: scores that somebody made elsewhere.

use std::collections::BTreeMap;

use collection::{Corpus, TRAIN};
use pipeline::config::{ScoresFile, ScoresFormat};
use pipeline::{BadInput, RunPaths};
use ranking::standardisation::Standardisation;
use records::{Dialect, Field, Layout, RawFile, RawFormat, Reason, Record};

use crate::lists::{UnlabelledList, pairs};
use crate::sources::DocumentSource;

/// Characters of a value that an error tells.
const TOLD: usize = 60;

/// The scores of a file, by query and document of the corpus.
#[derive(Debug)]
pub(crate) struct FileScores {
    file: RawFile,
    lists: BTreeMap<usize, BTreeMap<usize, f32>>,
}

/// Rows of a file by what the corpus has of them.
#[derive(Debug, Default)]
struct Overlap {
    rows: u64,
    known_query: u64,
    known_document: u64,
    /// Of queries of other splits, which the student never learns from.
    held_out: u64,
    taken: u64,
}

impl FileScores {
    /// Reads a file.
    ///
    /// # Errors
    /// [`BadInput`] for a row without query, document or a finite score, for two scores of a pair, and for a file that has
    /// nothing in common with the training queries and the documents; [`records::Error`].
    pub(crate) fn read(paths: &RunPaths, config: &ScoresFile, corpus: &Corpus) -> anyhow::Result<FileScores> {
        let path = paths.resolve(&config.path);
        let file = RawFile { name: paths.display_name(&path).into(), path };
        let (layout, names) = layout(config.format);
        let mut scores = FileScores { file: file.clone(), lists: BTreeMap::new() };
        let mut overlap = Overlap::default();
        records::read::<anyhow::Error>(&file, &layout, &names.map(Field::required), &mut |record| {
            scores.add(corpus, record, &mut overlap)
        })?;
        let Overlap { rows, known_query, known_document, held_out, taken } = overlap;
        let told = format!(
            "{rows} rows: {known_query} of known queries, {known_document} of known documents, {taken} of both and of the \
             training split, {held_out} of both and of other splits"
        );
        if taken == 0 {
            let name = &scores.file.name;
            Err(BadInput(format!(
                "{name}: expected scores of training queries and documents of this collection, found {told}; look at the ids"
            )))?;
        }
        tracing::info!("score: {}: {told}", scores.file.name);
        Ok(scores)
    }

    fn add(&mut self, corpus: &Corpus, record: &Record<'_>, overlap: &mut Overlap) -> anyhow::Result<()> {
        let refused = |problem: String| Err(BadInput(format!("{}:{}: {problem}", self.file.name, record.line)).into());
        let values = match &record.values {
            Ok(values) => *values,
            Err(Reason::LeftOut(_)) => return Ok(()),
            Err(Reason::Malformed(reason)) => return refused(format!("expected a row of scores, found: {reason}")),
            Err(Reason::Binary(damage)) => return refused(format!("expected a row of scores, found {damage}")),
        };
        let (Some(query_id), Some(doc_id)) = (values[0].text(), values[1].text()) else {
            return refused("expected a query and a document, found none; remove the row".into());
        };
        let found = values[2].text().unwrap_or("none");
        let Some(score) = found.parse::<f32>().ok().filter(|score| score.is_finite()) else {
            let found = records::printable(found.as_bytes(), TOLD);
            return refused(format!("expected a finite number as the score, found {found}; correct or remove the row"));
        };
        overlap.rows += 1;
        let (query, document) = (corpus.query(query_id).ok(), corpus.document(doc_id));
        overlap.known_query += u64::from(query.is_some());
        overlap.known_document += u64::from(document.is_some());
        let (Some(query), Some(document)) = (query, document) else { return Ok(()) };
        if corpus.queries[query].split != TRAIN {
            overlap.held_out += 1;
            return Ok(());
        }
        overlap.taken += 1;
        match self.lists.entry(query).or_default().insert(document, score) {
            Some(before) if before != score => refused(format!(
                "expected one score of query `{query_id}` and document `{doc_id}`, found {before} and {score}; keep one"
            )),
            _ => Ok(()),
        }
    }

    /// Its training queries, in the order of their ids.
    pub(crate) fn queries(&self) -> impl Iterator<Item = usize> {
        self.lists.keys().copied()
    }

    /// Documents of its longest list.
    pub(crate) fn longest(&self) -> usize {
        self.lists.values().map(BTreeMap::len).max().unwrap_or_default()
    }

    /// Refuses what could not be averaged with other teachers, before these are asked: a file that lacks a pair of `given`, whose
    /// lists are scored, or whose scores are all the same.
    ///
    /// # Errors
    /// [`BadInput`].
    pub(crate) fn check_beside_others(&self, corpus: &Corpus, given: &FileScores) -> anyhow::Result<()> {
        for &query in given.lists.keys() {
            let list = UnlabelledList::new(query).with(DocumentSource::File, given.documents(query));
            self.scores(corpus, &[list])?;
        }
        let scores: Vec<f32> = self.lists.values().flat_map(BTreeMap::values).copied().collect();
        Standardisation::fit(&scores)
            .map_err(|error| BadInput(format!("{}: {error}; leave it out", self.file.name)))?;
        Ok(())
    }

    /// The documents that it scores for a query.
    pub(crate) fn documents(&self, query: usize) -> Vec<usize> {
        self.lists.get(&query).map(|list| list.keys().copied().collect()).unwrap_or_default()
    }

    /// The scores of the documents of lists, one list after the other.
    ///
    /// # Errors
    /// [`BadInput`] for a document without a score.
    pub(crate) fn scores(&self, corpus: &Corpus, lists: &[UnlabelledList]) -> anyhow::Result<Vec<f32>> {
        let score = |(query, document): (usize, usize)| match self
            .lists
            .get(&query)
            .and_then(|list| list.get(&document))
        {
            Some(&score) => Ok(score),
            None => Err(BadInput(format!(
                "{}: expected a score of query `{}` and document `{}`, as another teacher has, found none; add it, or leave \
                 the pair out of the others",
                self.file.name,
                corpus.queries[query].query_id,
                corpus.doc_id(document)
            ))),
        };
        Ok(pairs(lists).map(score).collect::<Result<_, _>>()?)
    }
}

/// How a format is read, and what it calls query, document and score.
fn layout(format: ScoresFormat) -> (Layout, [&'static str; 3]) {
    let named = |format| (Layout::new(format, &Dialect::default()), ["query_id", "doc_id", "score"]);
    match format {
        ScoresFormat::Jsonl => named(RawFormat::Jsonl),
        ScoresFormat::Csv => named(RawFormat::Csv),
        ScoresFormat::Tsv => named(RawFormat::Tsv),
        ScoresFormat::Parquet => named(RawFormat::Parquet),
        ScoresFormat::Trec => (Layout::space(), ["1", "3", "5"]),
    }
}
