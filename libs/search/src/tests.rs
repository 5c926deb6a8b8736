//! The index as a whole, against the exhaustive sum.

use std::fs;
use std::path::Path;

use proptest::prelude::*;

use crate::exhaustive::Exhaustive;
use crate::{Bm25, Identity, Index, Work, build, build_in_memory};

fn identity() -> Identity {
    Identity { analyzer: "letters 1".to_owned(), collection: "c0ffee".to_owned() }
}

fn in_memory(config: Bm25, documents: &[Vec<String>]) -> Index {
    build_in_memory(&identity(), config, documents).unwrap()
}

fn write(path: &Path, documents: &[Vec<String>], memory: usize, threads: usize) {
    let tokens = |n: usize, push: &mut dyn FnMut(&str)| documents[n].iter().for_each(|token| push(token));
    let spills = path.parent().unwrap();
    build(path, &identity(), Bm25::default(), documents.len(), Work { spills, memory, threads }, tokens).unwrap();
}

/// Scores with all their bits.
fn exact(ranked: Vec<(usize, f64)>) -> Vec<(usize, u64)> {
    ranked.into_iter().map(|(document, score)| (document, score.to_bits())).collect()
}

/// The words of a small language: word n is drawn about n times more rarely than word 0.
fn word(draw: f64) -> String {
    format!("w{}", (60_f64.powf(draw) as usize).saturating_sub(1))
}

fn words(count: std::ops::Range<usize>) -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec((0.0..1.0).prop_map(word), count)
}

/// `count` documents of a fixed collection.
fn collection(count: usize) -> Vec<Vec<String>> {
    let mut state = 1_u64;
    let mut draw = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as f64 / 2_f64.powi(31)
    };
    (0..count).map(|_| (0..1 + (draw() * 12.0) as usize).map(|_| word(draw())).collect()).collect()
}

fn compare(index: &Index, exhaustive: &Exhaustive, query: &[String], k: usize) {
    assert_eq!(exact(index.top_k(query, k)), exact(exhaustive.top_k(query, k)), "{query:?} {k}");
}

proptest! {
    #[test]
    fn small_collections_rank_as_the_exhaustive_sum_does(
        documents in prop::collection::vec(words(0..9), 0..40),
        query in words(0..6),
        k in 0_usize..45,
        (k1, b) in (0.0..3.0_f64, 0.0..=1.0_f64),
    ) {
        let index = in_memory(Bm25 { k1, b }, &documents);
        let exhaustive = Exhaustive::build(Bm25 { k1, b }, &documents);
        compare(&index, &exhaustive, &query, k);
        prop_assert_eq!(index.len(), documents.len());
        for document in 0..=documents.len() {
            prop_assert_eq!(index.score(&query, document), exhaustive.score(&query, document));
        }
    }

    #[test]
    fn damaged_indexes_end_in_an_error_or_some_ranking(
        documents in prop::collection::vec(words(0..9), 0..300),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..9),
        query in words(0..6),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("index");
        write(&path, &documents, 0, 1);
        let mut bytes = fs::read(&path).unwrap();
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        fs::write(&path, bytes).unwrap();
        if let Ok(index) = Index::open(&path, &identity()) {
            index.top_k(&query, 10);
            index.score(&query, 3);
        }
    }
}

#[test]
fn large_collections_rank_as_the_exhaustive_sum_does() {
    let documents = collection(40_000);
    let index = in_memory(Bm25::default(), &documents);
    let exhaustive = Exhaustive::build(Bm25::default(), &documents);
    let mut queries = collection(60);
    queries.extend(
        ["w0", "w58", "w0 w0", "w1 w0 w1", "w56 w57 w58 w0 w1 w2", "unseen", "unseen w5"]
            .map(|query| query.split(' ').map(str::to_owned).collect::<Vec<_>>()),
    );
    for query in &queries {
        [1, 10, 50, 1000, 50_000].into_iter().for_each(|k| compare(&index, &exhaustive, query, k));
    }
}

