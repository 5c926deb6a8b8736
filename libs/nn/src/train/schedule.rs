//! The learning rate as a pure function of the step.

use serde::{Deserialize, Serialize};

/// How the learning rate falls after the warmup.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decay {
    /// Stays at the peak.
    Constant,
    /// Falls on a straight line towards zero.
    Linear,
    /// Falls on half a cosine towards zero (Loshchilov and Hutter, SGDR, arXiv 1608.03983, without restarts).
    Cosine,
    /// Warmup, stable, decay: stays at the peak and falls on a straight line over the last tenth of the steps (MiniCPM,
    /// arXiv 2404.06395, section 4).
    Wsd,
}

/// Part of all steps over which [`Decay::Wsd`] falls.
const WSD_DECAY: f64 = 0.1;

/// A linear warmup followed by a decay. Steps count from 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Schedule {
    /// Steps of the warmup; the last of them runs at the peak. No step runs at a rate of zero.
    pub warmup_steps: usize,
    /// Steps of the whole run, the warmup included; the rate would be zero at this step, which is never taken.
    pub total_steps: usize,
    /// The highest learning rate.
    pub peak: f64,
    /// What follows the warmup.
    pub decay: Decay,
}

impl Schedule {
    /// The learning rate of `step`, counted from 0.
    pub fn at(&self, step: usize) -> f64 {
        if step < self.warmup_steps {
            return self.peak * (step + 1) as f64 / self.warmup_steps as f64;
        }
        let decaying = self.total_steps.saturating_sub(self.warmup_steps).max(1);
        let progress = ((step - self.warmup_steps) as f64 / decaying as f64).min(1.0);
        let factor = match self.decay {
            Decay::Constant => 1.0,
            Decay::Linear => 1.0 - progress,
            Decay::Cosine => 0.5 * (1.0 + (std::f64::consts::PI * progress).cos()),
            Decay::Wsd => {
                let falling = (WSD_DECAY * self.total_steps as f64).round().max(1.0);
                (self.total_steps.saturating_sub(step) as f64 / falling).min(1.0)
            }
        };
        self.peak * factor
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates(warmup_steps: usize, decay: Decay) -> Vec<f64> {
        let schedule = Schedule { warmup_steps, total_steps: 8, peak: 8.0, decay };
        (0..10).map(|step| schedule.at(step)).collect()
    }

    fn assert_close(found: &[f64], expected: &[f64]) {
        assert_eq!(found.len(), expected.len());
        for (step, (f, e)) in found.iter().zip(expected).enumerate() {
            assert!((f - e).abs() < 1e-12, "step {step}: expected {e}, found {f}");
        }
    }

    #[test]
    fn warmup_then_constant() {
        assert_close(&rates(4, Decay::Constant), &[2.0, 4.0, 6.0, 8.0, 8.0, 8.0, 8.0, 8.0, 8.0, 8.0]);
    }

    #[test]
    fn warmup_then_linear() {
        assert_close(&rates(4, Decay::Linear), &[2.0, 4.0, 6.0, 8.0, 8.0, 6.0, 4.0, 2.0, 0.0, 0.0]);
    }

    #[test]
    fn warmup_then_cosine() {
        let root = std::f64::consts::SQRT_2;
        assert_close(
            &rates(4, Decay::Cosine),
            &[2.0, 4.0, 6.0, 8.0, 8.0, 4.0 + 2.0 * root, 4.0, 4.0 - 2.0 * root, 0.0, 0.0],
        );
    }

    #[test]
    fn warmup_then_stable_then_decay() {
        let schedule = Schedule { warmup_steps: 5, total_steps: 40, peak: 8.0, decay: Decay::Wsd };
        assert_close(
            &[4, 5, 20, 36, 37, 38, 39, 40].map(|step| schedule.at(step)),
            &[8.0, 8.0, 8.0, 8.0, 6.0, 4.0, 2.0, 0.0],
        );
    }

    #[test]
    fn without_warmup_the_first_step_is_the_peak() {
        assert_close(&rates(0, Decay::Linear), &[8.0, 7.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1.0, 0.0, 0.0]);
    }

    #[test]
    fn a_warmup_as_long_as_the_run_never_decays() {
        assert_close(&rates(8, Decay::Cosine)[..8], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]);
    }
}
