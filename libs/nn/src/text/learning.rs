//! Tokenizers trained here: byte-level BPE for decoders, WordPiece for encoders.

use std::collections::{BTreeMap, HashMap};

use rayon::prelude::*;
use serde_json::{Value, json};
use tokenizers::{
    Normalizer, OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer, normalizer::NormalizedString,
};

use super::merges::{Learner, Pieces};
use super::resolve::{self, Files};
use super::tokenizer::{BEGIN, END, PAD, Tokenizer, tokenizer_error};
use crate::error::{Error, Result};

/// Pairs of pieces seen less often than this are not merged while training.
const MIN_FREQUENCY: u64 = 2;
/// Characters of a word at most, as BERT has it; a sentence written without spaces, as in Thai, is cut into pieces of so many.
const WORD_CHARS: usize = 100;
/// Texts counted together while training; bounds the memory, not the result.
const TEXTS_PER_CHUNK: usize = 8192;

impl Tokenizer {
    /// Trains a byte-level BPE vocabulary (Radford et al. 2019, GPT-2) of at most `vocabulary_size` pieces: `<pad>`,
    /// `<s>`, `</s>`, the 256 bytes and the merges the texts support. The order of the texts does not matter.
    ///
    /// # Errors
    /// A size that does not hold the special tokens and the bytes.
    pub fn train_byte_level_bpe<T: AsRef<str> + Sync>(
        texts: impl Iterator<Item = T>,
        vocabulary_size: usize,
    ) -> Result<Self> {
        let special = [PAD, BEGIN, END];
        let mut alphabet: Vec<char> =
            tokenizers::pre_tokenizers::byte_level::ByteLevel::alphabet().into_iter().collect();
        alphabet.sort_unstable();
        check_vocabulary_size(vocabulary_size, special.len() + alphabet.len())?;
        let shell = byte_level_json(&special, &Pieces::default());
        let learner = Learner {
            special: &special,
            alphabet,
            continuing_prefix: "",
            vocabulary_size,
            min_frequency: MIN_FREQUENCY,
        };
        let pieces = learner.learn(&count_words(&parse(&shell)?, texts)?);
        let config = json!({
            "tokenizer_class": "PreTrainedTokenizerFast",
            "model_input_names": ["input_ids", "attention_mask"],
            "clean_up_tokenization_spaces": false,
            "pad_token": PAD, "bos_token": BEGIN, "eos_token": END,
        });
        let map = json!({ "pad_token": PAD, "bos_token": BEGIN, "eos_token": END });
        Self::assemble(&byte_level_json(&special, &pieces), &config, &map)
    }

    /// Trains an uncased WordPiece vocabulary (Devlin et al. 2019, BERT) of at most `vocabulary_size` pieces: `[PAD]`,
    /// `[UNK]`, `[CLS]`, `[SEP]`, `[MASK]`, the characters seen, and the merges the texts support. The order of the texts
    /// does not matter. Accents stay: the rule that removes them also removes vowels of Thai and voiced marks of kana, and
    /// takes Hangul syllables apart.
    ///
    /// # Errors
    /// A size that holds nothing but the special tokens.
    pub fn train_word_piece<T: AsRef<str> + Sync>(
        texts: impl Iterator<Item = T>,
        vocabulary_size: usize,
    ) -> Result<Self> {
        let special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];
        check_vocabulary_size(vocabulary_size, special.len() + 1)?;
        let shell = word_piece_json(&special, &Pieces::default());
        let learner = Learner {
            special: &special,
            alphabet: Vec::new(),
            continuing_prefix: "##",
            vocabulary_size,
            min_frequency: MIN_FREQUENCY,
        };
        let pieces = learner.learn(&count_words(&parse(&shell)?, texts)?);
        let map = json!({
            "pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]", "mask_token": "[MASK]",
        });
        let config = json!({
            // Read as it is: the class `BertTokenizer` would be made anew from the vocabulary alone.
            "tokenizer_class": "PreTrainedTokenizerFast",
            "model_input_names": ["input_ids", "token_type_ids", "attention_mask"],
            "clean_up_tokenization_spaces": false,
            "pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]", "mask_token": "[MASK]",
        });
        Self::assemble(&word_piece_json(&special, &pieces), &config, &map)
    }

    fn assemble(tokenizer: &Value, config: &Value, map: &Value) -> Result<Self> {
        // Through the crate's own writer, so that the file is the one it would write again.
        let tokenizer = parse(tokenizer)?.to_string(true).map_err(tokenizer_error)?;
        Self::from_files(Files::from([
            (resolve::TOKENIZER, tokenizer),
            (resolve::SPECIAL_TOKENS, format!("{map:#}\n")),
            (resolve::CONFIG, format!("{config:#}\n")),
        ]))
    }
}

