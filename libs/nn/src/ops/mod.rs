//! Fused operations on contiguous `f32` tensors, each with its own backward pass.
//!
//! Candle's own fused operations leave no gradient, and its element-wise ones use one thread. These work in parallel
//! over rows or sequences, keep nothing for the backward pass that is cheap to compute again, compute no gradient for
//! an input that needs none (a frozen weight costs nothing), and add up in a fixed order.

use std::mem::MaybeUninit;

use candle_core::{CpuStorage, Device, Layout, Result, Shape, Storage, Tensor};

mod activation;
#[cfg(target_arch = "x86_64")]
mod amx;
mod attention;
mod cross_entropy;
mod dropout;
mod embedding;
mod expected;
mod gemm;
mod int8;
mod lanes;
mod linear;
mod low_rank;
mod mean;
mod norm;
#[cfg(target_arch = "x86_64")]
mod processor;
mod recompute;
mod residual;
mod row_means;
mod score_loss;

pub use activation::{geglu, geglu_tanh, gelu, swiglu};
pub use attention::{Attention, Relative, Rotary, RotaryScaling, attention, disentangled};
pub use cross_entropy::cross_entropy;
pub use dropout::{Dropout, dropout};
pub use embedding::embedding;
pub use expected::expected_class;
pub use gemm::Precision;
pub use int8::{Int8Layer, Int8Weight, PostNorm, int8_block, int8_linears};
pub use linear::{Bf16Weight, bf16_linear, linear};
pub use low_rank::{LowRank, low_rank};
pub use mean::sequence_means;
pub use norm::{layer_norm, rms_norm};
pub use recompute::Tape;
pub use residual::residual;
pub use row_means::row_means;
pub use score_loss::score_loss;

/// Numbers a parallel task should at least work on, so that sharing the work costs less than it gains.
const TASK: usize = 8192;

/// Rows of width `d` that make up a parallel task. It depends on `d` alone, so sums over tasks do not depend on the
/// number of threads.
fn task_rows(d: usize) -> usize {
    (TASK / d.max(1)).max(1)
}

/// So many numbers in memory that nothing has written before.
///
/// # Safety
/// `write` writes every one.
#[allow(unsafe_code)]
unsafe fn filled(len: usize, write: impl FnOnce(&mut [MaybeUninit<f32>])) -> Vec<f32> {
    let mut values = Vec::with_capacity(len);
    write(&mut values.spare_capacity_mut()[..len]);
    // SAFETY: there is room for so many numbers, and each was written.
    unsafe {
        values.set_len(len);
    }
    values
}

/// The slice with every number 0.
fn zeroed(values: &mut [MaybeUninit<f32>]) -> &mut [f32] {
    values.fill(MaybeUninit::new(0.0));
    // SAFETY: each was written.
    #[allow(unsafe_code)]
    unsafe {
        written(values)
    }
}

/// The slice with the numbers of another one of its length.
fn copied<'a>(values: &'a mut [MaybeUninit<f32>], from: &[f32]) -> &'a mut [f32] {
    assert_eq!(values.len(), from.len(), "a slice of another length");
    values.iter_mut().zip(from).for_each(|(value, &x)| _ = value.write(x));
    // SAFETY: each was written.
    #[allow(unsafe_code)]
    unsafe {
        written(values)
    }
}

/// A slice whose every number was written.
///
/// # Safety
/// That is so.
#[allow(unsafe_code)]
unsafe fn written(values: &mut [MaybeUninit<f32>]) -> &mut [f32] {
    // SAFETY: both slices have the same layout.
    unsafe { &mut *(std::ptr::from_mut(values) as *mut [f32]) }
}

/// The values of an operation's input.
fn input<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&storage.as_slice::<f32>()?[start..end]),
        None => candle_core::bail!("a fused operation needs contiguous tensors, found strides {:?}", layout.stride()),
    }
}

/// An operation's output.
fn output(values: Vec<f32>, shape: impl Into<Shape>) -> Result<(CpuStorage, Shape)> {
    Ok((CpuStorage::F32(values), shape.into()))
}

/// A gradient for an input of this shape.
fn gradient(values: Vec<f32>, like: &Tensor) -> Result<Option<Tensor>> {
    Tensor::from_vec(values, like.shape(), &Device::Cpu).map(Some)
}

/// Lends the values of contiguous tensors.
fn lend<const N: usize, T>(tensors: [&Tensor; N], work: impl FnOnce([&[f32]; N]) -> Result<T>) -> Result<T> {
    let tensors = tensors.map(|tensor| tensor.storage_and_layout());
    let mut values = [&[] as &[f32]; N];
    for (values, (storage, layout)) in values.iter_mut().zip(&tensors) {
        *values = match &**storage {
            Storage::Cpu(storage) => input(storage, layout)?,
            _ => candle_core::bail!("a fused operation needs tensors in main memory"),
        };
    }
    work(values)
}

#[cfg(test)]
mod check;
