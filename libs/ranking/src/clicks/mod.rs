//! Position bias in clicks: its estimation, its removal and its simulation.

mod cell;
mod fit;
mod harvest;
mod kendall;
mod links;
mod models;
mod propensity;
mod squarem;

pub use cell::Cell;
pub use fit::{Fit, PositionFit};
pub use kendall::kendall_tau;
pub use models::{Appeal, Click, ClickModel, DynamicBayesian, PositionBased};
pub use propensity::{Propensity, debiased_ctr};

/// Input that the click mathematics refuses.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ClickError {
    /// A cell counts more clicks than impressions.
    #[error(
        "item {item} at position {position}: expected at most {impressions} clicks (its impressions), found {clicks}"
    )]
    Clicks {
        /// The item of the cell.
        item: usize,
        /// The position of the cell.
        position: usize,
        /// Its impressions.
        impressions: u64,
        /// Its clicks.
        clicks: u64,
    },
    /// A position is 0.
    #[error("item {item}: expected positions from 1, found 0")]
    Position {
        /// The item of the cell.
        item: usize,
    },
    /// Examination is measured relative to position 1, which nothing was shown at.
    #[error("expected impressions at position 1, which examination is relative to, found none")]
    NothingAtTop,
    /// A number does not fit.
    #[error("expected {what} up to {most}, found {found}")]
    TooLarge {
        /// Which number.
        what: &'static str,
        /// The largest one that fits.
        most: u64,
        /// Its value.
        found: u64,
    },
    /// Nothing was clicked.
    #[error("expected clicks, found none: position bias cannot be estimated")]
    NoClicks,
    /// Each clicked item keeps its position, so that its appeal and that of its position cannot be told apart.
    #[error(
        "expected items that are shown at two or more positions and clicked, found none: \
         position bias cannot be told from appeal"
    )]
    NoItemMoves,
    /// Not even the examination of position 1 is given.
    #[error("expected an examination for each position from position 1, found none")]
    NoExamination,
    /// An examination is not a finite number above 0.
    #[error("position {position}: expected an examination above 0, found {found}")]
    Examination {
        /// The position, from 1.
        position: usize,
        /// Its value.
        found: f64,
    },
    /// A probability is not in \[0, 1\].
    #[error("expected a probability from 0 to 1 as {what}, found {found}")]
    Probability {
        /// Which parameter.
        what: &'static str,
        /// Its value.
        found: f64,
    },
}

#[cfg(test)]
mod simulated;
#[cfg(test)]
mod tests;
