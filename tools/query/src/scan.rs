//! The table function through which SQL reads the run: `run_table('metrics')`.
//!
//! DuckDB opens no file of the run. The rows come from here, so that a file's checksum is verified before its first row is
//! read, and so that DuckDB's own access to files can be shut.

use std::collections::{HashSet, VecDeque};
use std::error::Error;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::bail;
use arrow::array::RecordBatch;
use duckdb::core::{DataChunkHandle, LogicalTypeHandle, LogicalTypeId};
use duckdb::vtab::{BindInfo, InitInfo, TableFunctionInfo, VTab, record_batch_to_duckdb_data_chunk};
use tables::{ColumnType, Schema, TableFile};

use crate::batch::{self, BATCH_ROWS};
use crate::interrupt::Interrupts;
use crate::listing;
use crate::sources::{Run, Source};

/// The name of the table function.
pub(crate) const FUNCTION: &str = "run_table";

/// What all scans of a session share.
#[derive(Clone)]
pub(crate) struct Session {
    state: Arc<Mutex<State>>,
    interrupts: Interrupts,
}

#[derive(Default)]
struct State {
    run: Run,
    /// Files found as their manifest has them, with the checksum they were verified by.
    verified: HashSet<(PathBuf, String)>,
    /// Why the last scan failed, in full: DuckDB keeps the text of an error alone.
    failure: Option<anyhow::Error>,
}

impl Session {
    /// A session that `interrupts` end.
    pub(crate) fn new(interrupts: Interrupts) -> Session {
        Session { state: Arc::default(), interrupts }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads of statements from now on find the run as it is in `run`.
    pub(crate) fn set_run(&self, run: Run) {
        self.state().run = run;
    }

    /// Why a scan of the last statement failed, if one did.
    pub(crate) fn take_failure(&self) -> Option<anyhow::Error> {
        self.state().failure.take()
    }

    /// Keeps the whole error for [`Session::take_failure`], and gives DuckDB its text.
    fn noted<T>(&self, outcome: anyhow::Result<T>) -> Result<T, Box<dyn Error>> {
        outcome.map_err(|error| {
            let text = format!("{error:#}");
            self.state().failure = Some(error);
            text.into()
        })
    }

    /// Compares files with their checksums, each once in the session.
    ///
    /// # Errors
    /// [`tables::Error::Checksum`], and an interrupt.
    pub(crate) fn verify(&self, sources: &[Source]) -> anyhow::Result<()> {
        for source in sources {
            for (path, entry) in source.files() {
                let Some(entry) = entry else { continue };
                let key = (path, entry.sha256.clone());
                if self.state().verified.contains(&key) {
                    continue;
                }
                if self.interrupts.pending() {
                    bail!("interrupted");
                }
                source.verify(entry)?;
                self.state().verified.insert(key);
            }
        }
        Ok(())
    }

    /// The files of a table, verified.
    fn open(&self, table: &str) -> anyhow::Result<Vec<Part>> {
        let sources = self.state().run.of_table(table)?;
        self.verify(&sources)?;
        let files = sources.iter().flat_map(|source| source.files().into_iter().map(|(path, _)| (path, &source.stage)));
        files.map(|(path, stage)| Ok(Part { file: TableFile::open(&path, table)?, stage: stage.clone() })).collect()
    }
}

/// One file and the stage whose output it is.
struct Part {
    file: TableFile,
    stage: String,
}

/// The table function.
pub(crate) struct Scan;

/// The table that a call names.
pub(crate) struct Bound {
    session: Session,
    schema: &'static Schema,
}

/// The rows still to be read. Threads that read at once take a row group each.
pub(crate) struct Reading {
    parts: Vec<Part>,
    columns: batch::Columns,
    queue: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    groups: VecDeque<(usize, usize)>,
    open: Vec<OpenGroup>,
}

struct OpenGroup {
    stage: String,
    batches: Box<dyn Iterator<Item = tables::Result<RecordBatch>> + Send>,
}

impl VTab for Scan {
    type BindData = Bound;
    type InitData = Reading;

    fn bind(bind: &BindInfo) -> Result<Bound, Box<dyn Error>> {
        let session = session(bind).clone();
        let name = bind.get_parameter(0);
        if name.is_null() {
            return Err(format!("{FUNCTION}: expected the name of a table, found NULL").into());
        }
        let name = name.to_string();
        let schema = if name == listing::NAME { listing::schema() } else { Schema::named(&name)? };
        for (name, kind) in batch::columns(schema) {
            bind.add_result_column(name, duckdb_type(kind));
        }
        if let Some(rows) = session.state().run.rows(&name) {
            bind.set_cardinality(rows, true);
        }
        Ok(Bound { session, schema })
    }

