use super::super::check::{gradients, random};
use super::*;

fn spec(causal: bool, rotary: bool) -> Attention {
    Attention {
        heads: 4,
        kv_heads: 2,
        head_dim: 4,
        causal,
        window: None,
        scale: None,
        soft_cap: None,
        rotary: rotary.then(|| Rotary::new(10.0, None, 4, 80)),
        offsets: vec![0, 3, 4, 9].into(),
        queries: None,
        dropout: None,
        precision: Precision::F32,
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
fn gradients_within_a_window_match_finite_differences() {
    for (causal, window) in [(true, 1), (true, 3), (false, 1), (false, 3)] {
        gradients(&inputs(9), |x| run(x, Attention { window: Some(window), ..spec(causal, true) }));
    }
    // Blocks after the first leave out the keys before their window.
    let offsets: Arc<[usize]> = vec![0, BLOCK + 3].into();
    let one_head = |causal| Attention { heads: 2, kv_heads: 1, head_dim: 2, ..spec(causal, false) };
    let x = [random(1, &[BLOCK + 3, 4]), random(2, &[BLOCK + 3, 2]), random(3, &[BLOCK + 3, 2])];
    for causal in [true, false] {
        gradients(&x, |x| run(x, Attention { window: Some(5), offsets: offsets.clone(), ..one_head(causal) }));
    }
}

#[test]
fn gradients_of_scaled_scores_match_finite_differences() {
    gradients(&inputs(9), |x| run(x, Attention { scale: Some(0.9), ..spec(false, false) }));
}

#[test]
fn gradients_of_bounded_scores_match_finite_differences() {
    let capped = |soft_cap| Attention { scale: Some(1.5), soft_cap: Some(soft_cap), ..spec(true, true) };
    gradients(&inputs(9), |x| run(x, capped(0.7)));
    gradients(&inputs(9), |x| run(x, Attention { window: Some(3), ..capped(2.0) }));
}

#[test]
fn scores_are_scaled_and_bounded() {
    // Two keys, of which the second is the query's: scores 0 and 6 times the scale.
    let row = |values: &[f32]| Tensor::from_slice(values, (2, 2), &candle_core::Device::Cpu).unwrap();
    let (q, k, v) = (row(&[0.0, 0.0, 2.0, 3.0]), row(&[0.0, 0.0, 0.0, 2.0]), row(&[1.0, 0.0, 0.0, 1.0]));
    let one = Attention { heads: 1, kv_heads: 1, head_dim: 2, offsets: vec![0, 2].into(), ..spec(true, false) };
    for (scale, soft_cap, score) in [
        (None, None, 6.0 / 2f32.sqrt()),
        (Some(0.25), None, 1.5),
        (Some(0.25), Some(2.0), 2.0 * 0.75f32.tanh()),
        (Some(1e6), Some(2.0), 2.0),
    ] {
        let found = run(&[q.clone(), k.clone(), v.clone()], Attention { scale, soft_cap, ..one.clone() });
        let share = score.exp() / (1.0 + score.exp());
        let found: Vec<f32> = found.get(1).unwrap().to_vec1().unwrap();
        assert!((found[0] - (1.0 - share)).abs() < 1e-6 && (found[1] - share).abs() < 1e-6, "{found:?}, share {share}");
    }
}

/// Sequences where one, no and two tokens ask.
fn asking(causal: bool) -> Attention {
    Attention { queries: Some(vec![1, 5, 8].into()), ..spec(causal, true) }
}

#[test]
fn gradients_of_some_queries_match_finite_differences() {
    let [_, k, v] = inputs(9);
    for causal in [false, true] {
        gradients(&[random(1, &[3, 16]), k.clone(), v.clone()], |x| run(x, asking(causal)));
    }
    for causal in [false, true] {
        let narrow = Attention { window: Some(2), dropout: Some(Dropout::new(0.3, 5)), ..asking(causal) };
        gradients(&[random(1, &[3, 16]), k.clone(), v.clone()], |x| run(x, narrow.clone()));
    }
}

#[test]
fn some_queries_get_what_they_get_among_all() {
    let t = 2 * BLOCK + 7;
    let [q, k, v] = inputs(t);
    for (causal, window) in [(false, None), (true, None), (true, Some(BLOCK)), (false, Some(BLOCK))] {
        let all = Attention {
            offsets: vec![0, 3, t].into(),
            window,
            rotary: Some(Rotary::new(10.0, None, 4, t)),
            ..spec(causal, true)
        };
        // More than a block of them, with gaps.
        let rows: Vec<u32> = (4..t as u32).filter(|row| row % 5 > 0).collect();
        let some = Attention { queries: Some(rows.clone().into()), ..all.clone() };
        let expected = embedding(&run(&[q.clone(), k.clone(), v.clone()], all), &rows).unwrap();
        let found = run(&[embedding(&q, &rows).unwrap(), k.clone(), v.clone()], some);
        let worst = (found - expected).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
        assert!(worst < 1e-6, "causal {causal}, window {window:?}: {worst}");
    }
}

#[test]
fn a_sequence_that_threads_share_has_the_same_outputs() {
    let t = 3 * BLOCK + 7;
    let [q, k, v] = inputs(t);
    let every_other: Vec<u32> = (0..t as u32).step_by(2).collect();
    for (causal, window, queries, offsets) in [
        (false, None, false, vec![0, t]),
        (true, None, true, vec![0, t]),
        (true, Some(BLOCK), false, vec![0, 70, t]),
        (false, Some(9), true, vec![0, 70, t]),
    ] {
        let q = if queries { embedding(&q, &every_other).unwrap() } else { q.clone() };
        let spec = Attention {
            offsets: offsets.into(),
            window,
            rotary: Some(Rotary::new(10.0, None, 4, t)),
            dropout: Some(Dropout::new(0.3, 5)),
            queries: queries.then(|| every_other.clone().into()),
            ..spec(causal, true)
        };
        let on = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let out = pool.install(|| run(&[q.clone(), k.clone(), v.clone()], spec.clone()));
            out.to_vec2::<f32>().unwrap()
        };
        assert!(spec.sequences(4).len() >= spec.offsets.len());
        assert!(on(1) == on(2) && on(1) == on(4), "causal {causal}, window {window:?}");
    }
}

#[test]
fn bf16_rounds_what_is_multiplied_but_for_some_queries_alone() {
    let x = [random(1, &[150, 16]), random(2, &[150, 8]), random(3, &[150, 8])];
    let of = |offsets: &[usize], precision| Attention { offsets: offsets.into(), precision, ..spec(true, false) };
    let values = |x: &Tensor| x.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let rounded = run(&x, of(&[0, 70, 150], Precision::Bf16));
    let exact = values(&run(&x, of(&[0, 70, 150], Precision::F32)));
    let norm = |x: &mut dyn Iterator<Item = f32>| x.map(|x| x * x).sum::<f32>().sqrt();
    let error = norm(&mut exact.iter().zip(values(&rounded)).map(|(a, b)| a - b)) / norm(&mut exact.iter().copied());
    assert!((1e-4..1e-2).contains(&error), "{error}");

    let alone = x.each_ref().map(|x| x.narrow(0, 70, 80).unwrap().contiguous().unwrap());
    let alone = run(&alone, of(&[0, 80], Precision::Bf16));
    assert_eq!(values(&alone), values(&rounded.narrow(0, 70, 80).unwrap()));

    let rows: Vec<u32> = vec![3, 149];
    let q = embedding(&x[0], &rows).unwrap();
    let some = |precision| Attention { queries: Some(rows.clone().into()), ..of(&[0, 70, 150], precision) };
    let read = |precision| values(&attention(&q, &x[1], &x[2], some(precision)).unwrap());
    assert_eq!(read(Precision::Bf16), read(Precision::F32));
}

/// Compares attention in bf16 with the same in f32, query by query.
fn near_f32(head_dim: usize, spec: &Attention) {
    let x = [16, 8, 8].map(|width| random(width as u64, &[540, width / 4 * head_dim]));
    let norm = |x: &mut dyn Iterator<Item = f32>| x.map(|x| x * x).sum::<f32>().sqrt();
    let rows = |precision| run(&x, Attention { precision, ..spec.clone() }).to_vec2::<f32>().unwrap();
    for (query, (exact, rounded)) in rows(Precision::F32).iter().zip(rows(Precision::Bf16)).enumerate() {
        let error = norm(&mut exact.iter().zip(&rounded).map(|(a, b)| a - b));
        let limit = 0.02 * norm(&mut exact.iter().copied()).max(0.3);
        assert!(error < limit, "query {query}, {spec:?}: {error}");
    }
}

#[test]
fn bf16_sees_what_f32_sees() {
    // Blocks of one query, of less and more than a tile has columns, an odd number of keys, and blocks that see as many keys as the one
    // before, but others.
    let offsets: Arc<[usize]> = vec![0, 1, 34, 98, 163, 280, 540].into();
    // Less than a tile has rows, several, and more than one has columns.
    for head_dim in [4, 24, 80] {
        for (causal, rotary) in [(false, false), (true, false), (false, true), (true, true)] {
            for (window, soft_cap, scale) in [
                (None, None, None),
                (Some(1), None, None),
                (Some(40), None, None),
                (None, Some(0.7), Some(0.4)),
                (None, None, Some(0.4)),
                (None, None, Some(-0.4)),
            ] {
                let rotary = rotary.then(|| Rotary::new(10.0, None, head_dim, 260));
                let offsets = offsets.clone();
                let spec = Attention { head_dim, offsets, window, soft_cap, scale, rotary, ..spec(causal, false) };
                near_f32(head_dim, &spec);
            }
        }
    }
}

#[test]
fn what_is_not_finite_stays_in_the_outputs_of_its_query() {
    let [q, k, v] = inputs(9);
    let mut bad = q.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    bad[4 * 16] = f32::NAN;
    let bad = Tensor::from_vec(bad, (9, 16), &candle_core::Device::Cpu).unwrap();
    for precision in [Precision::F32, Precision::Bf16] {
        let rows = |q: &Tensor| {
            let spec = Attention { precision, ..spec(false, false) };
            run(&[q.clone(), k.clone(), v.clone()], spec).to_vec2::<f32>().unwrap()
        };
        for (query, (good, bad)) in rows(&q).iter().zip(rows(&bad)).enumerate() {
            assert_eq!(bad[..4].iter().all(|x| x.is_nan()), query == 4);
            assert_eq!(good[4..], bad[4..]);
        }
    }
}

#[test]
fn gradients_with_dropout_match_finite_differences() {
    let dropout = Some(Dropout::new(0.3, 5));
    gradients(&inputs(9), |x| run(x, Attention { dropout, ..spec(true, true) }));
}

/// Per query row: the scores of every key it sees, softmax, the mixture of their values.
fn reference(q: &[Vec<f32>], k: &[Vec<f32>], v: &[Vec<f32>], causal: bool, window: usize) -> Vec<f32> {
    let mut out = Vec::new();
    for (row, query) in q.iter().enumerate() {
        for head in 0..4 {
            let (own, shared) = (head * 4..head * 4 + 4, head / 2 * 4..head / 2 * 4 + 4);
            let last = if causal { row } else { row.saturating_add(window - 1) };
            let seen = (row + 1).saturating_sub(window)..k.len().min(last.saturating_add(1));
            let score = |key: &Vec<f32>| {
                key[shared.clone()].iter().zip(&query[own.clone()]).map(|(a, b)| a * b).sum::<f32>() / 2.0
            };
            let exps: Vec<f32> = k[seen.clone()].iter().map(|key| score(key).exp()).collect();
            let total: f32 = exps.iter().sum();
            out.extend(
                shared.clone().map(|i| exps.iter().zip(&v[seen.clone()]).map(|(e, v)| e / total * v[i]).sum::<f32>()),
            );
        }
    }
    out
}

#[test]
fn blocks_of_rows_and_sequences_match_the_definition() {
    // Longer than a block of rows, beside a short one.
    let x = inputs(BLOCK + 16);
    for (causal, window) in [
        (false, None),
        (true, None),
        (true, Some(1)),
        (true, Some(4)),
        (true, Some(BLOCK + 2)),
        (false, Some(1)),
        (false, Some(4)),
        (false, Some(BLOCK + 2)),
    ] {
        let offsets = vec![0, 3, BLOCK + 16].into();
        let found = run(&x, Attention { offsets, window, ..spec(causal, false) });
        let window = window.unwrap_or(usize::MAX);
        let rows: Vec<Vec<Vec<f32>>> = x.iter().map(|x| x.to_vec2().unwrap()).collect();
        let mut expected = reference(&rows[0][..3], &rows[1][..3], &rows[2][..3], causal, window);
        expected.extend(reference(&rows[0][3..], &rows[1][3..], &rows[2][3..], causal, window));
        let found: Vec<f32> = found.flatten_all().unwrap().to_vec1().unwrap();
        let worst = found.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(worst < 1e-5, "causal {causal}, window {window}: {worst}");
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
    assert!(attention(&q, &k, &v, Attention { window: Some(0), ..spec(true, true) }).is_err());
    for queries in [vec![1, 5], vec![1, 5, 9], vec![5, 1, 8], vec![1, 1, 8]] {
        let q = random(1, &[3, 16]);
        assert!(attention(&q, &k, &v, Attention { queries: Some(queries.into()), ..spec(true, true) }).is_err());
    }
    let rotary = Some(Rotary::new(10.0, None, 4, 4));
    assert!(attention(&q, &k, &v, Attention { rotary, ..spec(true, true) }).is_err());
}

/// Rows of the distances within sequences of `tokens`, of a table of 8 rows.
fn rows(tokens: i64) -> Arc<[u32]> {
    (1 - tokens..tokens)
        .map(|distance| (distance.signum() * distance.abs().min(5) / 2 + 4).clamp(1, 5) as u32)
        .collect()
}

/// Runs with the tables `x[3]` for queries and `x[4]` for keys, where they are asked for.
fn run_disentangled(x: &[Tensor], [keys, queries]: [bool; 2], spec: Attention) -> Tensor {
    let longest = spec.offsets.windows(2).map(|w| w[1] - w[0]).max().unwrap() as i64;
    // Rows for longer sequences than there are do no harm.
    let rows = rows(longest + 2);
    let relative = Relative {
        keys: keys.then(|| x[3].clone()),
        queries: queries.then(|| x[if keys { 4 } else { 3 }].clone()),
        rows,
    };
    disentangled(&x[0], &x[1], &x[2], &relative, spec).unwrap()
}

fn of_two_heads(offsets: &[usize]) -> Attention {
    Attention { heads: 2, offsets: offsets.into(), scale: Some(0.4), ..spec(false, false) }
}

fn with_tables(queries: usize, t: usize) -> [Tensor; 5] {
    [random(1, &[queries, 8]), random(2, &[t, 8]), random(3, &[t, 8]), random(4, &[8, 8]), random(5, &[8, 8])]
}

/// The rows of the tables that no distance has get no gradient, which the check of finite differences confirms.
#[test]
fn gradients_of_distances_match_finite_differences() {
    let x = with_tables(9, 9);
    for terms in [[true, false], [false, true], [true, true]] {
        let inputs = if terms == [true, true] { 5 } else { 4 };
        gradients(&x[..inputs], |x| run_disentangled(x, terms, of_two_heads(&[0, 3, 4, 9])));
    }
    let dropout = Some(Dropout::new(0.3, 5));
    let asking = Attention { queries: Some(vec![1, 5, 8].into()), dropout, ..of_two_heads(&[0, 3, 4, 9]) };
    gradients(&with_tables(3, 9), |x| run_disentangled(x, [true, true], asking.clone()));
}

#[test]
fn gradients_of_distances_between_blocks_match_finite_differences() {
    let t = BLOCK + 3;
    let spec = Attention { heads: 1, kv_heads: 1, head_dim: 2, ..of_two_heads(&[0, t]) };
    let x = [random(1, &[t, 2]), random(2, &[t, 2]), random(3, &[t, 2]), random(4, &[8, 2]), random(5, &[8, 2])];
    gradients(&x, |x| run_disentangled(x, [true, true], spec.clone()));
}

#[test]
fn distances_match_the_definition() {
    let t = 2 * BLOCK + 7;
    let x = with_tables(t, t);
    let found = run_disentangled(&x, [true, true], of_two_heads(&[0, t])).to_vec2::<f32>().unwrap();
    let rows_of_distance = rows(t as i64);
    let [q, k, v, keys, queries] = x.map(|x| x.to_vec2::<f32>().unwrap());
    for head in [0..4, 4..8] {
        let dot =
            |a: &[f32], b: &[f32]| -> f32 { a[head.clone()].iter().zip(&b[head.clone()]).map(|(a, b)| a * b).sum() };
        for (i, found) in found.iter().enumerate() {
            let score = |j: usize| {
                let row = rows_of_distance[t - 1 + i - j] as usize;
                (0.4 * (dot(&q[i], &k[j]) + dot(&q[i], &keys[row]) + dot(&k[j], &queries[row]))).exp()
            };
            let weights: Vec<f32> = (0..t).map(score).collect();
            let total: f32 = weights.iter().sum();
            for column in head.clone() {
                let expected: f32 = weights.iter().zip(&v).map(|(weight, v)| weight / total * v[column]).sum();
                assert!((found[column] - expected).abs() < 1e-5, "{i} {column}: {} {expected}", found[column]);
            }
        }
    }
    // Some queries get what they get among all.
    let some: Vec<u32> = (0..t as u32).filter(|row| row % 3 > 0).collect();
    let mut asking = with_tables(t, t);
    asking[0] = embedding(&asking[0], &some).unwrap();
    let spec = Attention { queries: Some(some.clone().into()), ..of_two_heads(&[0, t]) };
    let part = run_disentangled(&asking, [true, true], spec).to_vec2::<f32>().unwrap();
    for (row, part) in some.iter().zip(part) {
        let worst = part.iter().zip(&found[*row as usize]).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(worst < 1e-6, "{row}: {worst}");
    }
}

#[test]
fn other_tables_are_refused() {
    let [q, k, v, keys, _] = with_tables(9, 9);
    let refuses = |relative: Relative, spec| disentangled(&q, &k, &v, &relative, spec).is_err();
    let relative = |rows| Relative { keys: Some(keys.clone()), queries: None, rows };
    let spec = || of_two_heads(&[0, 9]);
    assert!(!refuses(relative(rows(9)), spec()));
    assert!(refuses(relative(rows(8)), spec()), "too few distances");
    assert!(refuses(relative(rows(9).iter().rev().copied().collect()), spec()), "decreasing");
    assert!(refuses(relative(rows(9).iter().map(|row| row + 3).collect()), spec()), "a row outside");
    assert!(refuses(Relative { keys: Some(random(1, &[8, 4])), queries: None, rows: rows(9) }, spec()));
    let rotary = Some(Rotary::new(10.0, None, 4, 9));
    assert!(refuses(relative(rows(9)), Attention { rotary, ..spec() }));
}

#[test]
fn rotary_turns_pairs_half_a_head_apart() {
    let rotary = Rotary::new(100.0, None, 4, 3);
    let mut rows = vec![1.0, 2.0, 3.0, 4.0, 1.0, 2.0, 3.0, 4.0];
    rotary.turn(&mut rows, 0.., 1.0);
    assert_eq!(rows[..4], [1.0, 2.0, 3.0, 4.0], "position 0 does not turn");
    // Number 0 with number 2 by 1, number 1 with number 3 by 100^(-1/2) = 0.1.
    let turned = |a: f32, b: f32, angle: f32| (a * angle.cos() - b * angle.sin(), b * angle.cos() + a * angle.sin());
    let ((a, c), (b, d)) = (turned(1.0, 3.0, 1.0), turned(2.0, 4.0, 0.1));
    for (found, expected) in rows[4..].iter().zip([a, b, c, d]) {
        assert!((found - expected).abs() < 1e-6, "{rows:?}");
    }
    rotary.turn(&mut rows, 0.., -1.0);
    assert!(rows[4..].iter().zip([1.0, 2.0, 3.0, 4.0]).all(|(a, b)| (a - b).abs() < 1e-6));
}

#[test]
fn all_wavelengths_are_stretched_alike() {
    let angles = |rotary: Rotary, position| {
        let mut rows = vec![1.0, 1.0, 0.0, 0.0];
        rotary.turn(&mut rows, std::iter::once(position), 1.0);
        rows
    };
    let stretched = angles(Rotary::stretched(100.0, 4.0, 4, 9), 8);
    for (found, expected) in stretched.iter().zip(angles(Rotary::new(100.0, None, 4, 9), 2)) {
        assert!((found - expected).abs() < 1e-6, "{stretched:?}");
    }
}

#[test]
fn scaling_stretches_long_wavelengths_alone() {
    let scaling = RotaryScaling {
        factor: 8.0,
        low_freq_factor: 1.0,
        high_freq_factor: 4.0,
        original_max_position_embeddings: 8192,
    };
    // The second number of a head of 4 turns by `theta^(-1/2)` a token: often, hardly and 2.5 times in 8192 tokens.
    let turns = |times: f64| (8192.0 / (std::f64::consts::TAU * times)).powi(2);
    for (times, slower) in [(5.0, 1.0), (0.5, 8.0), (2.5, 1.0 / (0.5 / 8.0 + 0.5))] {
        let theta = turns(times);
        let angle = |scaling| {
            let mut rows = vec![0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0];
            Rotary::new(theta, scaling, 4, 2).turn(&mut rows, 0.., 1.0);
            f64::from(rows[7]).asin()
        };
        assert!((angle(None) / angle(Some(scaling)) / slower - 1.0).abs() < 1e-5, "{times} turns");
    }
}
