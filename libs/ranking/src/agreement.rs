//! How far two judges agree who grade the same documents.
//!
//! Cohen, "Weighted Kappa: Nominal Scale Agreement with Provision for Scaled Disagreement or Partial Credit", 1968: the
//! disagreement that was found against the one to be expected of two judges who keep their habits but look at nothing.

/// How much a disagreement weighs, by the distance of the two grades.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weights {
    /// As the distance.
    Linear,
    /// As its square.
    Quadratic,
}

/// How often one judge gave each grade where the other gave each, both from 0 to `N - 1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Confusion<const N: usize> {
    counts: [[u64; N]; N],
}

impl<const N: usize> Confusion<N> {
    /// Counts pairs of grades, that of the first judge and that of the second for the same document. Grades above the highest
    /// count as the highest.
    #[must_use]
    pub fn of(pairs: impl IntoIterator<Item = (u8, u8)>) -> Confusion<N> {
        let mut counts = [[0; N]; N];
        let place = |grade: u8| usize::from(grade).min(N - 1);
        for (first, second) in pairs {
            counts[place(first)][place(second)] += 1;
        }
        Confusion { counts }
    }

    /// A row for each grade of the first judge, in it a count for each grade of the second.
    #[must_use]
    pub fn rows(&self) -> &[[u64; N]; N] {
        &self.counts
    }

    /// Documents that both graded.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.counts.iter().flatten().sum()
    }

    /// 1 where both always agree, 0 where they agree as chance would have it, below 0 where they agree less. `None` where no
    /// disagreement is to be expected: without documents, and where both gave all documents one and the same grade.
    #[must_use]
    pub fn weighted_kappa(&self, weights: Weights) -> Option<f64> {
        let total = self.total() as f64;
        let firsts = self.counts.map(|row| row.iter().sum::<u64>() as f64);
        let seconds: [f64; N] =
            std::array::from_fn(|second| self.counts.iter().map(|row| row[second]).sum::<u64>() as f64);
        let (mut found, mut expected) = (0.0, 0.0);
        for (first, row) in self.counts.iter().enumerate() {
            for (second, &count) in row.iter().enumerate() {
                let distance = first.abs_diff(second) as f64;
                let weight = match weights {
                    Weights::Linear => distance,
                    Weights::Quadratic => distance * distance,
                };
                found += weight * count as f64;
                expected += weight * firsts[first] * seconds[second] / total;
            }
        }
        (expected > 0.0).then(|| 1.0 - found / expected)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BOTH: [Weights; 2] = [Weights::Linear, Weights::Quadratic];

    #[test]
    fn grades_above_the_highest_count_as_it() {
        let confusion = Confusion::<4>::of([(4, 3), (3, 3), (0, 9), (1, 0)]);
        assert_eq!(confusion.rows(), &[[0, 0, 0, 1], [1, 0, 0, 0], [0; 4], [0, 0, 0, 2]]);
        assert_eq!(confusion.total(), 4);
    }

    #[test]
    fn no_disagreement_to_expect_is_no_agreement() {
        for weights in BOTH {
            assert_eq!(Confusion::<4>::of([]).weighted_kappa(weights), None);
            assert_eq!(Confusion::<4>::of([(2, 2), (2, 2)]).weighted_kappa(weights), None);
            assert_eq!(Confusion::<2>::of([(0, 0), (0, 1)]).weighted_kappa(weights), Some(0.0));
            assert_eq!(Confusion::<2>::of([(0, 1), (1, 0)]).weighted_kappa(weights), Some(-1.0));
        }
    }

    proptest! {
        #[test]
        fn a_judge_agrees_with_itself(grades in prop::collection::vec(0_u8..4, 1..40)) {
            let confusion = Confusion::<4>::of(grades.iter().map(|&grade| (grade, grade)));
            let one = grades.iter().all(|grade| *grade == grades[0]);
            for weights in BOTH {
                prop_assert_eq!(confusion.weighted_kappa(weights), (!one).then_some(1.0));
            }
        }

        #[test]
        fn neither_the_order_of_the_judges_nor_that_of_the_scale_matters(
            pairs in prop::collection::vec((0_u8..4, 0_u8..4), 1..40)
        ) {
            let kappa = |change: fn((u8, u8)) -> (u8, u8), weights| {
                Confusion::<4>::of(pairs.iter().copied().map(change)).weighted_kappa(weights)
            };
            for weights in BOTH {
                let plain = kappa(|pair| pair, weights);
                for other in [kappa(|(a, b)| (b, a), weights), kappa(|(a, b)| (3 - a, 3 - b), weights)] {
                    let same = match (plain, other) {
                        (Some(plain), Some(other)) => (plain - other).abs() < 1e-9,
                        (plain, other) => plain == other,
                    };
                    prop_assert!(same, "{plain:?} {other:?}");
                }
                prop_assert!(plain.is_none_or(|kappa| kappa <= 1.0));
            }
        }
    }
}
