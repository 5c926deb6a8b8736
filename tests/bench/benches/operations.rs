//! Each fused operation at the shapes of MiniLM-L6 and of a small Llama, forward alone and with its backward pass.

use candle_core::{Device, Tensor, Var};
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use nn::ops::{
    Attention, Int8Weight, Precision, Rotary, attention, cross_entropy, embedding, gelu, int8_block, layer_norm,
    linear, residual, rms_norm, swiglu,
};
use nn::train::{AdamW, AdamWConfig};
use nn::weights::{Init, ParamSpec, Params};

/// Tokens of a batch: 32 sequences of 128.
const TOKENS: usize = 4096;
/// Width, heads and inner width of MiniLM-L6.
const WIDTH: usize = 384;
const HEADS: usize = 12;
const INNER: usize = 1536;
/// Width and vocabulary of the Llama.
const LLAMA_WIDTH: usize = 512;
const VOCABULARY: usize = 32_000;

// A failure to make a tensor leaves nothing to measure.
#[allow(clippy::unwrap_used)]
fn random(shape: &[usize]) -> Var {
    Var::rand(-1.0f32, 1.0, shape, &Device::Cpu).unwrap()
}

type Operation<'a> = &'a dyn Fn(&[Tensor]) -> candle_core::Result<Tensor>;

/// Measures an operation without a graph, and with one and its gradients.
fn measure(group: &mut BenchmarkGroup<'_, WallTime>, name: &str, inputs: &[Var], operation: Operation<'_>) {
    let tracked: Vec<Tensor> = inputs.iter().map(|input| input.as_tensor().clone()).collect();
    let detached: Vec<Tensor> = inputs.iter().map(|input| input.as_detached_tensor()).collect();
    group.bench_function(format!("{name}/forward"), |bencher| bencher.iter(|| operation(&detached)));
    group.bench_function(format!("{name}/backward too"), |bencher| {
        bencher.iter(|| operation(&tracked)?.sum_all()?.backward());
    });
}

fn products(criterion: &mut Criterion) {
    models::keep_freed_memory();
    let mut group = criterion.benchmark_group("linear");
    let inputs = [random(&[TOKENS, WIDTH]), random(&[INNER, WIDTH]), random(&[INNER])];
    for (name, precision) in [("f32", Precision::F32), ("bf16", Precision::Bf16)] {
        measure(&mut group, name, &inputs, &|x| linear(&x[0], &x[1], Some(&x[2]), precision));
    }
    let [x, weight, bias] = inputs.each_ref().map(|input| input.as_detached_tensor());
    let back = random(&[WIDTH, INNER]).as_detached_tensor();
    if let (Ok(weight), Ok(back)) = (Int8Weight::of(&weight), Int8Weight::of(&back)) {
        group
            .bench_function("int8/forward", |bencher| bencher.iter(|| int8_block(&x, &[(&weight, Some(&bias))], None)));
        group.bench_function("int8/feed-forward", |bencher| {
            bencher.iter(|| int8_block(&x, &[(&weight, Some(&bias)), (&back, None)], None));
        });
    }
}

fn attentions(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("attention");
    let inputs = [0; 3].map(|_| random(&[TOKENS, WIDTH]));
    let spec = |length: usize, causal: bool, rotary: Option<Rotary>| Attention {
        heads: HEADS,
        kv_heads: HEADS,
        head_dim: WIDTH / HEADS,
        causal,
        window: None,
        scale: None,
        soft_cap: None,
        rotary,
        offsets: (0..=TOKENS).step_by(length).collect(),
        queries: None,
        dropout: None,
        precision: Precision::F32,
    };
    for length in [32, 128, 512] {
        for precision in [Precision::F32, Precision::Bf16] {
            let spec = Attention { precision, ..spec(length, false, None) };
            let name = format!("sequences of {length}, {precision:?}");
            measure(&mut group, &name, &inputs, &|x| attention(&x[0], &x[1], &x[2], spec.clone()));
        }
    }
    let rotary = Rotary::new(10_000.0, None, WIDTH / HEADS, 128);
    let spec = spec(128, true, Some(rotary));
    measure(&mut group, "causal, rotary", &inputs, &|x| attention(&x[0], &x[1], &x[2], spec.clone()));
    group.finish();
}

fn rows(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("rows");
    let (x, inner) = ([0; 2].map(|_| random(&[TOKENS, WIDTH])), [0; 2].map(|_| random(&[TOKENS, INNER])));
    let [weight, bias] = [0; 2].map(|_| random(&[WIDTH]));
    let normed = [x[0].clone(), weight, bias];
    measure(&mut group, "layer_norm", &normed, &|x| layer_norm(&x[0], &x[1], Some(&x[2]), 1e-12));
    measure(&mut group, "rms_norm", &normed[..2], &|x| rms_norm(&x[0], &x[1], 1e-5));
    measure(&mut group, "residual", &x, &|x| residual(&x[0], &x[1], None));
    measure(&mut group, "gelu", &inner[..1], &|x| gelu(&x[0]));
    measure(&mut group, "swiglu", &inner, &|x| swiglu(&x[0], &x[1]));
    let ids: Vec<u32> = (0..TOKENS as u32).map(|token| token * 7 % VOCABULARY as u32).collect();
    measure(&mut group, "embedding", &[random(&[VOCABULARY, WIDTH])], &|x| embedding(&x[0], &ids));
}

fn losses(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("cross_entropy");
    group.sample_size(10);
    let inputs = [random(&[TOKENS / 4, LLAMA_WIDTH]), random(&[VOCABULARY, LLAMA_WIDTH])];
    let targets: Vec<u32> = (0..TOKENS as u32 / 4).collect();
    for (name, precision) in [("f32", Precision::F32), ("bf16", Precision::Bf16)] {
        measure(&mut group, name, &inputs, &|x| cross_entropy(&x[0], &x[1], &targets, None, precision));
    }
}

// A failure to make the weights leaves nothing to measure.
#[allow(clippy::unwrap_used)]
fn optimizers(criterion: &mut Criterion) {
    let specs = [ParamSpec::new("weight", &[VOCABULARY, LLAMA_WIDTH], Init::Normal(0.02))];
    let params = Params::init(&specs, 1).unwrap();
    let loss = params.get("weight").and_then(|weight| Ok(weight.sqr()?.sum_all()?)).unwrap();
    let grads = loss.backward().unwrap();
    let mut optimizer = AdamW::new(AdamWConfig::default(), &params);
    let mut group = criterion.benchmark_group("optimizer");
    group.throughput(Throughput::Elements(params.count() as u64));
    group.bench_function("adamw", |bencher| bencher.iter(|| optimizer.step(&params, &grads, 1e-5, &|_| 1.0)));
}

criterion_group!(operations, products, attentions, rows, losses, optimizers);
criterion_main!(operations);
