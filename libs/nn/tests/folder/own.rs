//! Folders of this library: what is written reads back to the same scores, and what does not fit is refused.

use std::path::Path;

use nn::cross_encoder::{CrossEncoder, Execution};
use nn::folder::{self, Base, InputChoice, Settings};
use nn::models::{Head, Model};
use nn::ops::Precision;
use nn::text::{Kind, Pooling, Texts, Tokenizer};
use tempfile::TempDir;

use super::{CORPUS, bert, byte_level, llama, load, saved_student, scores, scoring, settings, word_piece};

fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), std::fs::read(&path).unwrap()))
        .collect();
    files.sort();
    files
}

#[test]
fn rankers_read_back_to_the_same_scores_and_bytes() {
    let cases = [
        (llama(Head::Score), byte_level(), settings(Kind::Decoder)),
        (llama(Head::Score).with_pooling(Pooling::Mean).unwrap(), byte_level(), of_means()),
        (bert(60), word_piece(), settings(Kind::Encoder)),
        (bert(60).with_head(Head::Grades(5), 4).unwrap(), word_piece(), settings(Kind::Encoder)),
    ];
    for (ranker, tokenizer, settings) in cases {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        folder::save_ranker(one.path(), &ranker, &tokenizer, &settings, "# Card\n").unwrap();
        let saved = load(one.path()).unwrap();
        assert_eq!(saved.settings, settings);
        assert_eq!(
            scores(&saved.ranker, &saved.tokenizer, &saved.settings, 64),
            scores(&ranker, &tokenizer, &settings, 64)
        );
        folder::save_ranker(two.path(), &saved.ranker, &saved.tokenizer, &saved.settings, "# Card\n").unwrap();
        assert_eq!(files(one.path()), files(two.path()));
        assert_eq!(folder::identity(one.path()).unwrap(), folder::identity(two.path()).unwrap());
    }
}

#[test]
fn what_scores_by_rounded_weights_alone_leaves_no_other_copy_of_its_layers_in_memory() {
    no_other_copy(Precision::Int8);
    if Precision::Bf16.rounds_once() {
        no_other_copy(Precision::Bf16);
    } else {
        println!("skipped for bf16: this processor has no instructions for it");
    }
}

fn no_other_copy(precision: Precision) {
    let in_memory = |ranker: &Model| {
        let names = ranker.params().iter().map(|(name, _)| name.to_owned());
        names.collect::<Vec<_>>()
    };
    let execution = Execution { precision, batch_tokens: 64 };
    let texts = [Texts { query: "red shoes", title: "cheap shoes", summary: "and more" }; 2];
    for (ranker, tokenizer, kind) in
        [(llama(Head::Score), byte_level(), Kind::Decoder), (bert(60), word_piece(), Kind::Encoder)]
    {
        let folder = tempfile::tempdir().unwrap();
        folder::save_ranker(folder.path(), &ranker, &tokenizer, &settings(kind), "# Card\n").unwrap();
        let scorer = folder::load_scorer(folder.path(), None, &InputChoice::default(), precision).unwrap();
        let held = in_memory(&scorer.ranker);
        // Of the last layer, what follows the token that is read stays f32.
        let is_rounded = |name: &str| {
            let is_key_or_value = ["k_proj", "v_proj", "key", "value"].iter().any(|part| name.contains(part));
            name.contains("0.") || (name.contains("1.") && is_key_or_value)
        };
        let rounded = ranker.params().iter().filter(|(name, var)| var.rank() == 2 && is_rounded(name));
        let rounded: usize = rounded.map(|(_, var)| var.elem_count()).sum();
        assert_eq!(scorer.ranker.params().count_in_memory() + rounded, ranker.params().count());
        let score = |saved: &_| CrossEncoder::of_saved(saved, execution).unwrap().score(&texts).unwrap();
        assert_eq!(score(&scorer), score(&load(folder.path()).unwrap()));

        // A NaN is found before anything is scored.
        let path = folder.path().join("model.safetensors");
        let name = in_memory(&ranker).into_iter().find(|name| name.contains("layer") && !held.contains(name)).unwrap();
        let weight = ranker.params().get(&name).unwrap();
        weight.set(&(weight.as_detached_tensor() * f64::NAN).unwrap()).unwrap();
        ranker.params().save(&path).unwrap();
        let error = folder::load_scorer(folder.path(), None, &InputChoice::default(), precision).unwrap_err();
        let expected = format!("{}: expected finite numbers in weight `{name}`, found NaN", path.display());
        assert_eq!(error.to_string(), expected);
    }
}

