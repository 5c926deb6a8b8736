use super::Interval;

/// Whether a system may take the place of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Better.
    Win,
    /// Not worse by more than the margin.
    Equal,
    /// Worse by more than the margin, or not enough queries to rule that out.
    Regression,
}

/// The verdict on a system by the interval of its difference to another, higher being better: a win where the whole interval is
/// above 0, equal where it is above `-margin`, else a regression.
///
/// Non-inferiority by a confidence interval: Piaggio et al., "Reporting of Noninferiority and Equivalence Randomized Trials", JAMA
/// 2012.
#[must_use]
pub fn verdict(difference: Interval, margin: f64) -> Verdict {
    match difference.low {
        low if low > 0.0 => Verdict::Win,
        low if low >= -margin => Verdict::Equal,
        _ => Verdict::Regression,
    }
}

impl Verdict {
    /// `WIN`, `EQUAL` or `REGRESSION`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Verdict::Win => "WIN",
            Verdict::Equal => "EQUAL",
            Verdict::Regression => "REGRESSION",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lower_end_decides() {
        let of = |low, high| verdict(Interval { low, high }, 0.02);
        assert_eq!(of(0.001, 0.05), Verdict::Win);
        assert_eq!(of(0.0, 0.0), Verdict::Equal);
        assert_eq!(of(-0.02, -0.001), Verdict::Equal);
        assert_eq!(of(-0.021, 0.5), Verdict::Regression);
        assert_eq!(of(f64::NAN, 0.5), Verdict::Regression);
        assert_eq!(verdict(Interval { low: -1e-9, high: 0.1 }, 0.0), Verdict::Regression);
    }
}
