use super::links::Links;
use super::squarem::{Step, climb};
use super::{Cell, ClickError};

/// Estimates end once no examination changes by more than this share in a step.
pub(super) const TOLERANCE: f64 = 1e-6;

/// The range that steps keep an examination in, so that one without a finite estimate stays a number.
pub(super) const RANGE: (f64, f64) = (1e-6, 1e6);

/// How much each position is looked at, the `theta` of the position-based model
/// `P(click) = theta(position) * gamma(item)`.
///
/// Examination is relative to position 1, whose value is 1. It is finite and above 0; it passes 1 at a position that is
/// looked at more than position 1, as below a block that draws the eye.
#[derive(Debug, Clone, PartialEq)]
pub struct Propensity {
    /// The examination of each position; entry 0 is position 1, whose value is 1.
    pub examination: Vec<f64>,
    measured: Vec<bool>,
}

impl Propensity {
    /// Estimates the examination of each position from counts, in any order, by fixed-effects Poisson regression.
    ///
    /// The estimate makes the clicks that the model expects at each position equal to the clicks there, where the
    /// attractiveness of each item is its clicks over its examined impressions, `gamma(i) = clicks(i) / sum over k of
    /// impressions(i, k) theta(k)`: it maximises the likelihood of the positions of an item's clicks given their
    /// number, `sum of clicks(i, k) ln(theta(k) / sum over l of impressions(i, l) theta(l))`. Attractiveness drops out
    /// of that likelihood, so that many rare items do no harm; an item that was clicked at no position, or shown at one
    /// position only, says nothing and is left out. What is assumed is the model's mean alone, and that an item's
    /// position in a search does not depend on whether it will be clicked there.
    ///
    /// Expectation-maximisation of the model (Wang et al., WSDM 2018) agrees with it where each item was shown
    /// often. On rare items it does not: the attractiveness it fits to each of them explains a few clicks at any
    /// position, and all positions come to look alike.
    ///
    /// One step sets `theta(k) = clicks(k) / sum of impressions(i, k) gamma(i)`, and every third step is extrapolated.
    /// It ends after `iterations` steps, or once no examination changes by more than a millionth in one.
    ///
    /// Positions that the log does not tell apart from position 1 are not [`measured`](Self::measured): they take the
    /// examination of the position above, and those which items link to such a position stand in the estimated ratio to
    /// it. A position without a click is given half a click, but is at most looked at as much as the one above.
    ///
    /// Richardson, Dominowska and Ragno, "Predicting Clicks", WWW 2007, and Craswell et al., "An Experimental
    /// Comparison of Click Position-Bias Models", WSDM 2008 (the model); Hausman, Hall and Griliches, "Econometric
    /// Models for Count Data with an Application to the Patents-R&D Relationship", Econometrica 1984 (the likelihood);
    /// Wooldridge, "Distribution-Free Estimation of Some Nonlinear Panel Data Models", Journal of Econometrics 1999
    /// (what it needs).
    ///
    /// # Errors
    /// [`ClickError::NothingAtTop`] without impressions at position 1, [`ClickError::NoClicks`] without a click, and
    /// [`ClickError::NoItemMoves`] if no clicked item was shown at two positions.
    pub fn estimate(cells: &[Cell], iterations: usize) -> Result<Self, ClickError> {
        let links = Links::new(cells)?;
        let start = links.clicks.iter().map(|&clicks| if clicks > 0.0 { 1.0 } else { 0.0 }).collect();
        let relative = climb(start, iterations, TOLERANCE, |examination| step(&links, examination));
        Ok(Self::completed(&links, relative))
    }

    /// Examinations known from elsewhere, such as an experiment that shuffled results: entry 0 is position 1.
    ///
    /// Only their ratios matter: all are divided by that of position 1. Values above that of position 1 are accepted.
    ///
    /// # Errors
    /// [`ClickError::NoExamination`] without an entry, [`ClickError::Examination`] on one that is not a finite number
    /// above 0, before or after the division.
    pub fn from_examinations(examinations: Vec<f64>) -> Result<Self, ClickError> {
        let top = *examinations.first().ok_or(ClickError::NoExamination)?;
        let check = |(index, found): (usize, f64)| {
            let relative = found / top;
            let valid = |value: f64| value.is_finite() && value > 0.0;
            let error = ClickError::Examination { position: index + 1, found };
            if valid(found) && valid(relative) { Ok(relative) } else { Err(error) }
        };
        let examination = examinations.into_iter().enumerate().map(check).collect::<Result<Vec<f64>, _>>()?;
        Ok(Self { measured: vec![true; examination.len()], examination })
    }