    fn init(init: &InitInfo) -> Result<Reading, Box<dyn Error>> {
        let Bound { session, schema } = bound(init);
        let indices: Vec<usize> =
            init.get_column_indices().into_iter().map(usize::try_from).collect::<Result<_, _>>()?;
        let columns = batch::Columns::new(schema, &indices);
        if schema.name == listing::NAME {
            let rows = listing::rows(&session.state().run)?.project(columns.of_file())?;
            return Ok(Reading::of_rows(columns, rows));
        }
        let parts = session.noted(session.open(&schema.name))?;
        let groups = |(index, part): (usize, &Part)| (0..part.file.groups()).map(move |group| (index, group));
        let groups: VecDeque<_> = parts.iter().enumerate().flat_map(groups).collect();
        init.set_max_threads(groups.len().max(1) as u64);
        Ok(Reading { columns, parts, queue: Mutex::new(Queue { groups, open: Vec::new() }) })
    }

    fn func(call: &TableFunctionInfo<Scan>, output: &mut DataChunkHandle) -> Result<(), Box<dyn Error>> {
        let reading = call.get_init_data();
        let next = call.get_bind_data().session.noted(reading.next())?;
        match next {
            Some(batch) => record_batch_to_duckdb_data_chunk(&batch, output),
            None => {
                output.set_len(0);
                Ok(())
            }
        }
    }

    fn supports_pushdown() -> bool {
        true
    }

    fn parameters() -> Option<Vec<LogicalTypeHandle>> {
        Some(vec![LogicalTypeId::Varchar.into()])
    }
}

impl Reading {
    /// Rows that are in memory.
    fn of_rows(columns: batch::Columns, rows: RecordBatch) -> Reading {
        let starts = (0..rows.num_rows()).step_by(BATCH_ROWS);
        let batches = starts.map(move |start| Ok(rows.slice(start, BATCH_ROWS.min(rows.num_rows() - start))));
        let open = vec![OpenGroup { stage: String::new(), batches: Box::new(batches) }];
        Reading { columns, parts: Vec::new(), queue: Mutex::new(Queue { groups: VecDeque::new(), open }) }
    }

    /// The next rows. With one thread they come in the order of the table.
    fn next(&self) -> anyhow::Result<Option<RecordBatch>> {
        loop {
            let Some(mut group) = self.take_group()? else { return Ok(None) };
            let Some(batch) = group.batches.next() else { continue };
            let batch = self.columns.of(&batch?, &group.stage)?;
            self.queue().open.push(group);
            return Ok(Some(batch));
        }
    }

    fn take_group(&self) -> anyhow::Result<Option<OpenGroup>> {
        let (part, group) = {
            let mut queue = self.queue();
            if let Some(open) = queue.open.pop() {
                return Ok(Some(open));
            }
            let Some(next) = queue.groups.pop_front() else { return Ok(None) };
            next
        };
        let Part { file, stage } = &self.parts[part];
        let batches = file.batches(group, self.columns.of_file(), BATCH_ROWS)?;
        Ok(Some(OpenGroup { stage: stage.clone(), batches: Box::new(batches) }))
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The session that the function was registered with.
#[allow(unsafe_code)]
fn session(bind: &BindInfo) -> &Session {
    // SAFETY: `Scan` is registered with a `Session` as its extra information, which DuckDB keeps as long as the function.
    unsafe { &*bind.get_extra_info::<Session>() }
}

/// What [`Scan::bind`] returned for this call.
#[allow(unsafe_code)]
fn bound(init: &InitInfo) -> &Bound {
    // SAFETY: DuckDB calls `init` with the data of the same call's `bind`, and keeps it until the call has ended.
    unsafe { &*init.get_bind_data::<Bound>() }
}

fn duckdb_type(kind: ColumnType) -> LogicalTypeHandle {
    match kind {
        ColumnType::String => LogicalTypeId::Varchar.into(),
        ColumnType::Bool => LogicalTypeId::Boolean.into(),
        ColumnType::Int32 => LogicalTypeId::Integer.into(),
        ColumnType::Int64 => LogicalTypeId::Bigint.into(),
        ColumnType::Float32 => LogicalTypeId::Float.into(),
        ColumnType::Float64 => LogicalTypeId::Double.into(),
        // A time is stored as an instant; without a time zone it reads as UTC.
        ColumnType::Timestamp => LogicalTypeId::Timestamp.into(),
        ColumnType::ListInt32 => LogicalTypeHandle::list(&LogicalTypeId::Integer.into()),
    }
}
