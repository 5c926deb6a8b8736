use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::ClickError;

/// How a shown document appeals to a user who looks at it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Appeal {
    /// The chance of a click once the document is looked at.
    pub attractiveness: f64,
    /// The chance that a click on it satisfies the need.
    pub satisfaction: f64,
}

/// What a simulated user did with one shown document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Click {
    /// The user looked at it.
    pub examined: bool,
    /// The user clicked it; only if examined.
    pub clicked: bool,
    /// The click satisfied the user; only if clicked.
    pub satisfied: bool,
}

/// A user who is shown a ranked list.
pub trait ClickModel {
    /// Simulates one user on `list`, best position first; one [`Click`] per document, in order.
    fn clicks(&self, list: &[Appeal], rng: &mut ChaCha8Rng) -> Vec<Click>;
}

/// The click of a user who looks at a document.
fn examine(appeal: &Appeal, rng: &mut ChaCha8Rng) -> Click {
    let clicked = chance(appeal.attractiveness, rng);
    Click { examined: true, clicked, satisfied: clicked && chance(appeal.satisfaction, rng) }
}

/// True with probability `p`.
fn chance(p: f64, rng: &mut ChaCha8Rng) -> bool {
    rng.random::<f64>() < p
}

fn probability(what: &'static str, found: f64) -> Result<f64, ClickError> {
    if (0.0..=1.0).contains(&found) { Ok(found) } else { Err(ClickError::Probability { what, found }) }
}

/// The position-based model: each position is looked at by a chance of its own, whatever happens above it.
///
/// Richardson, Dominowska and Ragno, "Predicting Clicks", WWW 2007; Craswell et al., WSDM 2008.
#[derive(Debug, Clone, PartialEq)]
pub struct PositionBased {
    examination: Vec<f64>,
}

impl PositionBased {
    /// A user who looks at position `k`, from 1, with probability `examination[k - 1]`, and never at a later position.
    ///
    /// # Errors
    /// [`ClickError::Probability`] on a value outside of \[0, 1\].
    pub fn new(examination: Vec<f64>) -> Result<Self, ClickError> {
        examination.iter().try_for_each(|&theta| probability("examination", theta).map(|_| ()))?;
        Ok(Self { examination })
    }
}

impl ClickModel for PositionBased {
    fn clicks(&self, list: &[Appeal], rng: &mut ChaCha8Rng) -> Vec<Click> {
        let examination = self.examination.iter().copied().chain(std::iter::repeat(0.0));
        let visit = |(appeal, theta)| {
            if chance(theta, rng) { examine(appeal, rng) } else { Click::default() }
        };
        list.iter().zip(examination).map(visit).collect()
    }
}

/// The dynamic Bayesian network: the user reads from the top, stops once satisfied, and else goes on to the next
/// document with a fixed chance.
///
/// Chapelle and Zhang, "A Dynamic Bayesian Network Click Model for Web Search Ranking", WWW 2009.
#[derive(Debug, Clone, PartialEq)]
pub struct DynamicBayesian {
    continuation: f64,
}

impl DynamicBayesian {
    /// A user who goes on with probability `continuation`, gamma in the paper.
    ///
    /// # Errors
    /// [`ClickError::Probability`] on a value outside of \[0, 1\].
    pub fn new(continuation: f64) -> Result<Self, ClickError> {
        Ok(Self { continuation: probability("continuation", continuation)? })
    }
}

impl ClickModel for DynamicBayesian {
    fn clicks(&self, list: &[Appeal], rng: &mut ChaCha8Rng) -> Vec<Click> {
        let mut reading = true;
        let visit = |appeal| {
            if !reading {
                return Click::default();
            }
            let click = examine(appeal, rng);
            reading = !click.satisfied && chance(self.continuation, rng);
            click
        };
        list.iter().map(visit).collect()
    }
}
