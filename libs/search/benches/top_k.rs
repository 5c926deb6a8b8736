//! The best 50 of a million short documents whose words follow Zipf's law, by how frequent the query's words are.

use criterion::{Criterion, criterion_group, criterion_main};
use search::{Bm25, Identity, build_in_memory};

const DOCUMENTS: usize = 1_000_000;
const WORDS: f64 = 200_000.0;

/// A fixed stream of numbers from 0 to 1 (SplitMix64).
fn draws() -> impl FnMut() -> f64 {
    let mut state = 0_u64;
    move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

fn top_50(c: &mut Criterion) {
    let mut draw = draws();
    let mut word = || format!("w{}", WORDS.powf(draw()) as usize);
    let documents = (0..DOCUMENTS).map(|n| (0..12 + n % 9).map(|_| word()).collect::<Vec<_>>());
    let identity = Identity { analyzer: "words 1".to_owned(), collection: "zipf".to_owned() };
    let Ok(index) = build_in_memory(&identity, Bm25::default(), documents) else { return };
    for query in ["w1 w2 w3", "w10 w12", "w1 w3 w1000", "w100 w200 w300", "w5000 w70000"] {
        let tokens: Vec<&str> = query.split(' ').collect();
        c.bench_function(&format!("top 50 of {query}"), |b| b.iter(|| index.top_k(&tokens, 50)));
    }
}

criterion_group!(benches, top_50);
criterion_main!(benches);
