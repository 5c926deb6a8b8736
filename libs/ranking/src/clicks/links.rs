use std::borrow::Cow;

use super::{Cell, ClickError};

/// The part of a log that says how much positions are looked at: the clicked items that were shown at several
/// positions.
#[derive(Debug)]
pub(super) struct Links {
    /// Counts of these items, by item and position.
    cells: Vec<Cell>,
    /// Their clicks by position, from position 1 to the last position of the log.
    pub(super) clicks: Vec<f64>,
    /// The set of linked positions that each position belongs to: two positions with clicks are linked by an item that
    /// was shown at both. The number of a set is the index of its first position.
    pub(super) sets: Vec<usize>,
}

impl Links {
    /// Finds them.
    ///
    /// # Errors
    /// [`ClickError::NothingAtTop`], [`ClickError::NoClicks`] and [`ClickError::NoItemMoves`].
    pub(super) fn new(cells: &[Cell]) -> Result<Self, ClickError> {
        let shown = |cell: &&Cell| cell.impressions() > 0;
        if !cells.iter().filter(shown).any(|cell| cell.position() == 1) {
            return Err(ClickError::NothingAtTop);
        }
        if cells.iter().all(|cell| cell.clicks() == 0) {
            return Err(ClickError::NoClicks);
        }
        let positions = cells.iter().filter(shown).map(Cell::position).max().unwrap_or(1);
        let sorted = sorted(cells);
        let telling = |item: &&[Cell]| moves(item) && item.iter().any(|cell| cell.clicks() > 0);
        let mut telling: Vec<&[Cell]> = items(&sorted).filter(telling).collect();
        // By what was counted, so that the numbering of the items does not change so much as a rounding error.
        telling.sort_unstable_by(|a, b| a.iter().map(counts).cmp(b.iter().map(counts)));
        let cells: Vec<Cell> = telling.into_iter().flatten().filter(shown).copied().collect();
        if cells.is_empty() {
            return Err(ClickError::NoItemMoves);
        }
        let mut clicks = vec![0.0; positions];
        cells.iter().for_each(|cell| clicks[cell.index()] += cell.clicks() as f64);
        let sets = sets(&cells, &clicks);
        Ok(Self { cells, clicks, sets })
    }

    /// The counts of each of these items, by position.
    pub(super) fn items(&self) -> impl Iterator<Item = &[Cell]> {
        items(&self.cells)
    }
}

fn counts(cell: &Cell) -> (usize, u64, u64) {
    (cell.position(), cell.impressions(), cell.clicks())
}

/// The cells by item and position.
pub(super) fn sorted(cells: &[Cell]) -> Cow<'_, [Cell]> {
    let key = |cell: &Cell| (cell.item(), counts(cell));
    if cells.is_sorted_by_key(key) {
        return Cow::Borrowed(cells);
    }
    let mut cells = cells.to_vec();
    cells.sort_unstable_by_key(key);
    Cow::Owned(cells)
}

/// The cells of each item, of cells that are sorted by item.
pub(super) fn items(sorted: &[Cell]) -> impl Iterator<Item = &[Cell]> {
    sorted.chunk_by(|a, b| a.item() == b.item())
}

/// Whether an item was shown at more than one position.
pub(super) fn moves(item: &[Cell]) -> bool {
    let mut positions = item.iter().filter(|cell| cell.impressions() > 0).map(Cell::position);
    let first = positions.next();
    positions.any(|position| Some(position) != first)
}

/// The first position, from 0, that each position is linked to. A union-find structure whose roots are the smallest
/// members.
fn sets(cells: &[Cell], clicks: &[f64]) -> Vec<usize> {
    let mut parents: Vec<usize> = (0..clicks.len()).collect();
    for item in items(cells) {
        let mut linked = item.iter().map(Cell::index).filter(|&index| clicks[index] > 0.0);
        let Some(first) = linked.next() else { continue };
        for index in linked {
            let (a, b) = (root(&mut parents, first), root(&mut parents, index));
            parents[a.max(b)] = a.min(b);
        }
    }
    (0..clicks.len()).map(|index| root(&mut parents, index)).collect()
}

fn root(parents: &mut [usize], mut index: usize) -> usize {
    while parents[index] != index {
        parents[index] = parents[parents[index]];
        index = parents[index];
    }
    index
}
