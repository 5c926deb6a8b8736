//! BM25's arithmetic: what a token adds to the score of a document.
//!
//! The variant is Lucene's since version 8 (Kamphuis et al., "Which BM25 Do You Mean? A Large-Scale Reproducibility
//! Study of Scoring Variants", ECIR 2020):
//!
//! ```text
//! score(q, d) = sum over the tokens t of q of idf(t) * tf(t, d) / (tf(t, d) + k1 * (1 - b + b * |d| / mean |d|))
//! idf(t)      = ln(1 + (N - df(t) + 0.5) / (df(t) + 0.5))
//! ```

use crate::error::{Error, Result};

/// The two parameters of BM25.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bm25 {
    /// How slowly repeated tokens saturate: at least 0, default 1.5.
    pub k1: f64,
    /// How much long documents are discounted: 0 (not) to 1 (in full), default 0.75.
    pub b: f64,
}

impl Default for Bm25 {
    fn default() -> Self {
        Self { k1: 1.5, b: 0.75 }
    }
}

impl Bm25 {
    /// Refuses parameters out of range.
    pub(crate) fn check(self) -> Result<()> {
        if !(self.k1.is_finite() && self.k1 >= 0.0) {
            return Err(Error::K1(self.k1));
        }
        if !(0.0..=1.0).contains(&self.b) {
            return Err(Error::B(self.b));
        }
        Ok(())
    }
}

/// What the weights of a whole collection share.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Collection {
    pub(crate) config: Bm25,
    /// The number of documents.
    pub(crate) documents: u64,
    /// The lengths of all documents together.
    pub(crate) tokens: u64,
}

impl Collection {
    fn idf(&self, df: u32) -> f64 {
        let (documents, df) = (self.documents as f64, f64::from(df));
        (1.0 + (documents - df + 0.5) / (df + 0.5)).ln()
    }

    /// The weights of a term that `df` documents hold.
    pub(crate) fn term(&self, df: u32) -> TermWeights {
        TermWeights { config: self.config, mean_length: self.tokens as f64 / self.documents as f64, idf: self.idf(df) }
    }
}

/// The weights of one term.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TermWeights {
    config: Bm25,
    mean_length: f64,
    idf: f64,
}

impl TermWeights {
    /// What `frequency` occurrences add to the score of a document of `length` tokens.
    pub(crate) fn weight(&self, frequency: u32, length: u32) -> f64 {
        let Bm25 { k1, b } = self.config;
        let tf = f64::from(frequency);
        let saturation = k1 * (1.0 - b + b * f64::from(length) / self.mean_length);
        self.idf * tf / (tf + saturation)
    }
}

/// Frequencies and lengths below which weights are tabulated.
const FREQUENCIES: usize = 4;
const LENGTHS: usize = 256;

/// The weights of one term, those of common frequencies and lengths worked out beforehand: a division less per posting.
#[derive(Debug)]
pub(crate) struct WeightTable {
    weights: TermWeights,
    table: Vec<f64>,
}

impl WeightTable {
    pub(crate) fn new(weights: TermWeights) -> WeightTable {
        let frequencies = 0..FREQUENCIES as u32;
        let row = |frequency| (0..LENGTHS as u32).map(move |length| weights.weight(frequency, length));
        WeightTable { weights, table: frequencies.flat_map(row).collect() }
    }

    /// The same as [`TermWeights::weight`].
    #[inline]
    pub(crate) fn weight(&self, frequency: u32, length: u32) -> f64 {
        let (row, column) = (frequency as usize, length as usize);
        if column < LENGTHS
            && let Some(weight) = self.table.get(row * LENGTHS + column)
        {
            return *weight;
        }
        self.weights.weight(frequency, length)
    }
}

/// The least `f32` that is not below `x`.
pub(crate) fn round_up(x: f64) -> f32 {
    let nearest = x as f32;
    if f64::from(nearest) < x { nearest.next_up() } else { nearest }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn parameters_out_of_range_are_refused() {
        let check = |k1, b| Bm25 { k1, b }.check().unwrap_err().to_string();
        assert_eq!(check(-1.0, 0.5), "expected a finite k1 of at least 0, found -1");
        assert_eq!(check(1.0, f64::NAN), "expected b from 0 to 1, found NaN");
        assert!(Bm25 { k1: 0.0, b: 1.0 }.check().is_ok());
    }

    proptest! {
        #[test]
        fn the_table_holds_the_weights(frequency in 1_u32..9, length in 1_u32..600, df in 1_u32..100) {
            let weights = Collection { config: Bm25::default(), documents: 100, tokens: 1234 }.term(df);
            prop_assert_eq!(WeightTable::new(weights).weight(frequency, length), weights.weight(frequency, length));
        }

        #[test]
        fn rounding_up_never_falls_below(x in 0.0..30.0_f64) {
            prop_assert!(f64::from(round_up(x)) >= x);
            prop_assert!(f64::from(round_up(x)) <= x * (1.0 + 1e-6) + 1e-40);
        }
    }
}