#[test]
fn extreme_parameters_rank_as_the_exhaustive_sum_does() {
    let documents = collection(9_000);
    for (k1, b) in [(0.0, 0.0), (0.0, 1.0), (1e300, 0.5), (f64::MAX, 1.0), (1e-300, 1.0)] {
        let index = in_memory(Bm25 { k1, b }, &documents);
        let exhaustive = Exhaustive::build(Bm25 { k1, b }, &documents);
        collection(20).iter().for_each(|query| compare(&index, &exhaustive, query, 10));
    }
}

#[test]
fn memory_and_threads_leave_the_file_as_it_is() {
    let documents = collection(30_000);
    let folder = tempfile::tempdir().unwrap();
    let file = |memory, threads| {
        let path = folder.path().join("index");
        write(&path, &documents, memory, threads);
        fs::read(path).unwrap()
    };
    let whole = file(1 << 30, 1);
    for (memory, threads) in [(0, 1), (1 << 18, 1), (0, 3), (1 << 20, 7), (1 << 30, 2)] {
        assert!(file(memory, threads) == whole, "{memory} {threads}");
    }
    let path = folder.path().join("index");
    let index = Index::open(&path, &identity()).unwrap();
    assert_eq!((index.len(), index.terms()), (30_000, 59));
    let query = &documents[7];
    assert_eq!(exact(index.top_k(query, 9)), exact(in_memory(Bm25::default(), &documents).top_k(query, 9)));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn nothing_matches_in_an_empty_index() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("index");
    for documents in [vec![], vec![Vec::new(); 3]] {
        write(&path, &documents, 1 << 20, 2);
        let index = Index::open(&path, &identity()).unwrap();
        assert_eq!((index.len(), index.is_empty(), index.terms()), (documents.len(), documents.is_empty(), 0));
        assert!(index.top_k(&["x"], 5).is_empty());
        assert_eq!(index.score(&["x"], 0), 0.0);
    }
}

#[test]
fn cut_foreign_and_other_files_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("index");
    write(&path, &collection(3), 1 << 20, 1);
    let bytes = fs::read(&path).unwrap();
    let message = |bytes: &[u8], expected: &Identity| {
        fs::write(&path, bytes).unwrap();
        Index::open(&path, expected).unwrap_err().to_string().replace(path.to_str().unwrap(), "x")
    };
    (0..bytes.len()).for_each(|len| _ = message(&bytes[..len], &identity()));
    assert_eq!(
        message(b"PAR1", &identity()),
        "x: expected an index, found another kind of file; re-run ingest with --force"
    );
    let other = Identity { analyzer: "english 1".to_owned(), ..identity() };
    let expected = "x: expected an index of analyzer `english 1`, found `letters 1`; re-run ingest with --force";
    assert_eq!(message(&bytes, &other), expected);
}

#[test]
fn failures_name_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("none/index");
    let none = |_: usize, _: &mut dyn FnMut(&str)| ();
    let built =
        build(&missing, &identity(), Bm25::default(), 1, Work { spills: folder.path(), memory: 0, threads: 1 }, none)
            .unwrap_err();
    assert!(built.to_string().starts_with(&format!("{}: writing failed: ", missing.display())), "{built}");
    let spilled = build(
        &folder.path().join("index"),
        &identity(),
        Bm25::default(),
        1,
        Work { spills: &missing, memory: 0, threads: 1 },
        none,
    )
    .unwrap_err();
    assert!(spilled.to_string().starts_with(&missing.display().to_string()), "{spilled}");
    let config = Bm25 { k1: f64::NAN, b: 0.5 };
    assert!(build_in_memory(&identity(), config, [["x"]]).is_err());
    assert!(Index::open(&missing, &identity()).is_err());
}

#[test]
fn many_threads_search_one_index() {
    fn shared<T: Send + Sync + std::fmt::Debug>() {}
    shared::<Index>();
    shared::<crate::Texts>();
}