fn parse(tokenizer: &Value) -> Result<tokenizers::Tokenizer> {
    tokenizers::Tokenizer::from_bytes(tokenizer.to_string()).map_err(tokenizer_error)
}

fn check_vocabulary_size(found: usize, least: usize) -> Result<()> {
    if found < least {
        return Err(Error::Tokenizer(format!(
            "a vocabulary of {found} pieces is too small: its special tokens and characters alone need {least}"
        )));
    }
    Ok(())
}

/// How often each word occurs after normalisation and pre-tokenization. Sums are of integers, so that neither the order
/// of the texts nor the number of threads shows.
fn count_words<T: AsRef<str> + Sync>(
    tokenizer: &tokenizers::Tokenizer,
    mut texts: impl Iterator<Item = T>,
) -> Result<BTreeMap<String, u64>> {
    let mut total: HashMap<String, u64> = HashMap::new();
    loop {
        let chunk: Vec<T> = texts.by_ref().take(TEXTS_PER_CHUNK).collect();
        if chunk.is_empty() {
            return Ok(total.into_iter().collect());
        }
        let counts = chunk
            .par_iter()
            .try_fold(HashMap::new, |counts, text| count_text(tokenizer, text.as_ref(), counts))
            .try_reduce(HashMap::new, |left, right| Ok(add_counts(left, right)))?;
        total = add_counts(total, counts);
    }
}

fn count_text(
    tokenizer: &tokenizers::Tokenizer,
    text: &str,
    mut counts: HashMap<String, u64>,
) -> Result<HashMap<String, u64>> {
    let mut normalized = NormalizedString::from(text);
    if let Some(normalizer) = tokenizer.get_normalizer() {
        normalizer.normalize(&mut normalized).map_err(tokenizer_error)?;
    }
    let mut words = PreTokenizedString::from(normalized);
    if let Some(pre_tokenizer) = tokenizer.get_pre_tokenizer() {
        pre_tokenizer.pre_tokenize(&mut words).map_err(tokenizer_error)?;
    }
    for (word, _, _) in words.get_splits(OffsetReferential::Original, OffsetType::Byte) {
        match counts.get_mut(word) {
            Some(count) => *count += 1,
            None => {
                counts.insert(word.to_owned(), 1);
            }
        }
    }
    Ok(counts)
}

fn add_counts(mut left: HashMap<String, u64>, mut right: HashMap<String, u64>) -> HashMap<String, u64> {
    if left.len() < right.len() {
        std::mem::swap(&mut left, &mut right);
    }
    for (word, count) in right {
        *left.entry(word).or_default() += count;
    }
    left
}

fn added_tokens(special: &[&str]) -> Value {
    let token = |(id, content): (usize, &&str)| {
        json!({
            "id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": false, "special": true,
        })
    };
    special.iter().enumerate().map(token).collect()
}

fn vocabulary(pieces: &Pieces) -> Value {
    let entries = pieces.vocabulary.iter().enumerate();
    Value::Object(entries.map(|(id, piece)| (piece.clone(), json!(id))).collect())
}

fn byte_level_json(special: &[&str], pieces: &Pieces) -> Value {
    let byte_level = json!({
        "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": true,
    });
    json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": if pieces.vocabulary.is_empty() { json!([]) } else { added_tokens(special) },
        "normalizer": null,
        "pre_tokenizer": byte_level,
        "post_processor": byte_level,
        "decoder": byte_level,
        "model": {
            "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
            "vocab": vocabulary(pieces), "merges": pieces.merges,
        },
    })
}

