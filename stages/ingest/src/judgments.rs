//! Graded queries and documents, from files or from clicks.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap, HashSet};

use anyhow::Result;
use pipeline::BadInput;
use pipeline::config::{IngestConfig, JudgmentColumns, JudgmentFormat, JudgmentsConfig, QueryFiles};
use records::{Dialect, Field, Layout, RawFile, RawFormat, Reason, Value};

use crate::documents::{Document, Documents};
use crate::input::{Counts, Place, Source};
use crate::pairs::Pair;
use crate::query::{Queries, QueryIds, TextHash};
use crate::report::Fate;
use crate::split::Split;
use crate::value::{self, Grades};

/// How relevant a document is to a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Judgment {
    pub(crate) query: u32,
    pub(crate) document: u32,
    pub(crate) grade: i32,
}

/// The files of the judgments, each with its split if it has one, and the files of query texts.
#[derive(Debug, Default)]
pub(crate) struct JudgmentFiles {
    pub(crate) files: Vec<(RawFile, Option<Split>)>,
    pub(crate) queries: Vec<RawFile>,
}

/// A judgment as a record gives it.
#[derive(Debug)]
struct Given {
    /// The id of the query, or its text.
    query: String,
    document: String,
    grade: i32,
    place: Place,
}

/// Judgments that were read, before queries and documents have numbers.
#[derive(Debug)]
pub(crate) struct Read {
    source: Source,
    given: Vec<Given>,
    /// Queries of the files with a split, and the split.
    splits: Vec<(String, Split)>,
    /// True if the judgments name queries by their texts.
    by_text: bool,
    /// Ids and texts of the queries, where there are files of them.
    queries: Option<Vec<(String, String)>>,
    /// Judged documents that the files hold.
    pub(crate) documents: Vec<Document>,
    pub(crate) counts: Counts,
    pub(crate) query_counts: Counts,
}

/// The judgments of the tables, and what the files say about their queries.
#[derive(Debug, Default)]
pub(crate) struct Judged {
    pub(crate) judgments: Vec<Judgment>,
    /// By judged query: the first of its ids.
    pub(crate) ids: HashMap<u32, String>,
    /// By query of a file with a split: the split. Of several, the one furthest from training.
    pub(crate) splits: HashMap<u32, Split>,
}

const NOT_IN_LOG: &str = "query not in the log";
const UNKNOWN_DOCUMENT: &str = "document not in the document table";
const WITHOUT_TEXT: &str = "query without a visible character";
const GIVEN_TWICE: &str = "judgment given twice";
const MERGED: &str = "judged as high or higher under another id of the same query text";

/// Reads the files.
///
/// # Errors
/// [`BadInput`] on any malformed record, a grade out of range, and a query and document judged twice with different grades.
pub(crate) fn read(files: JudgmentFiles, config: &IngestConfig) -> Result<Read> {
    let nulls = &config.clean.null_values;
    let (queries, query_counts) = match config.query_files().1 {
        None => (None, Counts::default()),
        Some(table) => {
            let (queries, counts) = read_queries(&query_source(files.queries, table, nulls, u64::MAX))?;
            (Some(queries), counts)
        }
    };
    let Some(judgments) = &config.judgments else { return Ok(Read::of_queries(queries, query_counts)) };
    let read = read_judged(files.files, judgments, config, u64::MAX)?;
    Ok(Read { queries, query_counts, ..read })
}

