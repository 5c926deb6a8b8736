use super::ClickError;

/// Counts of one item at one position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cell {
    /// The number of the item (a query-document pair), from 0 without gaps.
    pub item: usize,
    /// The position it was shown at, from 1.
    pub position: usize,
    /// How often it was shown there.
    pub impressions: u64,
    /// How many of those impressions were clicked.
    pub clicks: u64,
}

/// The parameters of the position-based model, `P(click) = examination(position) * attractiveness(item)`.
#[derive(Debug, Clone, PartialEq)]
pub struct Propensity {
    /// The chance that a position is looked at, relative to position 1; entry 0 is position 1, whose value is 1.
    pub examination: Vec<f64>,
    /// The chance that an item is clicked once it is looked at, by item.
    pub attractiveness: Vec<f64>,
}

impl Propensity {
    /// Fits the model to aggregated counts by expectation-maximisation.
    ///
    /// An unclicked impression was looked at with probability `theta (1 - gamma) / (1 - theta gamma)`, and its item is
    /// attractive with `(1 - theta) gamma / (1 - theta gamma)`; the next `theta` of a position and `gamma` of an item
    /// are the means of these over its impressions, a click counting 1 in both. Position 1 is held at 1, a fixed point
    /// of the first formula. Only items shown at several positions tell examination and attractiveness apart.
    /// A position without impressions takes the examination of the one above, an item without impressions has
    /// attractiveness 0.
    ///
    /// Richardson, Dominowska and Ragno, "Predicting Clicks", WWW 2007, and Craswell et al., "An Experimental Comparison
    /// of Click Position-Bias Models", WSDM 2008 (the model); Wang et al., "Position Bias Estimation for Unbiased
    /// Learning to Rank in Personal Search", WSDM 2018 (the algorithm, here without a regression on features).
    ///
    /// # Errors
    /// [`ClickError`] on a position of 0, more clicks than impressions, or no impressions at position 1.
    pub fn estimate(cells: &[Cell], iterations: usize) -> Result<Self, ClickError> {
        check(cells)?;
        let positions = cells.iter().map(|cell| cell.position).max().unwrap_or(0);
        let items = cells.iter().map(|cell| cell.item + 1).max().unwrap_or(0);
        let shown_at = totals(positions, cells, |cell| cell.position - 1);
        let shown_of = totals(items, cells, |cell| cell.item);
        let mut model = Self { examination: vec![0.5; positions], attractiveness: vec![0.5; items] };
        model.examination[0] = 1.0;
        for _ in 0..iterations {
            model = model.next(cells, &shown_at, &shown_of);
        }
        Ok(model)
    }

    /// One step of expectation-maximisation.
    fn next(&self, cells: &[Cell], shown_at: &[f64], shown_of: &[f64]) -> Self {
        let mut examined = vec![0.0; shown_at.len()];
        let mut attracted = vec![0.0; shown_of.len()];
        for cell in cells {
            let (theta, gamma) = (self.examination[cell.position - 1], self.attractiveness[cell.item]);
            let (clicks, unclicked) = (cell.clicks as f64, (cell.impressions - cell.clicks) as f64);
            let no_click = 1.0 - theta * gamma;
            let share = |part: f64| {
                if no_click > 0.0 { unclicked * part / no_click } else { 0.0 }
            };
            examined[cell.position - 1] += clicks + share(theta * (1.0 - gamma));
            attracted[cell.item] += clicks + share((1.0 - theta) * gamma);
        }
        let mut examination = vec![1.0; shown_at.len()];
        for index in 1..shown_at.len() {
            let shown = shown_at[index] > 0.0;
            examination[index] = if shown { mean(examined[index], shown_at[index]) } else { examination[index - 1] };
        }
        let attractiveness = attracted.into_iter().zip(shown_of).map(|(part, &total)| mean(part, total)).collect();
        Self { examination, attractiveness }
    }
}

/// `part / total` as a probability, which rounding could take past 1; 0 over nothing.
fn mean(part: f64, total: f64) -> f64 {
    if total > 0.0 { (part / total).min(1.0) } else { 0.0 }
}

fn check(cells: &[Cell]) -> Result<(), ClickError> {
    for &Cell { item, position, impressions, clicks } in cells {
        if position == 0 {
            return Err(ClickError::Position { item });
        }
        if clicks > impressions {
            return Err(ClickError::Clicks { item, position, impressions, clicks });
        }
    }
    let top = cells.iter().any(|cell| cell.position == 1 && cell.impressions > 0);
    if top { Ok(()) } else { Err(ClickError::NothingAtTop) }
}

/// Impressions by the group that `key` puts a cell in.
fn totals(groups: usize, cells: &[Cell], key: impl Fn(&Cell) -> usize) -> Vec<f64> {
    let mut totals = vec![0.0; groups];
    cells.iter().for_each(|cell| totals[key(cell)] += cell.impressions as f64);
    totals
}

/// Clicks per examined impression, `(clicks + strength * prior) / (examinations + strength)`.
///
/// `examinations` is the sum of the examination over the impressions; `prior` is the rate that `strength` imagined
/// examinations pull a thin count towards. A rate of few, low impressions may pass 1: it estimates a probability, but is
/// not bounded as one. `None` without any examination, seen or imagined.
///
/// Zhang and Jones, "Comparing Click Logs and Editorial Labels for Training Query Rewriting", 2007 (clicks over expected
/// clicks); Wang et al., WSDM 2018.
pub fn debiased_ctr(clicks: u64, examinations: f64, prior: f64, strength: f64) -> Option<f64> {
    let total = examinations + strength;
    (total > 0.0).then(|| (clicks as f64 + strength * prior) / total)
}