#[test]
fn a_ranker_of_grades_is_a_classifier_of_as_many_labels() {
    let folder = tempfile::tempdir().unwrap();
    let grades = bert(60).with_head(Head::Grades(5), 4).unwrap();
    let settings = settings(Kind::Encoder);
    folder::save_ranker(folder.path(), &grades, &word_piece(), &settings, "# Card\n").unwrap();
    let saved = load(folder.path()).unwrap();
    assert_eq!(saved.ranker.head(), Head::Grades(5));
    assert!(scores(&saved.ranker, &saved.tokenizer, &settings, 64).iter().all(|score| (0.0..=4.0).contains(score)));
    let config = folder.path().join("config.json");
    let text = std::fs::read_to_string(&config).unwrap();
    assert_eq!(text.matches("LABEL_4").count(), 2);
    // A training for one score takes the body alone.
    let base = Base::open(folder.path()).unwrap();
    assert_eq!(base.model(Head::Score, 9).unwrap().params().get("classifier.weight").unwrap().dims(), [1, 16]);

    std::fs::write(&config, text.replace("    \"3\": \"LABEL_3\",\n", "")).unwrap();
    let error = load(folder.path()).unwrap_err().to_string();
    assert!(
        error.contains("expected id2label of the 5 grades that its disranker.json says, found 4 labels"),
        "{error}"
    );
    std::fs::write(&config, text).unwrap();
    let path = folder.path().join("disranker.json");
    let saved = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, saved.replace("\"grades\": 5", "\"grades\": 1")).unwrap();
    let error = load(folder.path()).unwrap_err().to_string();
    assert!(error.contains("expected grades from 2 to 32, found 1"), "{error}");
    // Without the file, it is the classifier of another library.
    std::fs::remove_file(&path).unwrap();
    let error = load(folder.path()).unwrap_err().to_string();
    assert!(error.contains("expected id2label of one label, or of two"), "{error}");
}

#[test]
fn other_libraries_find_no_head_that_they_would_read_at_another_token() {
    let folder = tempfile::tempdir().unwrap();
    let means = llama(Head::Score).with_pooling(Pooling::Mean).unwrap();
    folder::save_ranker(folder.path(), &means, &byte_level(), &of_means(), "# Card\n").unwrap();
    let bytes = std::fs::read(folder.path().join("model.safetensors")).unwrap();
    let stored = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let mut names = stored.names();
    names.retain(|name| name.contains("score"));
    assert_eq!(names, ["mean_score.weight"]);
}

/// How a decoder scores that is read at the mean of its tokens.
fn of_means() -> Settings {
    let mut settings = settings(Kind::Decoder);
    settings.scoring.pooling = Pooling::Mean;
    settings
}

#[test]
fn a_model_is_not_saved_as_read_from_other_tokens() {
    let folder = tempfile::tempdir().unwrap();
    let save = |ranker: &Model, settings: &Settings| {
        folder::save_ranker(folder.path(), ranker, &byte_level(), settings, "# Card\n")
    };
    let error = save(&llama(Head::Score), &of_means()).unwrap_err().to_string();
    assert!(error.contains("a score read at Mean, where config.json says LastToken"), "{error}");
    let means = llama(Head::Score).with_pooling(Pooling::Mean).unwrap();
    assert!(save(&means, &settings(Kind::Decoder)).is_err());
}

#[test]
fn a_training_reads_the_score_as_the_ranker_it_starts_from() {
    let folder = tempfile::tempdir().unwrap();
    let means = llama(Head::Score).with_pooling(Pooling::Mean).unwrap();
    folder::save_ranker(folder.path(), &means, &byte_level(), &of_means(), "# Card\n").unwrap();
    let (_, scoring) = Base::open(folder.path()).unwrap().for_training(&InputChoice::default()).unwrap();
    assert_eq!(scoring.pooling, Pooling::Mean);
}

