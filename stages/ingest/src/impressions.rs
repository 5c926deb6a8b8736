//! The table `impressions`: the results of the searches, range by range, without robots and rare queries.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Result;
use pipeline::StageContext;
use tables::Rows;

use crate::buckets::{StoredSearch, take_search};
use crate::bytes::Take;
use crate::clean::Row;
use crate::event::Event;
use crate::log::Log;
use crate::ordered::OrderedTable;
use crate::pairs::{Counted, PairWriter};
use crate::parallel::{self, locked, unlocked};
use crate::rejects::{RejectWriter, Rejects};
use crate::report::{Fate, Tallies};
use crate::sessions;
use crate::spill::Spill;

pub(crate) const ROBOT: &str = "session of a robot";
const RARE: &str = "query of too few users";

/// What is left out, and what every thread needs to know.
pub(crate) struct Writing<'w> {
    pub(crate) log: &'w Log,
    pub(crate) ranges: &'w Spill,
    /// By query: its id in the tables, and the rank of that id.
    pub(crate) query_ids: &'w [String],
    pub(crate) query_ranks: &'w [u32],
    /// Sessions that are left out, as [`sessions::hash`] has them.
    pub(crate) robots: &'w HashSet<u64>,
    /// By query: true if too few users asked it.
    pub(crate) rare: Option<&'w [bool]>,
    /// Dwell time of a satisfied click; `None` where every click is one.
    pub(crate) satisfied: Option<f64>,
    pub(crate) rejects: &'w Rejects,
    pub(crate) threads: usize,
}

/// What was written.
#[derive(Debug)]
pub(crate) struct Written {
    pub(crate) tallies: Tallies,
    /// By query: its searches.
    pub(crate) searches: Vec<u64>,
    /// Pairs of queries and documents, still uncounted.
    pub(crate) counted: Counted,
}

/// What one thread works with.
struct Own<'w> {
    pairs: PairWriter<'w>,
    rejects: RejectWriter<'w>,
    tallies: Tallies,
    content: String,
}

/// Writes the table.
///
/// # Errors
/// Where reading or writing fails.
pub(crate) fn write(context: &mut StageContext, folder: &Path, writing: &Writing) -> Result<Written> {
    let table = OrderedTable::create(context, "impressions")?;
    let searches: Vec<AtomicU64> = writing.query_ids.iter().map(|_| AtomicU64::new(0)).collect();
    let results = writing.log.stats.events;
    let counted = Counted::create(folder, writing.query_ids.len(), results)?;
    let tallies = Mutex::new(Tallies::default());
    let begin = || Own {
        pairs: counted.writer(),
        rejects: writing.rejects.writer(),
        tallies: Tallies::default(),
        content: String::new(),
    };
    let work = |own: &mut Own, range: usize| {
        let bytes = writing.ranges.read(range)?;
        let kept = own.select(writing, &bytes, &searches)?;
        let mut rows: Vec<ResultRow> =
            kept.iter().flat_map(|search| (0..search.results.len()).map(move |at| (search, at))).collect();
        // Two searches that the log gives one id are sorted as one.
        if kept.windows(2).any(|pair| pair[0].id == pair[1].id) {
            let place = |&(search, at): &ResultRow| (search.results[at].position, search.results[at].document);
            rows.sort_by(|a, b| (a.0.id, place(a)).cmp(&(b.0.id, place(b))));
        }
        let group = table.encode(columns(writing, Rows::of(&rows)))?;
        table.append(range, vec![group])
    };
    let end = |own: Own| {
        own.pairs.finish()?;
        own.rejects.finish()?;
        locked(&tallies).merge(&own.tallies);
        Ok(())
    };
    parallel::for_each(writing.ranges.partitions(), writing.threads, begin, work, end)?;
    table.finish(context)?;
    let tallies = unlocked(tallies);
    Ok(Written { tallies, searches: searches.into_iter().map(AtomicU64::into_inner).collect(), counted })
}

/// A result and its search.
type ResultRow<'s> = (&'s StoredSearch<'s>, usize);

fn columns<'a>(writing: &'a Writing, rows: Rows<'a, ResultRow<'a>>) -> Rows<'a, ResultRow<'a>> {
    let result = |&(search, at): &ResultRow<'a>| &search.results[at];
    rows.strings("search_id", |row| row.0.id)
        .strings("session_id", |row| row.0.session)
        .strings("user_id", |row| row.0.user)
        .strings("query_id", |row| writing.query_ids[row.0.query as usize].as_str())
        .strings("doc_id", move |row| writing.log.documents.ids.name(result(row).document))
        .int32s("position", move |row| result(row).position)
        .bools("clicked", move |row| result(row).clicked)
        .float64s("dwell_seconds", move |row| result(row).dwell_seconds)
        .timestamps("shown_at", move |row| result(row).shown_at)
        .strings("source", move |row| &*writing.log.files[result(row).file as usize])
}

impl Own<'_> {
    /// The searches of a range that are kept, sorted; they are counted, the others are noted as rejects.
    fn select<'b>(
        &mut self,
        writing: &Writing,
        bytes: &'b [u8],
        searches: &[AtomicU64],
    ) -> Result<Vec<StoredSearch<'b>>> {
        let mut records = Take(bytes);
        let mut kept = Vec::new();
        while !records.is_empty() {
            let search = take_search(&mut records);
            let reason = if writing.robots.contains(&sessions::hash(search.session)) {
                Some(ROBOT)
            } else if writing.rare.is_some_and(|rare| rare[search.query as usize]) {
                Some(RARE)
            } else {
                None
            };
            match reason {
                Some(reason) => self.leave_out(writing, &search, reason)?,
                None => {
                    searches[search.query as usize].fetch_add(1, Ordering::Relaxed);
                    self.count(writing, &search)?;
                    kept.push(search);
                }
            }
        }
        kept.sort_unstable_by_key(|search| search.id);
        Ok(kept)
    }

    fn count(&mut self, writing: &Writing, search: &StoredSearch) -> Result<()> {
        let query = writing.query_ranks[search.query as usize];
        let clicks = search.results.iter().filter(|result| result.clicked).count();
        self.tallies.add(Fate::Kept, "", search.results.len() as u64, clicks as u64, "");
        for result in &search.results {
            let long = writing.satisfied.is_none_or(|least| result.dwell_seconds.is_some_and(|dwell| dwell >= least));
            self.pairs.push(query, result, result.clicked && long)?;
        }
        Ok(())
    }

    fn leave_out(&mut self, writing: &Writing, search: &StoredSearch, reason: &str) -> Result<()> {
        for result in &search.results {
            let event = Event {
                line: result.line,
                search: Some(search.id),
                session: Some(search.session),
                query: Some(search.query),
                document: Some(result.document),
                position: Some(result.position),
                clicked: result.clicked,
                ..Event::default()
            };
            writing.log.describe(&Row { event, file: result.file, unknown_document: false }, &mut self.content);
            self.tallies.add(Fate::LeftOut, reason, 1, u64::from(result.clicked), &self.content);
            self.rejects.push(result.file, result.line, reason, &self.content)?;
        }
        Ok(())
    }
}
