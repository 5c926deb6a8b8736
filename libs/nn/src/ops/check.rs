//! Gradient checks for the operations' tests.

use candle_core::{Device, Tensor, Var};

/// A tensor of values in [-1, 1) that are a function of (seed, index).
pub(super) fn random(seed: u64, shape: &[usize]) -> Tensor {
    use rand::Rng;
    let mut rng = ranking::rng::stream(seed, "test", 0);
    let values: Vec<f32> =
        (0..shape.iter().product()).map(|_| (f64::from(rng.next_u32()) / 2_147_483_648.0 - 1.0) as f32).collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

fn numbers(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

/// Weighs every output, so that no two of them can cancel, and adds up in f64.
fn weighted(output: &Tensor) -> f64 {
    let weights = numbers(&random(99, &[output.elem_count()]));
    numbers(output).iter().zip(weights).map(|(&y, w)| f64::from(y) * f64::from(w)).sum()
}

/// Compares the gradient of every number of every input with a central difference, and two runs bit by bit.
pub(super) fn gradients(inputs: &[Tensor], op: impl Fn(&[Tensor]) -> Tensor) {
    let vars: Vec<Var> = inputs.iter().map(|input| Var::from_tensor(input).unwrap()).collect();
    let tracked: Vec<Tensor> = vars.iter().map(|var| var.as_tensor().clone()).collect();
    let run = || {
        let output = op(&tracked);
        let weights = random(99, &[output.elem_count()]).reshape(output.shape()).unwrap();
        let grads = (&output * weights).unwrap().sum_all().unwrap().backward().unwrap();
        (numbers(&output), vars.iter().map(|var| numbers(grads.get(var).unwrap())).collect::<Vec<_>>())
    };
    let (output, analytic) = run();
    assert_eq!((output, analytic.clone()), run(), "two runs differ");

    let step = 1e-2f32;
    for (which, input) in inputs.iter().enumerate() {
        let values = numbers(input);
        for index in 0..values.len() {
            let at = |delta: f32| {
                let mut moved = values.clone();
                moved[index] += delta;
                let mut inputs = inputs.to_vec();
                inputs[which] = Tensor::from_vec(moved, input.shape(), &Device::Cpu).unwrap();
                weighted(&op(&inputs))
            };
            // Fourth-order central difference.
            let near = at(step) - at(-step);
            let far = at(2.0 * step) - at(-2.0 * step);
            let expected = (8.0 * near - far) / (12.0 * f64::from(step));
            let found = f64::from(analytic[which][index]);
            let error = (found - expected).abs();
            assert!(error < 1e-3 * (1.0 + expected.abs()), "input {which}[{index}]: {found}, numeric {expected}");
        }
    }
}