#[test]
fn the_token_budget_changes_no_order_and_no_score_beyond_rounding() {
    let (ranker, tokenizer, settings) = (bert(60), word_piece(), settings(Kind::Encoder));
    let all = scores(&ranker, &tokenizer, &settings, 10_000);
    assert_eq!(all.len(), 5);
    assert!(all.windows(2).all(|pair| pair[0] != pair[1]), "different texts must differ in score");
    for budget in [0, 1, 20, 33] {
        for (a, b) in all.iter().zip(scores(&ranker, &tokenizer, &settings, budget)) {
            assert!((a - b).abs() < 1e-5);
        }
    }
}

#[test]
fn a_language_model_becomes_a_ranker_of_the_same_body() {
    let folder = tempfile::tempdir().unwrap();
    let model = llama(Head::LanguageModel);
    folder::save_language_model(folder.path(), &model, &byte_level(), "# Card\n").unwrap();
    let base = Base::open(folder.path()).unwrap();
    let ranker = base.model(Head::Score, 9).unwrap();
    let name = "model.layers.1.mlp.up_proj.weight";
    let values =
        |params: &nn::weights::Params| params.get(name).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
    assert_eq!(values(ranker.params()), values(model.params()));
    assert_eq!(values(base.model(Head::LanguageModel, 9).unwrap().params()), values(model.params()));
    let error = load(folder.path()).unwrap_err().to_string();
    assert!(error.contains("config.json") && error.contains("LlamaForCausalLM without the token \"yes\""), "{error}");
}

#[test]
fn every_missing_file_is_named() {
    for (name, mentioned) in [
        ("config.json", "config.json"),
        ("model.safetensors", "model.safetensors"),
        ("tokenizer.json", "tokenizer.json"),
    ] {
        let folder = saved_student();
        std::fs::remove_file(folder.path().join(name)).unwrap();
        let error = load(folder.path()).unwrap_err().to_string();
        assert!(error.contains(mentioned), "{name}: {error}");
    }
}

#[test]
fn what_is_wrong_with_a_configuration_is_named_with_its_file() {
    let folder = saved_student();
    let path = folder.path().join("config.json");
    let text = std::fs::read_to_string(&path).unwrap();
    for (from, to, expected) in [
        (
            "\"hidden_size\": 16",
            "\"hidden_size\": \"wide\"",
            "hidden_size: invalid type: string \"wide\", expected usize",
        ),
        (
            "\"num_attention_heads\": 2",
            "\"num_attention_heads\": 3",
            "num_attention_heads = 3: expected a divisor of hidden_size = 16",
        ),
        (
            "\"model_type\": \"bert\"",
            "\"model_type\": \"t5\"",
            "model_type = \"t5\": expected \"llama\", \"mistral\", \"qwen2\", \"qwen3\", \"gemma\", \"gemma2\", \"gemma3_text\", \"bert\", \"roberta\", \"xlm-roberta\", \"distilbert\", \"electra\", \"modernbert\" or \"deberta-v2\"",
        ),
    ] {
        let changed = text.replace(from, to);
        assert_ne!(changed, text);
        std::fs::write(&path, changed).unwrap();
        let error = Base::open(folder.path()).unwrap_err().to_string();
        assert_eq!(error, format!("{}: {expected}", path.display()));
    }
    let missing = folder.path().join("nowhere");
    let error = Base::open(&missing).unwrap_err().to_string();
    assert_eq!(error, format!("{}: expected the folder of a Hugging Face model, found no folder", missing.display()));
}

/// A student without its weights, and with these files instead.
fn weightless(files: &[(&str, &[u8])]) -> TempDir {
    let folder = saved_student();
    std::fs::remove_file(folder.path().join("model.safetensors")).unwrap();
    for (name, bytes) in files {
        std::fs::write(folder.path().join(name), bytes).unwrap();
    }
    folder
}

