//! Pairs of documents by how their scores order their grades.

use std::cmp::Ordering;
use std::iter::Sum;
use std::ops::Add;

use super::list::{Grade, GradeCounts, Ranking};

/// The pairs of documents of one query with different grades, by how the scores order them.
///
/// Counts add up over queries, so that the pooled positive-negative ratio is the [`pnr`](PairCounts::pnr) of the sum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PairCounts {
    /// Pairs whose higher grade has the higher score.
    pub concordant: u64,
    /// Pairs whose higher grade has the lower score.
    pub discordant: u64,
    /// Pairs with equal scores, which neither side of the ratio counts.
    pub tied: u64,
}

impl PairCounts {
    /// Counts the pairs of judged documents of a ranking: what was not judged forms no pair.
    pub fn of(ranking: &Ranking<'_>) -> Self {
        let mut counts = Self::default();
        let mut above = GradeCounts::default();
        for tied in ranking.retrieved().chunk_by(|a, b| a.score == b.score) {
            let mut group = GradeCounts::default();
            for grade in tied.iter().filter_map(|document| document.grade) {
                let [lower, higher] = lower_and_higher(&above, grade);
                counts.concordant += higher;
                counts.discordant += lower;
                counts.tied += lower_and_higher(&group, grade).iter().sum::<u64>();
                group.add(grade, 1);
            }
            group.iter().for_each(|(grade, documents)| above.add(grade, documents));
        }
        counts
    }

    /// True if there is a pair of different grades.
    pub fn any(self) -> bool {
        self.concordant + self.discordant + self.tied > 0
    }

    /// Positive-negative ratio, concordant / discordant: infinite without a discordant pair, and `None` where the
    /// scores order no pair at all, as those of a constant scorer.
    pub fn pnr(self) -> Option<f64> {
        let ordered = self.concordant > 0 || self.discordant > 0;
        ordered.then(|| self.concordant as f64 / self.discordant as f64)
    }
}

/// The number of documents of a lower grade, and of a higher one.
fn lower_and_higher(counts: &GradeCounts, grade: Grade) -> [u64; 2] {
    counts.iter().fold([0, 0], |[lower, higher], (own, documents)| match own.cmp(&grade) {
        Ordering::Less => [lower + documents as u64, higher],
        Ordering::Equal => [lower, higher],
        Ordering::Greater => [lower, higher + documents as u64],
    })
}

impl Add for PairCounts {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            concordant: self.concordant + other.concordant,
            discordant: self.discordant + other.discordant,
            tied: self.tied + other.tied,
        }
    }
}

impl Sum for PairCounts {
    fn sum<I: Iterator<Item = Self>>(counts: I) -> Self {
        counts.fold(Self::default(), Self::add)
    }
}

/// The mean of the positive-negative ratios of single queries.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MeanPnr {
    /// The mean over the queries with a finite ratio; `None` over no such query.
    pub value: Option<f64>,
    /// Queries in the mean.
    pub queries: usize,
    /// Queries left out for an infinite ratio.
    pub infinite: usize,
    /// Queries left out for an undefined ratio.
    pub undefined: usize,
}

/// The per-query alternative to the pooled ratio.
pub fn mean_pnr(queries: &[PairCounts]) -> MeanPnr {
    let defined: Vec<f64> = queries.iter().filter_map(|counts| counts.pnr()).collect();
    let finite: Vec<f64> = defined.iter().copied().filter(|ratio| ratio.is_finite()).collect();
    MeanPnr {
        value: (!finite.is_empty()).then(|| finite.iter().sum::<f64>() / finite.len() as f64),
        queries: finite.len(),
        infinite: defined.len() - finite.len(),
        undefined: queries.len() - defined.len(),
    }
}