    /// Whether the log told the examination of each position apart from that of position 1, which is entry 0.
    ///
    /// False for a position that no chain of items links to position 1, and for one without a click on such items.
    pub fn measured(&self) -> &[bool] {
        &self.measured
    }

    /// The examination of a position, from 1; of a position past the last known one, that of the last one.
    pub fn at(&self, position: usize) -> f64 {
        let known = self.examination.get(position.saturating_sub(1)).or(self.examination.last());
        known.copied().unwrap_or(1.0)
    }

    /// How often what `cells` count was looked at, the sum of impressions times examination: what [`debiased_ctr`]
    /// divides the clicks by.
    pub fn examinations(&self, cells: &[Cell]) -> f64 {
        cells.iter().map(|cell| cell.impressions() as f64 * self.at(cell.position())).sum()
    }

    /// Estimates that are right up to a factor for each set of linked positions, 0 without clicks, made complete.
    pub(super) fn completed(links: &Links, mut examination: Vec<f64>) -> Self {
        let measured: Vec<bool> = links.sets.iter().map(|&set| set == 0).collect();
        scale_sets(links, &mut examination);
        let expected = expected(links, &examination).0;
        for index in 1..examination.len() {
            if links.clicks[index] == 0.0 {
                let above = examination[index - 1];
                let half_a_click = 0.5 / expected[index];
                examination[index] = if expected[index] > 0.0 { half_a_click.min(above) } else { above };
            }
        }
        Self { examination, measured }
    }
}

/// Multiplies each set of linked positions so that its first one is looked at as much as the nearest one above with a
/// value; position 1 becomes 1.
fn scale_sets(links: &Links, examination: &mut [f64]) {
    let mut factors = vec![0.0; examination.len()];
    let mut above = 1.0;
    for index in 0..examination.len() {
        if links.clicks[index] > 0.0 {
            let factor = &mut factors[links.sets[index]];
            if *factor == 0.0 {
                *factor = above / examination[index];
            }
            examination[index] *= *factor;
            above = examination[index];
        }
    }
    examination[0] = 1.0;
}

/// One step of the estimate.
fn step(links: &Links, examination: &[f64]) -> Step {
    let (expected, height) = expected(links, examination);
    let next = |(&clicks, expected): (&f64, f64)| match clicks > 0.0 {
        true => (clicks / expected).clamp(RANGE.0, RANGE.1),
        false => 0.0,
    };
    Step { next: links.clicks.iter().zip(expected).map(next).collect(), height }
}

/// The clicks expected at each position if it were looked at always, and the log-likelihood up to a constant.
fn expected(links: &Links, examination: &[f64]) -> (Vec<f64>, f64) {
    let mut expected = vec![0.0; examination.len()];
    let clicked = links.clicks.iter().zip(examination).filter(|&(&clicks, _)| clicks > 0.0);
    let mut height: f64 = clicked.map(|(clicks, theta)| clicks * theta.ln()).sum();
    for item in links.items() {
        let add = |(examined, clicks), cell: &Cell| {
            (examined + cell.impressions() as f64 * examination[cell.index()], clicks + cell.clicks())
        };
        let (examined, clicks) = item.iter().fold((0.0, 0), add);
        height -= clicks as f64 * f64::ln(examined);
        let rate = clicks as f64 / examined;
        item.iter().for_each(|cell| expected[cell.index()] += rate * cell.impressions() as f64);
    }
    (expected, height)
}

/// Clicks per examined impression, `(clicks + strength * prior) / (examinations + strength)`.
///
/// `examinations` is the sum of the examination over the impressions; `prior` is the rate that `strength` imagined
/// examinations pull a thin count towards. A rate of few, low impressions may pass 1: it estimates a probability, but
/// is not bounded as one. `None` without any examination, seen or imagined.
///
/// Zhang and Jones, "Comparing Click Logs and Editorial Labels for Training Query Rewriting", 2007 (clicks over
/// expected clicks); Wang et al., WSDM 2018.
pub fn debiased_ctr(clicks: u64, examinations: f64, prior: f64, strength: f64) -> Option<f64> {
    let total = examinations + strength;
    (total > 0.0).then(|| (clicks as f64 + strength * prior) / total)
}
