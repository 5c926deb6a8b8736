//! A table that several threads encode, and whose groups are appended in order.

use std::sync::Mutex;

use anyhow::Result;
use pipeline::StageContext;
use tables::{Group, GroupEncoder, GroupWriter, Rows};

use crate::parallel::{self, InOrder, locked, unlocked};

/// Rows of a group at most.
const ROWS: usize = 1 << 17;

/// A table being written.
pub(crate) struct OrderedTable {
    name: &'static str,
    encoder: GroupEncoder,
    appended: Mutex<(GroupWriter, InOrder<Vec<Group>>)>,
}

impl OrderedTable {
    /// Begins a table of the stage.
    ///
    /// # Errors
    /// Where the system refuses the file.
    pub(crate) fn create(context: &StageContext, name: &'static str) -> Result<OrderedTable> {
        let (writer, encoder) = context.create_groups(name)?;
        Ok(OrderedTable { name, encoder, appended: Mutex::new((writer, InOrder::default())) })
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
        let (writer, order) = &mut *locked(&self.appended);
        order.add(item, groups, |groups| Ok(groups.into_iter().try_for_each(|group| writer.append(group))?))
    }

    /// Closes the table and enters it into the manifest.
    ///
    /// # Errors
    /// Where writing fails.
    pub(crate) fn finish(self, context: &mut StageContext) -> Result<()> {
        let (writer, _) = unlocked(self.appended);
        context.enter_table(self.name, writer.finish()?);
        Ok(())
    }
}

/// Writes a table of numbered items, whose records `read` gives; `written` sees them in their order.
///
/// # Errors
/// Where writing fails; those of `read` and `written`.
pub(crate) fn write<T: Send>(
    context: &mut StageContext,
    name: &'static str,
    (items, threads): (usize, usize),
    read: impl Fn(usize) -> Result<Vec<T>> + Sync,
    columns: impl for<'a> Fn(Rows<'a, T>) -> Rows<'a, T> + Sync,
    mut written: impl FnMut(&[T]) -> Result<()> + Send,
) -> Result<()> {
    let (mut writer, encoder) = context.create_groups(name)?;
    let make = |item: usize| {
        let records = read(item)?;
        let groups = records.chunks(ROWS).map(|records| encoder.encode(columns(Rows::of(records))));
        let groups = groups.collect::<tables::Result<Vec<Group>>>()?;
        Ok((records, groups))
    };
    parallel::in_order(items, threads, make, |(records, groups): (Vec<T>, Vec<Group>)| {
        groups.into_iter().try_for_each(|group| writer.append(group))?;
        written(&records)
    })?;
    context.enter_table(name, writer.finish()?);
    Ok(())
}
