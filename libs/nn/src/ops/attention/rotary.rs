//! Rotary positions.

use std::sync::Arc;

/// Rotary position angles (arXiv 2104.09864), in the convention of Hugging Face: number `i` of a head turns with number
/// `i + head_dim / 2`.
#[derive(Debug, Clone)]
pub struct Rotary {
    half: usize,
    cos: Arc<[f32]>,
    sin: Arc<[f32]>,
}

impl Rotary {
    /// Angles of positions `0..positions` for heads of width `head_dim`, with wavelengths `2 pi theta^(2 i / head_dim)`.
    pub fn new(theta: f64, head_dim: usize, positions: usize) -> Self {
        let half = head_dim / 2;
        let frequency = |i: usize| (1.0 / theta.powf(2.0 * i as f64 / head_dim as f64)) as f32;
        let frequencies: Vec<f32> = (0..half).map(frequency).collect();
        let angles = || (0..positions).flat_map(|p| frequencies.iter().map(move |f| p as f32 * f));
        Self { half, cos: angles().map(f32::cos).collect(), sin: angles().map(f32::sin).collect() }
    }

    /// Whether heads of this width turn at these positions.
    pub(super) fn fits(&self, head_dim: usize, positions: usize) -> bool {
        2 * self.half == head_dim && self.cos.len() >= positions * self.half
    }

    /// Turns rows of one head, the first at position 0, by `direction` (1 forward, -1 back) times their angle.
    pub(super) fn turn(&self, rows: &mut [f32], direction: f32) {
        let half = self.half;
        let angles = self.cos.chunks_exact(half).zip(self.sin.chunks_exact(half));
        for (row, (cos, sin)) in rows.chunks_exact_mut(2 * half).zip(angles) {
            let (first, second) = row.split_at_mut(half);
            for (((a, b), &cos), &sin) in first.iter_mut().zip(second).zip(cos).zip(sin) {
                let sin = sin * direction;
                (*a, *b) = (*a * cos - *b * sin, *b * cos + *a * sin);
            }
        }
    }
}