/// Reads the first `most` judgments of each file, without the texts of the queries that they name by ids.
///
/// # Errors
/// As [`read`]; [`BadInput`] on query ids where neither the log nor files of query texts have any.
pub(crate) fn read_judged(
    files: Vec<(RawFile, Option<Split>)>,
    judgments: &JudgmentsConfig,
    config: &IngestConfig,
    most: u64,
) -> Result<Read> {
    let width = config.log.as_ref().map_or(0, |log| log.doc_id_width);
    let (files, splits): (Vec<RawFile>, Vec<Option<Split>>) = files.into_iter().unzip();
    let (layout, columns) = layout(judgments);
    let mut fields = Vec::new();
    let places = Columns::add(&columns, &mut fields);
    let source = Source { files, layout: layout.with_nulls(config.clean.null_values.clone()), fields, most };
    let grades = Grades::new(&judgments.grade_map);
    let mut seen: HashMap<(String, String), i32> = HashMap::new();
    let (mut given, mut documents, mut twice) = (Vec::new(), Vec::new(), Vec::new());
    let mut splits_of_queries = Vec::new();
    let counts = source.read(|place, values| {
        let (query, document, grade) = places.take(values, width, &mut documents)?;
        let grade = grades.read(grade).map_err(|reason| Reason::Malformed(reason.into()))?;
        splits_of_queries.extend(splits[place.file].map(|split| (query.clone(), split)));
        match seen.insert((query.clone(), document.clone()), grade) {
            None => given.push(Given { query, document, grade, place }),
            Some(before) if before == grade => twice.push(place),
            Some(_) => return Err("query and document judged twice, keep one of the lines".into()),
        }
        Ok(())
    });
    let mut counts = counts.map_err(|error| with_advice(error, judgments.format))?;
    twice.iter().for_each(|place| counts.take_back(&source, place, Fate::Merged, GIVEN_TWICE));
    let by_text = places.query_text;
    if !by_text && judgments.queries.is_none() {
        check_query_ids(&given, config)?;
    }
    given.sort_by(|a, b| (&a.query, &a.document).cmp(&(&b.query, &b.document)));
    splits_of_queries.sort_unstable();
    splits_of_queries.dedup();
    let splits = splits_of_queries;
    Ok(Read { source, given, splits, by_text, documents, counts, ..Read::of_queries(None, Counts::default()) })
}

/// Adds what to do about files whose columns have other names than those of the format.
fn with_advice(error: anyhow::Error, format: JudgmentFormat) -> anyhow::Error {
    match error.downcast::<records::Error>() {
        Ok(records::Error::BadFile { path, problem })
            if format == JudgmentFormat::Beir && problem.starts_with("expected a column") =>
        {
            let problem = format!("{problem}; for either, set ingest.judgments.format = \"tsv\"");
            records::Error::BadFile { path, problem }.into()
        }
        Ok(other) => other.into(),
        Err(error) => error,
    }
}

/// Refuses query ids where the log has none, but for those that ingest itself gives to texts.
fn check_query_ids(given: &[Given], config: &IngestConfig) -> Result<(), BadInput> {
    let has_ids = config.log.iter().flat_map(|log| log.all_columns()).any(|columns| columns.query_id.is_some());
    match given.first() {
        Some(first) if !has_ids && !given.iter().any(|given| TextHash::is_id(&given.query)) => Err(BadInput(format!(
            "judgments: expected query ids that the log has too, found `{}` and no ingest.log.columns.query_id; map it, give the \
             queries' texts in ingest.judgments.queries, or name the column of texts in ingest.judgments.columns.query",
            records::printable(first.query.as_bytes(), 60)
        ))),
        _ => Ok(()),
    }
}

/// The layout of judgment files and their columns.
pub(crate) fn layout(config: &JudgmentsConfig) -> (Layout, JudgmentColumns) {
    let named = |query: &str, document: &str, grade: &str| JudgmentColumns {
        query_id: Some(query.into()),
        query: None,
        doc_id: Some(document.into()),
        title: None,
        summary: None,
        grade: grade.into(),
    };
    let plain = Dialect::default();
    match (config.format, &config.columns) {
        (JudgmentFormat::Trec, _) => (Layout::space(), named("1", "3", "4")),
        (JudgmentFormat::Csv, Some(columns)) => (Layout::new(RawFormat::Csv, &config.dialect), columns.clone()),
        (JudgmentFormat::Tsv, Some(columns)) => (Layout::new(RawFormat::Tsv, &config.dialect), columns.clone()),
        (JudgmentFormat::Beir, _) => (Layout::new(RawFormat::Tsv, &plain), named("query-id", "corpus-id", "score")),
        _ => (Layout::new(RawFormat::Parquet, &plain), named("query_id", "doc_id", "grade")),
    }
}

