use super::ClickError;

/// Counts of one item at one position, in 16 bytes.
///
/// A cell is what it says it is: its position is at least 1 and its clicks are at most its impressions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cell {
    item: u32,
    impressions: u32,
    clicks: u32,
    position: u16,
}

impl Cell {
    /// Counts of `item` (the number of a query-document pair, in any numbering), shown `impressions` times at
    /// `position`, from 1, of which `clicks` were clicked.
    ///
    /// # Errors
    /// [`ClickError::Position`] on a position of 0, [`ClickError::Clicks`] on more clicks than impressions, and
    /// [`ClickError::TooLarge`] on an item or impressions past `u32::MAX` or a position past `u16::MAX`.
    pub fn new(item: usize, position: usize, impressions: u64, clicks: u64) -> Result<Self, ClickError> {
        if position == 0 {
            return Err(ClickError::Position { item });
        }
        if clicks > impressions {
            return Err(ClickError::Clicks { item, position, impressions, clicks });
        }
        const MOST: u64 = u32::MAX as u64;
        Ok(Self {
            item: fitting("item number", MOST, item as u64)?,
            position: fitting("position", u64::from(u16::MAX), position as u64)?,
            impressions: fitting("impressions of an item at one position", MOST, impressions)?,
            clicks: fitting("clicks of an item at one position", MOST, clicks)?,
        })
    }

    /// The number of the item.
    pub fn item(&self) -> usize {
        self.item as usize
    }

    /// The position that the item was shown at, from 1.
    pub fn position(&self) -> usize {
        usize::from(self.position)
    }

    /// How often it was shown there.
    pub fn impressions(&self) -> u64 {
        u64::from(self.impressions)
    }

    /// How many of those impressions were clicked.
    pub fn clicks(&self) -> u64 {
        u64::from(self.clicks)
    }

    /// The position counted from 0.
    pub(super) fn index(&self) -> usize {
        self.position() - 1
    }
}

/// `found` as a smaller type, whose largest value is `most`.
fn fitting<T: TryFrom<u64>>(what: &'static str, most: u64, found: u64) -> Result<T, ClickError> {
    T::try_from(found).map_err(|_| ClickError::TooLarge { what, most, found })
}
