//! Rotary positions.

use std::f64::consts::TAU;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// How Llama 3 stretches rotary positions to texts longer than those of its first training (arXiv 2407.21783; the names
/// are those of config.json): wavelengths with many turns within `original_max_position_embeddings` tokens stay, those
/// with few are multiplied by `factor`, and those between are interpolated.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct RotaryScaling {
    /// What the longest wavelengths are multiplied by.
    pub factor: f64,
    /// Turns below which a wavelength is multiplied by the whole factor.
    pub low_freq_factor: f64,
    /// Turns above which a wavelength stays.
    pub high_freq_factor: f64,
    /// The number of tokens in which turns are counted.
    pub original_max_position_embeddings: usize,
}

impl RotaryScaling {
    /// The angle per token in place of `frequency`.
    fn scale(&self, frequency: f64) -> f64 {
        let turns = self.original_max_position_embeddings as f64 * frequency / TAU;
        let kept = ((turns - self.low_freq_factor) / (self.high_freq_factor - self.low_freq_factor)).clamp(0.0, 1.0);
        frequency * ((1.0 - kept) / self.factor + kept)
    }
}

/// Rotary position angles (arXiv 2104.09864), in the convention of Hugging Face: number `i` of a head turns with number
/// `i + head_dim / 2`.
#[derive(Debug, Clone)]
pub struct Rotary {
    half: usize,
    cos: Arc<[f32]>,
    sin: Arc<[f32]>,
}

impl Rotary {
    /// Angles of positions `0..positions` for heads of width `head_dim`, with wavelengths `2 pi theta^(2 i / head_dim)`,
    /// scaled where there is a scaling.
    pub fn new(theta: f64, scaling: Option<RotaryScaling>, head_dim: usize, positions: usize) -> Self {
        let scale = |frequency| scaling.map_or(frequency, |scaling| scaling.scale(frequency));
        Self::with_frequencies(theta, head_dim, positions, scale)
    }

    /// As [`Self::new`], with every wavelength multiplied by `factor` (arXiv 2306.15595).
    pub fn stretched(theta: f64, factor: f64, head_dim: usize, positions: usize) -> Self {
        Self::with_frequencies(theta, head_dim, positions, |frequency| frequency / factor)
    }

    fn with_frequencies(theta: f64, head_dim: usize, positions: usize, scale: impl Fn(f64) -> f64) -> Self {
        let half = head_dim / 2;
        let frequency = |i: usize| scale(1.0 / theta.powf(2.0 * i as f64 / head_dim as f64)) as f32;
        let frequencies: Vec<f32> = (0..half).map(frequency).collect();
        let angles = || (0..positions).flat_map(|p| frequencies.iter().map(move |f| p as f32 * f));
        Self { half, cos: angles().map(f32::cos).collect(), sin: angles().map(f32::sin).collect() }
    }

    /// True if the angles cover heads of this width at these positions.
    pub(super) fn fits(&self, head_dim: usize, positions: usize) -> bool {
        2 * self.half == head_dim && self.cos.len() >= positions * self.half
    }

    /// Turns rows of one head at these positions by `direction` (1 forward, -1 back) times their angle.
    pub(super) fn turn(&self, rows: &mut [f32], positions: impl Iterator<Item = usize>, direction: f32) {
        let half = self.half;
        for (row, position) in rows.chunks_exact_mut(2 * half).zip(positions) {
            let angles = position * half..(position + 1) * half;
            let (cos, sin) = (&self.cos[angles.clone()], &self.sin[angles]);
            let (first, second) = row.split_at_mut(half);
            for (((a, b), &cos), &sin) in first.iter_mut().zip(second).zip(cos).zip(sin) {
                let sin = sin * direction;
                (*a, *b) = (*a * cos - *b * sin, *b * cos + *a * sin);
            }
        }
    }
}