/// Places of the columns in a record's values.
#[derive(Debug)]
struct Columns {
    query: usize,
    query_text: bool,
    document: Option<usize>,
    title: Option<usize>,
    summary: Option<usize>,
    grade: usize,
}

impl Columns {
    fn add(columns: &JudgmentColumns, fields: &mut Vec<Field>) -> Columns {
        let mut add = |field: Field| {
            fields.push(field);
            fields.len() - 1
        };
        let query = columns.query.as_deref().or(columns.query_id.as_deref()).unwrap_or_default();
        Columns {
            query: add(Field::required(query)),
            query_text: columns.query.is_some(),
            document: columns.doc_id.as_deref().map(|name| add(Field::required(name))),
            title: columns.title.as_deref().map(|name| add(Field::optional(name))),
            summary: columns.summary.as_deref().map(|name| add(Field::optional(name))),
            grade: add(Field::required(&columns.grade)),
        }
    }

    /// Query, document and grade of a record; a document that the record holds goes into `documents`.
    fn take<'v>(
        &self,
        values: &'v [Value],
        width: usize,
        documents: &mut Vec<Document>,
    ) -> Result<(String, String, &'v str), Reason> {
        let text = |at: usize| values.get(at).and_then(Value::text);
        let (Some(query), Some(grade)) = (text(self.query), text(self.grade)) else {
            return Err("a field is missing".into());
        };
        let query = if self.query_text { query.to_string() } else { value::id(query).into_owned() };
        let own = |at: Option<usize>| at.and_then(text).unwrap_or_default().to_string();
        let (title, summary) = (own(self.title), own(self.summary));
        let id = match self.document.and_then(text) {
            Some(id) => value::padded(&value::id(id), width).into_owned(),
            None if title.is_empty() && summary.is_empty() => return Err("a field is missing".into()),
            None => TextHash::of(&format!("{title}\n{summary}")).id(),
        };
        if self.title.is_some() {
            documents.push(Document { id: id.clone(), title, summary });
        }
        Ok((query, id, grade))
    }
}

/// The files of query texts that judgments refer to, of which `most` records each are read.
pub(crate) fn query_source(files: Vec<RawFile>, table: &QueryFiles, nulls: &[String], most: u64) -> Source {
    let (layout, names) = match table {
        QueryFiles::Beir(_) => (Layout::new(RawFormat::Jsonl, &Dialect::default()), ["_id", "text"]),
        QueryFiles::Table(table) => {
            (Layout::new(table.format, &table.dialect), [table.id.as_str(), table.text.as_str()])
        }
    };
    let fields = names.map(Field::required).to_vec();
    Source { files, layout: layout.with_nulls(nulls.to_vec()), fields, most }
}

/// Reads query texts: ids and texts.
///
/// # Errors
/// As [`read`].
pub(crate) fn read_queries(source: &Source) -> Result<(Vec<(String, String)>, Counts)> {
    let mut queries: BTreeMap<String, String> = BTreeMap::new();
    let (mut twice, mut blank) = (Vec::new(), Vec::new());
    let mut counts = source.read(|place, values| {
        let [Some(id), Some(text)] = [0, 1].map(|at| values.get(at).and_then(Value::text)) else {
            return Err("the id or the text is missing".into());
        };
        let id = value::id(id).into_owned();
        match queries.get(&id) {
            None => {
                if analysis::normalised_query(text).is_empty() {
                    blank.push(place);
                }
                queries.insert(id, text.to_string());
            }
            Some(known) if known == text => twice.push(place),
            Some(_) => return Err("query id given twice".into()),
        }
        Ok(())
    })?;
    blank.iter().for_each(|place| counts.take_back(source, place, Fate::LeftOut, WITHOUT_TEXT));
    twice.iter().for_each(|place| counts.take_back(source, place, Fate::Merged, "query given twice"));
    Ok((queries.into_iter().collect(), counts))
}

