//! AdamW with clipping against PyTorch: ten steps on given gradients (tests/golden/optimizer_adamw.py).

#![allow(clippy::unwrap_used)]

use std::collections::HashMap;

use candle_core::{Device, Tensor, Var};
use nn::train::{AdamW, AdamWConfig};
use nn::weights::{Init, ParamSpec, Params};

const NAMES: [&str; 2] = ["bias", "weight"];

fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

/// A loss whose gradient for each weight is the given one.
fn loss(params: &Params, golden: &HashMap<String, Tensor>, step: usize) -> Tensor {
    let term = |name: &str| {
        let var: &Var = params.get(name).unwrap();
        (var.as_tensor() * &golden[&format!("grad.{step}.{name}")]).unwrap().sum_all().unwrap()
    };
    (term("bias") + term("weight")).unwrap()
}

#[test]
fn ten_steps_equal_pytorch() {
    let path = "tests/golden/optimizer_adamw.safetensors";
    let golden = candle_core::safetensors::load(path, &Device::Cpu).unwrap();
    let specs = NAMES.map(|name| ParamSpec::new(name, golden[&format!("start.{name}")].dims(), Init::Zeros));
    let params = Params::init(&specs, 0).unwrap();
    for name in NAMES {
        params.get(name).unwrap().set(&golden[&format!("start.{name}")]).unwrap();
    }
    let norms = values(&golden["norms"]);
    let config = AdamWConfig { weight_decay: 0.1, max_grad_norm: Some(1.0), ..AdamWConfig::default() };
    let mut optimizer = AdamW::new(config, &params);
    for (step, norm) in norms.iter().enumerate() {
        let grads = loss(&params, &golden, step).backward().unwrap();
        let stats = optimizer.step(&params, &grads, 0.1 / (step + 1) as f64, &|_| 1.0).unwrap();
        assert!((stats.grad_norm - f64::from(*norm)).abs() < 1e-5, "step {step}");
        for name in NAMES {
            let expected = values(&golden[&format!("after.{step}.{name}")]);
            for (e, f) in expected.iter().zip(values(params.get(name).unwrap())) {
                assert!((e - f).abs() < 1e-6, "step {step}, {name}: expected {e}, found {f}");
            }
        }
    }
    assert_eq!(norms.len(), 10);
    assert!(norms.iter().any(|n| *n > 1.0) && norms.iter().any(|n| *n < 1.0), "clipping must both act and rest");
}
