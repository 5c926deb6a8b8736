use super::super::check::{gradients, random};
use super::*;

fn spec(causal: bool, rotary: bool) -> Attention {
    Attention {
        heads: 4,
        kv_heads: 2,
        head_dim: 4,
        causal,
        rotary: rotary.then(|| Rotary::new(10.0, 4, 80)),
        offsets: vec![0, 3, 4, 9].into(),
        dropout: None,
    }
}

fn inputs(t: usize) -> [Tensor; 3] {
    [random(1, &[t, 16]), random(2, &[t, 8]), random(3, &[t, 8])]
}

fn run(x: &[Tensor], spec: Attention) -> Tensor {
    attention(&x[0], &x[1], &x[2], spec).unwrap()
}

#[test]
fn gradients_match_finite_differences() {
    for (causal, rotary) in [(false, false), (true, false), (false, true), (true, true)] {
        gradients(&inputs(9), |x| run(x, spec(causal, rotary)));
    }
}

#[test]
fn gradients_with_dropout_match_finite_differences() {
    let dropout = Some(Dropout::new(0.3, 5));
    gradients(&inputs(9), |x| run(x, Attention { dropout, ..spec(true, true) }));
}

/// Per query row: the scores of every key it sees, softmax, the mixture of their values.
fn reference(q: &[Vec<f32>], k: &[Vec<f32>], v: &[Vec<f32>], causal: bool) -> Vec<f32> {
    let mut out = Vec::new();
    for (row, query) in q.iter().enumerate() {
        for head in 0..4 {
            let (own, shared) = (head * 4..head * 4 + 4, head / 2 * 4..head / 2 * 4 + 4);
            let seen = if causal { row + 1 } else { k.len() };
            let score = |key: &Vec<f32>| {
                key[shared.clone()].iter().zip(&query[own.clone()]).map(|(a, b)| a * b).sum::<f32>() / 2.0
            };
            let exps: Vec<f32> = k[..seen].iter().map(|key| score(key).exp()).collect();
            let total: f32 = exps.iter().sum();
            out.extend(shared.clone().map(|i| exps.iter().zip(v).map(|(e, v)| e / total * v[i]).sum::<f32>()));
        }
    }
    out
}

#[test]
fn blocks_of_rows_and_sequences_match_the_definition() {
    // Longer than a block of rows, beside a short one.
    let x = inputs(BLOCK + 16);
    for causal in [false, true] {
        let offsets = vec![0, 3, BLOCK + 16].into();
        let found = run(&x, Attention { offsets, ..spec(causal, false) });
        let rows: Vec<Vec<Vec<f32>>> = x.iter().map(|x| x.to_vec2().unwrap()).collect();
        let mut expected = reference(&rows[0][..3], &rows[1][..3], &rows[2][..3], causal);
        expected.extend(reference(&rows[0][3..], &rows[1][3..], &rows[2][3..], causal));
        let found: Vec<f32> = found.flatten_all().unwrap().to_vec1().unwrap();
        let worst = found.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(worst < 1e-5, "causal {causal}: {worst}");
    }
}

#[test]
fn long_causal_gradients_do_not_reach_later_tokens() {
    let x = inputs(BLOCK + 6).map(|x| candle_core::Var::from_tensor(&x).unwrap());
    let offsets = vec![0, BLOCK + 6].into();
    let out = run(&x.each_ref().map(|x| x.as_tensor().clone()), Attention { offsets, ..spec(true, true) });
    let grads = out.narrow(0, BLOCK + 1, 1).unwrap().sum_all().unwrap().backward().unwrap();
    let dv = grads.get(&x[2]).unwrap().abs().unwrap().sum(1).unwrap().to_vec1::<f32>().unwrap();
    assert!(dv[..BLOCK + 2].iter().all(|&g| g > 0.0));
    assert!(dv[BLOCK + 2..].iter().all(|&g| g == 0.0));
}

#[test]
fn other_shapes_are_refused() {
    let [q, k, v] = inputs(9);
    assert!(attention(&q, &k, &v, Attention { offsets: vec![0, 8].into(), ..spec(true, true) }).is_err());
    assert!(attention(&q, &k, &v, Attention { kv_heads: 4, ..spec(true, true) }).is_err());
    let rotary = Some(Rotary::new(10.0, 4, 4));
    assert!(attention(&q, &k, &v, Attention { rotary, ..spec(true, true) }).is_err());
}

#[test]
fn rotary_turns_pairs_half_a_head_apart() {
    let rotary = Rotary::new(100.0, 4, 3);
    let mut rows = vec![1.0, 2.0, 3.0, 4.0, 1.0, 2.0, 3.0, 4.0];
    rotary.turn(&mut rows, 1.0);
    assert_eq!(rows[..4], [1.0, 2.0, 3.0, 4.0], "position 0 does not turn");
    // Number 0 with number 2 by 1, number 1 with number 3 by 100^(-1/2) = 0.1.
    let turned = |a: f32, b: f32, angle: f32| (a * angle.cos() - b * angle.sin(), b * angle.cos() + a * angle.sin());
    let ((a, c), (b, d)) = (turned(1.0, 3.0, 1.0), turned(2.0, 4.0, 0.1));
    for (found, expected) in rows[4..].iter().zip([a, b, c, d]) {
        assert!((found - expected).abs() < 1e-6, "{rows:?}");
    }
    rotary.turn(&mut rows, -1.0);
    assert!(rows[4..].iter().zip([1.0, 2.0, 3.0, 4.0]).all(|(a, b)| (a - b).abs() < 1e-6));
}