impl Read {
    /// Queries without judgments.
    fn of_queries(queries: Option<Vec<(String, String)>>, query_counts: Counts) -> Read {
        let layout = Layout::new(RawFormat::Jsonl, &Dialect::default());
        Read {
            source: Source { files: Vec::new(), layout, fields: Vec::new(), most: u64::MAX },
            given: Vec::new(),
            splits: Vec::new(),
            by_text: false,
            queries,
            documents: Vec::new(),
            counts: Counts::default(),
            query_counts,
        }
    }

    /// The files, and how they are read.
    pub(crate) fn source(&self) -> &Source {
        &self.source
    }

    /// The queries that files of this split judge, each once.
    pub(crate) fn queries_of(&self, split: Split) -> impl Iterator<Item = &str> {
        self.splits.iter().filter(move |(_, of)| *of == split).map(|(query, _)| query.as_str())
    }

    /// The queries, by id or text, and grades of the judgments that were read.
    pub(crate) fn grades(&self) -> impl Iterator<Item = (&str, i32)> {
        self.given.iter().map(|given| (given.query.as_str(), given.grade))
    }

    /// Adds the queries of the files to `queries`, with their ids where `keep_ids` says so.
    pub(crate) fn add_queries(&self, queries: &mut Queries, keep_ids: bool) {
        for (id, text) in self.queries.iter().flatten() {
            if let (Some(query), true) = (queries.number(text), keep_ids) {
                queries.note_id(query, id);
            }
        }
        if self.by_text {
            self.given.iter().for_each(|given| {
                queries.number(&given.query);
            });
        }
    }

    /// Judgments of known queries and documents. A judgment holds for every query with its id. Where several ids have one text,
    /// a document's highest grade is kept.
    ///
    /// # Errors
    /// [`BadInput`] on a query id that the files of queries do not have, and where there were judgments and none is left.
    pub(crate) fn resolve(&mut self, queries: &mut Queries, documents: &Documents) -> Result<Judged> {
        let ids = self.query_ids(queries);
        let mut known: Vec<(u32, u32, Reverse<i32>, usize)> = Vec::new();
        let mut judged = Judged::default();
        for (id, split) in &self.splits {
            for &query in ids.get(id).into_iter().flatten() {
                let known = judged.splits.entry(query).or_insert(*split);
                *known = (*split).max(*known);
            }
        }
        for (at, given) in self.given.iter().enumerate() {
            let Some(of_id) = ids.get(&given.query) else {
                let is_named = |queries: &Vec<(String, String)>| {
                    queries.binary_search_by(|(id, _)| id.as_str().cmp(&given.query)).is_ok()
                };
                if self.queries.as_ref().is_some_and(|queries| !is_named(queries)) {
                    let problem = format!("the query id is not in ingest.judgments.queries: `{}`", given.place.content);
                    Err(self.source.files[given.place.file].bad_line(given.place.line, problem))?;
                }
                let reason = if self.queries.is_some() { WITHOUT_TEXT } else { NOT_IN_LOG };
                self.counts.take_back(&self.source, &given.place, Fate::LeftOut, reason);
                continue;
            };
            let Some(document) = documents.ids.find(&given.document) else {
                self.counts.take_back(&self.source, &given.place, Fate::LeftOut, UNKNOWN_DOCUMENT);
                continue;
            };
            known.extend(of_id.iter().map(|&query| (query, document, Reverse(given.grade), at)));
        }
        known.sort_unstable();
        let mut used = vec![false; self.given.len()];
        for of_pair in known.chunk_by(|a, b| (a.0, a.1) == (b.0, b.1)) {
            let (query, document, Reverse(grade), at) = of_pair[0];
            used[at] = true;
            judged.judgments.push(Judgment { query, document, grade });
        }
        let mut lost: Vec<usize> = known.iter().map(|&(.., at)| at).filter(|&at| !used[at]).collect();
        lost.sort_unstable();
        lost.dedup();
        lost.into_iter()
            .for_each(|at| self.counts.take_back(&self.source, &self.given[at].place, Fate::Merged, MERGED));
        let queries = judged.judgments.iter().map(|judgment| judgment.query).collect();
        judged.ids = first_ids(&ids, &queries);
        if judged.judgments.is_empty() && !self.source.files.is_empty() {
            let reason = self.counts.tallies.main_loss(false);
            let why = reason.map_or(String::new(), |(reason, tally)| {
                format!(", most for \"{reason}\", such as `{}`", tally.example)
            });
            let problem =
                format!("expected judgments of the log's documents, found none{why}; correct ingest.judgments");
            Err(BadInput(format!("judgments: {problem}")))?;
        }
        Ok(judged)
    }