#[test]
fn shards_hold_the_same_model() {
    let folder = saved_student();
    let whole = Base::open(folder.path()).unwrap().model(Head::Score, 9).unwrap();
    let mut map = serde_json::Map::new();
    for (part, name) in ["model-1.safetensors", "model-2.safetensors"].into_iter().enumerate() {
        let weights = whole.params().only(|weight| (weight.len() % 2 == 0) == (part == 0));
        weights.save(&folder.path().join(name)).unwrap();
        map.extend(weights.iter().map(|(weight, _)| (weight.to_owned(), name.into())));
    }
    std::fs::remove_file(folder.path().join("model.safetensors")).unwrap();
    let index = folder.path().join("model.safetensors.index.json");
    std::fs::write(&index, serde_json::json!({ "weight_map": map }).to_string()).unwrap();
    let sharded = load(folder.path()).unwrap().ranker;
    assert_eq!(sharded.params().to_bytes().unwrap(), whole.params().to_bytes().unwrap());

    std::fs::copy(folder.path().join("model-1.safetensors"), folder.path().join("model-2.safetensors")).unwrap();
    let error = load(folder.path()).unwrap_err().to_string();
    assert!(error.contains("model-2.safetensors: expected each weight once, found `"), "{error}");
}

#[test]
fn an_index_names_files_of_its_own_folder() {
    let refusal = |name: &str, elsewhere: &Path| {
        let index = serde_json::json!({ "weight_map": { "w": name } }).to_string();
        let folder = weightless(&[("model.safetensors.index.json", index.as_bytes()), ("model.bin", b"")]);
        #[cfg(unix)]
        std::os::unix::fs::symlink(elsewhere, folder.path().join("link.safetensors")).unwrap();
        let error = Base::open(folder.path()).unwrap_err().to_string();
        let start = format!(
            "{}: expected safetensors files in its own folder, found `{name}`, ",
            folder.path().join("model.safetensors.index.json").display()
        );
        error.strip_prefix(&start).unwrap_or_else(|| panic!("{error}")).to_owned()
    };
    let other = saved_student();
    let elsewhere = other.path().join("model.safetensors");
    assert_eq!(refusal("model-1.safetensors", &elsewhere), "which is missing");
    assert_eq!(refusal(&elsewhere.display().to_string(), &elsewhere), "which is outside of it");
    assert_eq!(refusal("../model.safetensors", &elsewhere), "which is outside of it");
    assert_eq!(refusal("model.bin", &elsewhere), "which is of another kind");
    #[cfg(unix)]
    assert_eq!(refusal("link.safetensors", &elsewhere), "a link out of it");
}

#[test]
#[cfg(unix)]
fn shards_in_the_cache_of_hugging_face_are_links() {
    let cache = tempfile::tempdir().unwrap();
    let (blobs, snapshot) = (cache.path().join("blobs"), cache.path().join("snapshots/abc"));
    std::fs::create_dir_all(&snapshot).unwrap();
    std::fs::rename(saved_student().keep(), &blobs).unwrap();
    for name in ["config.json", "tokenizer.json"] {
        std::fs::rename(blobs.join(name), snapshot.join(name)).unwrap();
    }
    std::fs::rename(blobs.join("model.safetensors"), blobs.join("0a1b")).unwrap();
    std::os::unix::fs::symlink("../../blobs/0a1b", snapshot.join("model-1.safetensors")).unwrap();
    let index = snapshot.join("model.safetensors.index.json");
    std::fs::write(index, r#"{"weight_map": {"classifier.bias": "model-1.safetensors"}}"#).unwrap();
    assert!(Base::open(&snapshot).unwrap().model(Head::Score, 1).is_ok());
}

#[test]
fn a_pickle_is_never_loaded() {
    let pickle = b"PK\x03\x04\x00\x00\x08\x08\x00\x00archive/data.pkl";
    let folder = weightless(&[("pytorch_model.bin", pickle)]);
    let error = Base::open(folder.path()).unwrap_err().to_string();
    let expected = format!(
        "{}: expected model.safetensors or model.safetensors.index.json, found pytorch_model.bin, a pickle file, which may \
         run any code and is never loaded: save the model as safetensors (transformers: save_pretrained)",
        folder.path().display()
    );
    assert_eq!(error, expected);
    let folder = weightless(&[("model.safetensors", pickle)]);
    let error = load(folder.path()).unwrap_err().to_string();
    assert!(error.contains("model.safetensors: expected a whole safetensors file, found a pickle file"), "{error}");
}

#[test]
fn a_base_whose_tokenizer_exceeds_its_embedding_is_refused() {
    let folder = saved_student();
    let (size, path) = (word_piece().vocabulary_size(), folder.path().join("config.json"));
    let config = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, config.replace("\"vocab_size\": 60", &format!("\"vocab_size\": {}", size - 1))).unwrap();
    let error = Base::open(folder.path()).unwrap_err().to_string();
    let expected = format!(
        "config.json: expected vocab_size of at least {size} for its tokenizer.json, found vocab_size {}",
        size - 1
    );
    assert!(error.ends_with(&expected), "{error}");
}