fn word_piece_json(special: &[&str], pieces: &Pieces) -> Value {
    let piece = |token: &str, type_id: u32| json!({ "SpecialToken": { "id": token, "type_id": type_id } });
    let text = |name: &str, type_id: u32| json!({ "Sequence": { "id": name, "type_id": type_id } });
    let id = |token: &str| special.iter().position(|s| *s == token);
    let entry = |token: &str| json!({ "id": token, "ids": [id(token)], "tokens": [token] });
    json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": if pieces.vocabulary.is_empty() { json!([]) } else { added_tokens(special) },
        "normalizer": {
            "type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "strip_accents": false,
            "lowercase": true,
        },
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [
                { "type": "BertPreTokenizer" },
                {
                    "type": "Split", "pattern": { "Regex": format!(".{{1,{WORD_CHARS}}}") }, "behavior": "Isolated",
                    "invert": false,
                },
            ],
        },
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [piece("[CLS]", 0), text("A", 0), piece("[SEP]", 0)],
            "pair": [piece("[CLS]", 0), text("A", 0), piece("[SEP]", 0), text("B", 1), piece("[SEP]", 1)],
            "special_tokens": { "[CLS]": entry("[CLS]"), "[SEP]": entry("[SEP]") },
        },
        "decoder": { "type": "WordPiece", "prefix": "##", "cleanup": true },
        "model": {
            "type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
            "max_input_chars_per_word": WORD_CHARS, "vocab": vocabulary(pieces),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ties in plenty: words of few characters, drawn from a fixed sequence.
    fn corpus() -> Vec<String> {
        let mut state = 1_u64;
        let mut next = |bound: u64| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 33) % bound
        };
        let mut word = || (0..=next(6)).map(|_| char::from(b'a' + next(6) as u8)).collect::<String>();
        (0..3000).map(|_| [word(), word(), word()].join(" ")).collect()
    }

    fn both(corpus: &[String]) -> [BTreeMap<&'static str, String>; 2] {
        [
            Tokenizer::train_byte_level_bpe(corpus.iter(), 600).unwrap().files().clone(),
            Tokenizer::train_word_piece(corpus.iter(), 400).unwrap().files().clone(),
        ]
    }

    #[test]
    fn training_repeats_itself_for_any_order_and_number_of_threads() {
        let corpus = corpus();
        let reversed: Vec<String> = corpus.iter().rev().cloned().collect();
        let expected = both(&corpus);
        assert_eq!(both(&reversed), expected);
        for threads in [1, 3] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            assert_eq!(pool.install(|| both(&corpus)), expected, "{threads} threads");
        }
    }

    #[test]
    fn vocabularies_reach_their_size_and_start_with_the_special_tokens() {
        let corpus = corpus();
        let bytes = Tokenizer::train_byte_level_bpe(corpus.iter(), 600).unwrap();
        assert_eq!(bytes.vocabulary_size(), 600);
        assert_eq!(["<pad>", "<s>", "</s>"].map(|token| bytes.id(token).unwrap()), [0, 1, 2]);
        let words = Tokenizer::train_word_piece(corpus.iter(), 400).unwrap();
        assert_eq!(words.vocabulary_size(), 400);
        let special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];
        assert_eq!(special.map(|token| words.id(token).unwrap()), [0, 1, 2, 3, 4]);
    }

    #[test]
    fn a_vocabulary_too_small_is_refused() {
        let error = Tokenizer::train_byte_level_bpe(corpus().iter(), 258).unwrap_err().to_string();
        assert!(error.contains("258") && error.contains("259"), "{error}");
    }

    #[test]
    fn word_piece_lowers_case_and_marks_the_unknown() {
        let tokenizer = Tokenizer::train_word_piece(corpus().iter(), 400).unwrap();
        assert_eq!(tokenizer.encode("ABC").unwrap(), tokenizer.encode("abc").unwrap());
        assert_eq!(tokenizer.encode("鞋").unwrap().0, [tokenizer.id("[UNK]").unwrap()]);
    }

    #[test]
    fn bytes_decode_to_the_text_whatever_it_is() {
        let tokenizer = Tokenizer::train_byte_level_bpe(corpus().iter(), 300).unwrap();
        for text in ["abc fed", "  naïve  \u{1F60E} 鞋\t\n", "", "\0"] {
            let (ids, starts) = tokenizer.encode(text).unwrap();
            assert_eq!(tokenizer.decode(&ids).unwrap(), text);
            assert!(starts.is_sorted());
        }
    }
}