    fn query_ids(&self, queries: &mut Queries) -> QueryIds {
        if self.by_text {
            let texts = self.given.iter().map(|given| given.query.as_str());
            let number = |text: &str| Some((text.to_string(), vec![queries.number(text)?]));
            return texts.filter_map(number).collect();
        }
        match &self.queries {
            None => queries.by_id(),
            Some(texts) => {
                let number = |(id, text): &(String, String)| Some((id.clone(), vec![queries.number(text)?]));
                texts.iter().filter_map(number).collect()
            }
        }
    }
}

/// By query of `judged`: the first of its ids.
fn first_ids(ids: &QueryIds, judged: &HashSet<u32>) -> HashMap<u32, String> {
    let mut first: HashMap<u32, String> = HashMap::new();
    for (id, queries) in ids {
        for query in queries.iter().filter(|query| judged.contains(query)) {
            let known = first.entry(*query).or_insert_with(|| id.clone());
            if crate::split::id_order(id) < crate::split::id_order(known) {
                known.clone_from(id);
            }
        }
    }
    first
}

/// Lowest ratio to the query's best debiased click-through rate for grades 1, 2, 3 and 4.
pub(crate) const GRADE_SHARES: [f64; 4] = [0.1, 0.25, 0.5, 0.8];

/// Grades from clicks, for pairs shown at least `min_impressions` times: by [`GRADE_SHARES`], and 0 without a click. `pairs`
/// holds all pairs of its queries, by query.
pub(crate) fn from_clicks(pairs: &[Pair], min_impressions: usize) -> Vec<Judgment> {
    let enough = |pair: &&Pair| pair.impressions >= min_impressions as u64;
    let of_query = |pairs: &[Pair]| {
        let best = pairs.iter().filter(enough).map(|pair| pair.debiased_ctr).fold(0.0, f64::max);
        let judgment = |pair: &Pair| {
            let share = pair.debiased_ctr / best;
            let grade = GRADE_SHARES.iter().filter(|&&least| share >= least).count() as i32;
            Judgment { query: pair.query, document: pair.document, grade: if pair.clicks == 0 { 0 } else { grade } }
        };
        pairs.iter().filter(enough).map(judgment).collect::<Vec<_>>()
    };
    pairs.chunk_by(|a, b| a.query == b.query).flat_map(of_query).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(query: u32, document: u32, impressions: u64, clicks: u64, debiased_ctr: f64) -> Pair {
        Pair { query, document, impressions, clicks, debiased_ctr, ..Pair::default() }
    }

    #[test]
    fn grades_are_shares_of_the_best() {
        let rates = [0.5, 0.4, 0.25, 0.13, 0.05, 0.04];
        let mut pairs: Vec<Pair> = (0..6).map(|i| pair(0, i, 10, 1, rates[i as usize])).collect();
        // Too few impressions to be judged, or to be the best.
        pairs.push(pair(0, 6, 9, 9, 1.0));
        pairs.push(pair(1, 0, 10, 0, 0.2));
        let grades: Vec<i32> = from_clicks(&pairs, 10).iter().map(|judgment| judgment.grade).collect();
        assert_eq!(grades, [4, 4, 3, 2, 1, 0, 0]);
    }
}
