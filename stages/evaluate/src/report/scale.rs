//! From values to places on an axis.

/// A linear or logarithmic axis from a value range to a pixel range.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scale {
    domain: (f64, f64),
    pixels: (f64, f64),
    log: bool,
}

impl Scale {
    /// A linear axis over `domain`; a range without width is widened.
    pub(super) fn linear((low, high): (f64, f64), pixels: (f64, f64)) -> Scale {
        let domain = if high > low { (low, high) } else { (low - 0.5, low + 0.5) };
        Scale { domain, pixels, log: false }
    }

    /// A logarithmic axis over a `domain` above zero.
    pub(super) fn log((low, high): (f64, f64), pixels: (f64, f64)) -> Scale {
        let linear = Scale::linear((low.log10(), high.log10()), pixels);
        Scale { log: true, ..linear }
    }

    /// The pixel of `value`; values off the axis are put at its ends.
    pub(super) fn at(&self, value: f64) -> f64 {
        let value = if self.log { value.log10() } else { value };
        let (low, high) = self.domain;
        let share = ((value - low) / (high - low)).clamp(0.0, 1.0);
        self.pixels.0 + share * (self.pixels.1 - self.pixels.0)
    }

    /// Round values on the axis, about `count` of them, each with its label.
    pub(super) fn ticks(&self, count: usize) -> Vec<(f64, String)> {
        if self.log {
            return self.log_ticks(count);
        }
        let (low, high) = self.domain;
        let step = round_step((high - low) / count.max(1) as f64);
        let decimals = (-step.log10().floor()).max(0.0) as usize;
        let first = (low / step - 1e-9).ceil() as i64;
        let last = (high / step + 1e-9).floor() as i64;
        (first..=last).map(|i| i as f64 * step).map(|value| (value, label(value, decimals))).collect()
    }

    /// Powers of ten, with their doubles and fives where there is room.
    fn log_ticks(&self, count: usize) -> Vec<(f64, String)> {
        let (low, high) = self.domain;
        let mantissas: &[f64] = if (high - low) * 3.0 <= count as f64 + 1.0 { &[1.0, 2.0, 5.0] } else { &[1.0] };
        let exponents = low.floor() as i32..=high.ceil() as i32;
        exponents
            .flat_map(|exponent| {
                let decimals = (-exponent).max(0) as usize;
                mantissas.iter().map(move |m| (m * 10f64.powi(exponent), decimals))
            })
            .filter(|(value, _)| (low - 1e-9..=high + 1e-9).contains(&value.log10()))
            .map(|(value, decimals)| (value, label(value, decimals)))
            .collect()
    }
}

/// The next of 1, 2, 5 times a power of ten.
fn round_step(step: f64) -> f64 {
    let power = 10f64.powf(step.log10().floor());
    let rounds = [1.0, 2.0, 5.0, 10.0];
    let factor = rounds.into_iter().find(|factor| factor * power >= step * (1.0 - 1e-9));
    factor.unwrap_or(10.0) * power
}

fn label(value: f64, decimals: usize) -> String {
    let value = if value == 0.0 { 0.0 } else { value };
    format!("{value:.decimals$}").replace('-', "−")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn labels(scale: Scale, count: usize) -> Vec<String> {
        scale.ticks(count).into_iter().map(|(_, label)| label).collect()
    }

    #[test]
    fn ticks_are_round() {
        let pixels = (0.0, 100.0);
        assert_eq!(labels(Scale::linear((0.0, 0.93), pixels), 5), ["0.0", "0.2", "0.4", "0.6", "0.8"]);
        assert_eq!(labels(Scale::linear((-0.3, 0.3), pixels), 3), ["−0.2", "0.0", "0.2"]);
        assert_eq!(labels(Scale::linear((1.0, 600.0), pixels), 4), ["200", "400", "600"]);
        assert_eq!(labels(Scale::log((0.05, 8.0), pixels), 6), ["0.05", "0.1", "0.2", "0.5", "1", "2", "5"]);
        assert_eq!(labels(Scale::log((0.001, 1000.0), pixels), 5).len(), 7);
    }

    proptest! {
        #[test]
        fn ticks_lie_on_the_axis(low in -1e6..1e6_f64, width in 1e-6..1e6_f64, count in 3_usize..9) {
            let scale = Scale::linear((low, low + width), (10.0, 20.0));
            let ticks = scale.ticks(count);
            prop_assert!(!ticks.is_empty() && ticks.len() <= count + 1);
            for (value, _) in ticks {
                prop_assert!((10.0..=20.0).contains(&scale.at(value)));
            }
        }
    }
}