#[test]
fn another_tokenizer_is_refused() {
    let folder = saved_student();
    Tokenizer::train_word_piece(CORPUS[..2].iter(), 50).unwrap().save(folder.path()).unwrap();
    let error = load(folder.path()).unwrap_err().to_string();
    assert!(error.contains("expected the tokenizer.json it was trained with, sha256"), "{error}");
}

#[test]
fn a_vocabulary_larger_than_the_embedding_is_refused() {
    let tokenizer = word_piece();
    let rows = tokenizer.vocabulary_size() - 1;
    let folder = tempfile::tempdir().unwrap();
    let error = folder::save_ranker(folder.path(), &bert(rows), &tokenizer, &settings(Kind::Encoder), "");
    let error = error.unwrap_err().to_string();
    assert!(error.contains(&format!("{} ids", rows + 1)) && error.contains(&format!("{rows} rows")), "{error}");
}

#[test]
fn a_scoring_that_does_not_fit_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let refuse = |settings: &Settings| {
        folder::save_ranker(folder.path(), &bert(60), &word_piece(), settings, "").unwrap_err().to_string()
    };
    let error = refuse(&settings(Kind::Decoder));
    assert!(error.contains("a score read at LastToken, where config.json says FirstToken"), "{error}");
    let long = Settings { scoring: scoring(Kind::Encoder, 20, 18), standardisation: None };
    assert!(refuse(&long).contains("sequences take up to 41 tokens"), "{}", refuse(&long));
    let nothing = Settings { scoring: scoring(Kind::Encoder, 0, 18), standardisation: None };
    assert!(refuse(&nothing).contains("at least 1"));
}

#[test]
fn a_saved_decoder_never_pads_with_the_token_it_is_read_at() {
    let tokenizer = byte_level();
    let end = tokenizer.id("</s>").unwrap();
    let ranker = llama(Head::Score);
    for (padding, expected) in [(end, 0), (1, 0), (0, 0)] {
        let folder = tempfile::tempdir().unwrap();
        let tokenizer = tokenizer.with_pad_id(padding).unwrap();
        folder::save_ranker(folder.path(), &ranker, &tokenizer, &settings(Kind::Decoder), "").unwrap();
        let base = Base::open(folder.path()).unwrap();
        assert_eq!(
            (base.config["pad_token_id"].as_u64(), base.tokenizer.pad_id()),
            (Some(expected), Some(expected as u32))
        );
        assert!(load(folder.path()).is_ok());
    }
}

#[test]
fn identity_follows_every_file_that_decides_a_score() {
    let folder = saved_student();
    let before = folder::identity(folder.path()).unwrap();
    std::fs::write(folder.path().join("README.md"), "another card").unwrap();
    assert_eq!(folder::identity(folder.path()).unwrap(), before);
    for name in ["config.json", "model.safetensors", "tokenizer.json", "disranker.json"] {
        let folder = saved_student();
        let mut bytes = std::fs::read(folder.path().join(name)).unwrap();
        bytes.push(b' ');
        std::fs::write(folder.path().join(name), bytes).unwrap();
        assert_ne!(folder::identity(folder.path()).unwrap(), before, "{name}");
    }
}
