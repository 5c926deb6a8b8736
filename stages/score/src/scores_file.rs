//! A teacher that is a file: scores that somebody made elsewhere.

use std::collections::{BTreeMap, HashSet};

use collection::{Corpus, TRAIN};
use pipeline::config::{ScoresFile, ScoresFormat};
use pipeline::{BadInput, RunPaths};
use ranking::standardisation::Standardisation;
use records::{Blocks, Dialect, Field, Layout, RawFile, RawFormat, Reason, Record};

use crate::lists::{Queries, UnlabelledList, pairs};
use crate::orders_file::{self, OrderedList, Repairs};
use crate::sources::DocumentSource;
use crate::teachers::scores_of_order;

/// Characters of a value that an error tells.
const TOLD: usize = 60;

/// The scores of a file, by query and document of the corpus.
#[derive(Debug)]
pub(crate) struct FileScores {
    file: RawFile,
    wanted: Queries,
    lists: BTreeMap<usize, BTreeMap<usize, f32>>,
    /// Pairs that an answer left out, where the file has answers.
    left_out: Option<HashSet<(usize, usize)>>,
}

/// Rows of a file by what the corpus has of them.
#[derive(Debug, Default)]
struct Overlap {
    rows: u64,
    known_query: u64,
    known_document: u64,
    /// Of queries of other splits, which the student never learns from.
    held_out: u64,
    /// Of both and of the training split.
    train: u64,
}

impl FileScores {
    /// Reads a file.
    ///
    /// # Errors
    /// [`BadInput`] for a row without query, document or a finite score, for two scores of a pair or two orders of a query, and for
    /// a file that has nothing in common with the training queries and the documents; [`records::Error`].
    pub(crate) fn read(
        paths: &RunPaths,
        config: &ScoresFile,
        (corpus, wanted): (&Corpus, Queries),
    ) -> anyhow::Result<FileScores> {
        let path = paths.resolve(&config.path);
        let file = RawFile { name: paths.display_name(&path).into(), path };
        let left_out = config.permutations.is_some().then(HashSet::new);
        let mut scores = FileScores { file: file.clone(), wanted, lists: BTreeMap::new(), left_out };
        let mut overlap = Overlap::default();
        match layout(config.format) {
            Some((layout, names)) => {
                let fields = names.map(Field::required);
                // A header alone.
                if Blocks::open(&file, &layout, &fields)?.next(1)?.is_none() {
                    Err(without_rows(&file))?;
                }
                records::read::<anyhow::Error>(&file, &layout, &fields, &mut |record| {
                    scores.add(corpus, record, &mut overlap)
                })?;
            }
            None => {
                let repairs = orders_file::read((paths, config), &file, corpus, &mut |line, list| {
                    scores.add_order(corpus, line, &list, &mut overlap)
                })?;
                if repairs != Repairs::default() {
                    tracing::info!("score: {}: {repairs}", file.name);
                }
            }
        }
        if overlap.rows == 0 {
            Err(without_rows(&file))?;
        }
        let Overlap { rows, known_query, known_document, held_out, train } = overlap;
        let told = format!(
            "{rows} rows: {known_query} of known queries, {known_document} of known documents, {train} of both and of the \
             training split, {held_out} of both and of other splits"
        );
        if train == 0 {
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
            // A number that is none counts as missing in JSON and Parquet.
            Err(Reason::Malformed(reason)) if reason == "score is missing" => {
                return refused(
                    "expected a finite number as the score, found none, null or NaN; correct or remove the row".into(),
                );
            }
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
        let found = (corpus.query(query_id).ok(), corpus.document(doc_id));
        let Some((query, document)) = overlap.count(corpus, found, self.wanted) else { return Ok(()) };
        match self.lists.entry(query).or_default().insert(document, score) {
            Some(before) if before != score => refused(format!(
                "expected one score of query `{query_id}` and document `{doc_id}`, found {before} and {score}; keep one"
            )),
            _ => Ok(()),
        }
    }

    /// Adds a list in order: the documents that the collection has get equal steps from 1 to 0.
    fn add_order(
        &mut self,
        corpus: &Corpus,
        line: u64,
        list: &OrderedList,
        overlap: &mut Overlap,
    ) -> anyhow::Result<()> {
        let known = list.documents.iter().filter_map(|(doc_id, left_out)| {
            let found = (list.query, corpus.document(doc_id));
            Some((overlap.count(corpus, found, self.wanted)?, *left_out))
        });
        let known: Vec<((usize, usize), bool)> = known.collect();
        let Some(&((query, _), _)) = known.first() else { return Ok(()) };
        let order: Vec<usize> = (0..known.len()).collect();
        let scores = scores_of_order(&order);
        let scored = known.iter().zip(scores).map(|(((_, document), _), score)| (*document, score));
        if self.lists.insert(query, scored.collect()).is_some() {
            let (file, query) = (&self.file.name, &list.query_name);
            Err(BadInput(format!("{file}:{line}: expected one list of query `{query}`, found another; keep one")))?;
        }
        if let Some(all) = &mut self.left_out {
            all.extend(known.into_iter().filter(|(_, left_out)| *left_out).map(|(pair, _)| pair));
        }
        Ok(())
    }

    /// For each document of lists, one list after the other, whether an answer left it out; `None` where there are no answers.
    pub(crate) fn left_out(&self, lists: &[UnlabelledList]) -> Option<Vec<bool>> {
        let left_out = self.left_out.as_ref()?;
        Some(pairs(lists).map(|pair| left_out.contains(&pair)).collect())
    }

    /// Its queries, in the order of their ids.
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

impl Overlap {
    /// Counts a row, whose query and document the corpus may have; the pair if it is one of `wanted`.
    fn count(
        &mut self,
        corpus: &Corpus,
        (query, document): (Option<usize>, Option<usize>),
        wanted: Queries,
    ) -> Option<(usize, usize)> {
        self.rows += 1;
        self.known_query += u64::from(query.is_some());
        self.known_document += u64::from(document.is_some());
        let (query, document) = (query?, document?);
        let split = &corpus.queries[query].split;
        *(if split == TRAIN { &mut self.train } else { &mut self.held_out }) += 1;
        wanted.are_of(split).then_some((query, document))
    }
}

fn without_rows(file: &RawFile) -> BadInput {
    BadInput(format!("{}: expected rows of scores, found none; name the file that has them", file.name))
}

/// How a table of scores is read, and what it calls query, document and score; `None` for files of orders.
fn layout(format: ScoresFormat) -> Option<(Layout, [&'static str; 3])> {
    let named = |format| Some((Layout::new(format, &Dialect::default()), ["query_id", "doc_id", "score"]));
    match format {
        ScoresFormat::Jsonl => named(RawFormat::Jsonl),
        ScoresFormat::Csv => named(RawFormat::Csv),
        ScoresFormat::Tsv => named(RawFormat::Tsv),
        ScoresFormat::Parquet => named(RawFormat::Parquet),
        ScoresFormat::Trec => Some((Layout::space(), ["1", "3", "5"])),
        ScoresFormat::RankLlm | ScoresFormat::RankGpt => None,
    }
}
