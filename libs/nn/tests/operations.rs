//! Every fused operation and its gradients against PyTorch's. The golden values come from `golden/operations.py`.

#![allow(clippy::unwrap_used)]

use std::collections::HashMap;

use candle_core::{Device, Result, Tensor, Var};
use nn::ops::Precision::F32;
use nn::ops::{
    Attention, LowRank, Relative, Rotary, attention, cross_entropy, disentangled, embedding, geglu, gelu, layer_norm,
    linear, low_rank, residual, rms_norm, sequence_means, swiglu,
};

const OFFSETS: [usize; 5] = [0, 5, 6, 76, 79];
const HEAD_DIM: usize = 6;
const TOLERANCE: f32 = 1e-5;

fn numbers(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

struct Golden(HashMap<String, Tensor>);

impl Golden {
    fn open() -> Golden {
        Golden(candle_core::safetensors::load("tests/golden/operations.safetensors", &Device::Cpu).unwrap())
    }

    /// Compares the output of an operation on the first `inputs` of a case, and the gradient of each.
    fn check(&self, case: &str, inputs: usize, operation: impl Fn(&[Tensor]) -> Result<Tensor>) {
        let get = |name: String| &self.0[&format!("{case}.{name}")];
        let vars: Vec<Var> = (0..inputs).map(|i| Var::from_tensor(get(format!("input.{i}"))).unwrap()).collect();
        let tracked: Vec<Tensor> = vars.iter().map(|var| var.as_tensor().clone()).collect();
        let output = operation(&tracked).unwrap();
        close(&format!("{case} output"), &numbers(&output), &numbers(get("output".into())));
        let loss = (output * get("cotangent".into())).unwrap().sum_all().unwrap();
        let grads = loss.backward().unwrap();
        for (i, var) in vars.iter().enumerate() {
            let expected = numbers(get(format!("grad.{i}")));
            assert!(expected.iter().any(|&g| g != 0.0));
            close(&format!("{case} gradient {i}"), &numbers(grads.get(var).unwrap()), &expected);
        }
    }
}

fn close(what: &str, found: &[f32], expected: &[f32]) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (index, (found, expected)) in found.iter().zip(expected).enumerate() {
        let error = (found - expected).abs();
        assert!(error <= TOLERANCE * expected.abs().max(1.0), "{what}[{index}]: {found}, PyTorch {expected}");
    }
}

#[test]
fn layers_match_pytorch() {
    let golden = Golden::open();
    golden.check("linear", 3, |x| linear(&x[0], &x[1], Some(&x[2]), F32));
    let weight = &golden.0["low_rank.input.3"];
    golden.check("low_rank", 3, |x| {
        let layer = LowRank { weight: weight.clone(), bias: None, scale: 0.75, dropout: None, precision: F32 };
        low_rank(&x[0], &x[1], &x[2], layer)
    });
    golden.check("layer_norm", 3, |x| layer_norm(&x[0], &x[1], Some(&x[2]), 1e-5));
    golden.check("layer_norm_plain", 2, |x| layer_norm(&x[0], &x[1], None, 1e-5));
    golden.check("rms_norm", 2, |x| rms_norm(&x[0], &x[1], 1e-5));
    golden.check("gelu", 1, |x| gelu(&x[0]));
    golden.check("swiglu", 2, |x| swiglu(&x[0], &x[1]));
    golden.check("geglu", 2, |x| geglu(&x[0], &x[1]));
    golden.check("sequence_means", 1, |x| sequence_means(&x[0], &OFFSETS.into()));
    golden.check("residual", 2, |x| residual(&x[0], &x[1], None));
    golden.check("embedding", 1, |x| embedding(&x[0], &[3, 0, 3, 7, 7, 7, 1]));
}

#[test]
fn the_loss_matches_pytorch() {
    Golden::open().check("cross_entropy", 2, |x| cross_entropy(&x[0], &x[1], &[6, 0, 3, 3, 1], None, F32));
}

#[test]
fn attention_matches_pytorch() {
    let golden = Golden::open();
    let plain = Attention {
        heads: 2,
        kv_heads: 2,
        head_dim: HEAD_DIM,
        causal: false,
        window: None,
        scale: None,
        soft_cap: None,
        rotary: None,
        offsets: OFFSETS.into(),
        queries: None,
        dropout: None,
        precision: F32,
    };
    let check = |case: &str, spec: Attention| {
        golden.check(case, 3, |x| attention(&x[0], &x[1], &x[2], spec.clone()));
    };
    check("attention", plain.clone());
    let rotary = Some(Rotary::new(100.0, None, HEAD_DIM, 70));
    check("attention_causal", Attention { heads: 4, causal: true, rotary: rotary.clone(), ..plain.clone() });
    check("attention_window", Attention { heads: 3, kv_heads: 1, causal: true, window: Some(4), ..plain.clone() });
    check("attention_local", Attention { window: Some(4), rotary, ..plain.clone() });

    // Rows of the distances -69 to 69: 6 buckets, the farthest distance 20.
    let far = |distance: usize| match distance {
        0..4 => distance,
        4..8 => 4,
        8..20 => 5,
        _ => 6,
    };
    let rows = (0..69).rev().map(|d| 6 - far(d + 1)).chain((0..70).map(|d| (6 + far(d)).min(11)));
    let rows: std::sync::Arc<[u32]> = rows.map(|row| row as u32).collect();
    let spec = Attention { scale: Some(1.0 / (3.0 * HEAD_DIM as f32).sqrt()), ..plain };
    golden.check("disentangled", 5, |x| {
        let relative = Relative { keys: Some(x[3].clone()), queries: Some(x[4].clone()), rows: rows.clone() };
        disentangled(&x[0], &x[1], &x[2], &relative, spec.clone())
    });
}
