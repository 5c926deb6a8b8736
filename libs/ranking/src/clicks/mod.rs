//! Position bias in clicks: its estimation, its removal and its simulation.

mod models;
mod propensity;

pub use models::{Appeal, Click, ClickModel, DynamicBayesian, PositionBased};
pub use propensity::{Cell, Propensity, debiased_ctr};

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
mod tests;
