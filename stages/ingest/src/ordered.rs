//! A table that several threads encode, and whose groups are appended in order.

use std::collections::BTreeMap;
use std::sync::Mutex;

use anyhow::Result;
use pipeline::StageContext;
use tables::{Group, GroupEncoder, GroupWriter, Rows};

use crate::parallel::{self, locked, unlocked};

/// Rows of a group at most.
const ROWS: usize = 1 << 17;

/// A table being written.
pub(crate) struct OrderedTable {
    name: &'static str,
    encoder: GroupEncoder,
    appended: Mutex<Appended>,
}

struct Appended {
    writer: GroupWriter,
    next: usize,
    waiting: BTreeMap<usize, Vec<Group>>,
}

impl OrderedTable {
    /// Begins a table of the stage.
    ///
    /// # Errors
    /// Where the system refuses the file.
    pub(crate) fn create(context: &StageContext, name: &'static str) -> Result<OrderedTable> {
        let (writer, encoder) = context.create_groups(name)?;
        Ok(OrderedTable { name, encoder, appended: Mutex::new(Appended { writer, next: 0, waiting: BTreeMap::new() }) })
    }

    /// Encodes rows as one group.
    ///
    /// # Errors
    /// Where the rows are not those of the table, or not sorted.
    pub(crate) fn encode<T>(&self, rows: Rows<'_, T>) -> Result<Group> {
        Ok(self.encoder.encode(rows)?)
    }

    /// Appends the groups of an item once those of the items before are there.
    ///
    /// # Errors
    /// Where writing fails.
    pub(crate) fn append(&self, item: usize, groups: Vec<Group>) -> Result<()> {
        let mut appended = locked(&self.appended);
        let Appended { writer, next, waiting } = &mut *appended;
        waiting.insert(item, groups);
        while let Some(groups) = waiting.remove(next) {
            groups.into_iter().try_for_each(|group| writer.append(group))?;
            *next += 1;
        }
        Ok(())
    }

    /// Closes the table and enters it into the manifest.
    ///
    /// # Errors
    /// Where writing fails.
    pub(crate) fn finish(self, context: &mut StageContext) -> Result<()> {
        let appended = unlocked(self.appended);
        context.enter_table(self.name, appended.writer.finish()?);
        Ok(())
    }
}

/// Writes a table of numbered items, whose records `read` gives.
///
/// # Errors
/// Where writing fails; those of `read`.
pub(crate) fn write<T>(
    context: &mut StageContext,
    name: &'static str,
    (items, threads): (usize, usize),
    read: impl Fn(usize) -> Result<Vec<T>> + Sync,
    columns: impl for<'a> Fn(Rows<'a, T>) -> Rows<'a, T> + Sync,
) -> Result<()> {
    let table = OrderedTable::create(context, name)?;
    let work = |(): &mut (), item: usize| {
        let records = read(item)?;
        let groups = records.chunks(ROWS).map(|records| table.encode(columns(Rows::of(records))));
        table.append(item, groups.collect::<Result<_>>()?)
    };
    parallel::for_each(items, threads, || (), work, |()| Ok(()))?;
    table.finish(context)
}
