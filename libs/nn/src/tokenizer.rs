//! Subword tokenizers: trained here, kept as the `tokenizer.json` of the Hugging Face libraries.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::path::Path;

use rayon::prelude::*;
use serde_json::{Map, Value, json};
use tokenizers::{
    Normalizer, OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer, normalizer::NormalizedString,
};

use crate::error::{Error, Result};
use crate::files;
use crate::merges::{Learner, Pieces};

pub(crate) const TOKENIZER_FILE: &str = "tokenizer.json";
/// Read by the Hugging Face libraries next to `tokenizer.json`; kept as they are when present.
pub(crate) const COMPANION_FILES: [&str; 2] = ["special_tokens_map.json", TOKENIZER_CONFIG_FILE];
const TOKENIZER_CONFIG_FILE: &str = "tokenizer_config.json";

/// Pairs of pieces seen less often than this are not merged while training.
const MIN_FREQUENCY: u64 = 2;
/// Texts counted together while training; bounds the memory, not the result.
const TEXTS_PER_CHUNK: usize = 8192;

/// The padding token of the byte-level vocabulary trained here.
pub const PAD: &str = "<pad>";
/// The beginning-of-text token of the byte-level vocabulary trained here.
pub const BEGIN: &str = "<s>";
/// The end-of-text token of the byte-level vocabulary trained here; the teacher's score is read from it.
pub const END: &str = "</s>";

/// A tokenizer together with the files it came from.
///
/// Special tokens written inside a text are encoded as plain text: no document can forge a separator.
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    files: BTreeMap<&'static str, String>,
}

impl fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokenizer")
            .field("identity", &self.identity())
            .field("vocabulary_size", &self.vocabulary_size())
            .finish()
    }
}

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
    /// does not matter.
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
            "tokenizer_class": "BertTokenizer", "do_lower_case": true,
            "pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]", "mask_token": "[MASK]",
        });
        Self::assemble(&word_piece_json(&special, &pieces), &config, &map)
    }

    /// Reads the tokenizer of a model folder.
    ///
    /// # Errors
    /// A folder without a readable `tokenizer.json`.
    pub fn load(folder: &Path) -> Result<Self> {
        let path = folder.join(TOKENIZER_FILE);
        let mut files = BTreeMap::from([(TOKENIZER_FILE, files::read_text(&path)?)]);
        for name in COMPANION_FILES {
            let companion = folder.join(name);
            if companion.exists() {
                files.insert(name, files::read_text(&companion)?);
            }
        }
        Self::from_files(files).map_err(|error| Error::Format {
            path,
            expected: "a Hugging Face tokenizer".to_owned(),
            found: error.to_string(),
        })
    }

    /// Writes `tokenizer.json` and its companions into an existing folder.
    ///
    /// # Errors
    /// A folder that cannot be written.
    pub fn save(&self, folder: &Path) -> Result<()> {
        for (name, text) in &self.files {
            files::write_atomically(&folder.join(name), text.as_bytes())?;
        }
        Ok(())
    }

    /// The SHA-256 of `tokenizer.json` in hexadecimal: what `sha256sum` prints for the file.
    pub fn identity(&self) -> String {
        files::sha256(&[self.files[TOKENIZER_FILE].as_bytes()])
    }

    /// One more than the largest id: the rows an embedding needs.
    pub fn vocabulary_size(&self) -> usize {
        let largest = self.inner.get_vocab(true).into_values().max();
        largest.map_or(0, |id| id as usize + 1)
    }

    /// The id of a piece or special token.
    ///
    /// # Errors
    /// A token that is not in the vocabulary.
    pub fn id(&self, token: &str) -> Result<u32> {
        self.inner.token_to_id(token).ok_or_else(|| {
            Error::Tokenizer(format!("the vocabulary has no token {token:?}, which the input template needs"))
        })
    }

    /// The piece or special token of an id.
    pub fn token(&self, id: u32) -> Option<String> {
        self.inner.id_to_token(id)
    }

    /// The id of the token that fills up a batch, where the companions of `tokenizer.json` name one.
    pub fn pad_id(&self) -> Option<u32> {
        let tokens = COMPANION_FILES.iter().rev().filter_map(|name| {
            let settings: Value = serde_json::from_str(self.files.get(name)?).ok()?;
            let token = &settings["pad_token"];
            token.as_str().or_else(|| token["content"].as_str()).map(str::to_owned)
        });
        tokens.filter_map(|token| self.inner.token_to_id(&token)).next()
    }

    /// The most tokens that the model behind it takes, where the companions of `tokenizer.json` say it.
    pub fn model_max_length(&self) -> Option<usize> {
        let settings: Value = serde_json::from_str(self.files.get(TOKENIZER_CONFIG_FILE)?).ok()?;
        usize::try_from(settings["model_max_length"].as_u64()?).ok()
    }

    /// The same tokenizer, filling up batches with another token.
    ///
    /// # Errors
    /// An id outside the vocabulary; companions that are not JSON.
    pub fn with_pad_id(&self, id: u32) -> Result<Self> {
        let token = self.inner.id_to_token(id);
        let token = token.ok_or_else(|| Error::Tokenizer(format!("the vocabulary has no id {id} to pad with")))?;
        let mut files = self.files.clone();
        files.entry(TOKENIZER_CONFIG_FILE).or_insert_with(|| "{}".to_owned());
        for name in COMPANION_FILES {
            if let Some(text) = files.get_mut(name) {
                let settings = serde_json::from_str(text);
                let mut settings: Map<String, Value> =
                    settings.map_err(|error| Error::Tokenizer(format!("{name}: {error}")))?;
                settings.insert("pad_token".to_owned(), json!(token));
                *text = format!("{:#}\n", Value::Object(settings));
            }
        }
        Ok(Self { inner: self.inner.clone(), files })
    }

    /// The ids of a text without special tokens, and where each begins in the text, in bytes.
    ///
    /// # Errors
    /// A failure inside the tokenizer, such as an unknown character where the vocabulary has no unknown token.
    pub fn encode(&self, text: &str) -> Result<(Vec<u32>, Vec<usize>)> {
        let encoding = self.inner.encode(text, false).map_err(tokenizer_error)?;
        let starts = encoding.get_offsets().iter().map(|&(start, _)| start).collect();
        Ok((encoding.get_ids().to_vec(), starts))
    }

    /// The text of ids, special tokens left out.
    ///
    /// # Errors
    /// A failure inside the tokenizer's decoder.
    pub fn decode(&self, ids: &[u32]) -> Result<String> {
        self.inner.decode(ids, true).map_err(tokenizer_error)
    }

    #[cfg(test)]
    pub(crate) fn inner(&self) -> &tokenizers::Tokenizer {
        &self.inner
    }

    fn assemble(tokenizer: &Value, config: &Value, map: &Value) -> Result<Self> {
        // Through the crate's own writer, so that the file is the one it would write again.
        let tokenizer = parse(tokenizer)?.to_string(true).map_err(tokenizer_error)?;
        Self::from_files(BTreeMap::from([
            (TOKENIZER_FILE, tokenizer),
            (COMPANION_FILES[0], format!("{map:#}\n")),
            (COMPANION_FILES[1], format!("{config:#}\n")),
        ]))
    }

    fn from_files(files: BTreeMap<&'static str, String>) -> Result<Self> {
        let mut inner = tokenizers::Tokenizer::from_bytes(&files[TOKENIZER_FILE]).map_err(tokenizer_error)?;
        inner.with_padding(None).with_truncation(None).map_err(tokenizer_error)?;
        inner.set_encode_special_tokens(true);
        Ok(Self { inner, files })
    }
}

fn tokenizer_error(error: tokenizers::Error) -> Error {
    Error::Tokenizer(error.to_string())
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
            "type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "strip_accents": null,
            "lowercase": true,
        },
        "pre_tokenizer": { "type": "BertPreTokenizer" },
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [piece("[CLS]", 0), text("A", 0), piece("[SEP]", 0)],
            "pair": [piece("[CLS]", 0), text("A", 0), piece("[SEP]", 0), text("B", 1), piece("[SEP]", 1)],
            "special_tokens": { "[CLS]": entry("[CLS]"), "[SEP]": entry("[SEP]") },
        },
        "decoder": { "type": "WordPiece", "prefix": "##", "cleanup": true },
        "model": {
            "type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100, "vocab": vocabulary(pieces),
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
            Tokenizer::train_byte_level_bpe(corpus.iter(), 600).unwrap().files,
            Tokenizer::train_word_piece(corpus.iter(), 400).unwrap().files,
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
    fn bytes_decode_to_the_text_whatever_it_is() {
        let tokenizer = Tokenizer::train_byte_level_bpe(corpus().iter(), 300).unwrap();
        for text in ["abc fed", "  naïve  \u{1F60E} 鞋\t\n", "", "\0"] {
            let (ids, starts) = tokenizer.encode(text).unwrap();
            assert_eq!(tokenizer.decode(&ids).unwrap(), text);
            assert!(starts.is_sorted());
        }
    }

    #[test]
    fn word_piece_lowers_case_and_marks_the_unknown() {
        let tokenizer = Tokenizer::train_word_piece(corpus().iter(), 400).unwrap();
        assert_eq!(tokenizer.encode("ABC").unwrap(), tokenizer.encode("abc").unwrap());
        assert_eq!(tokenizer.encode("鞋").unwrap().0, [tokenizer.id("[UNK]").unwrap()]);
    }

    #[test]
    fn a_saved_tokenizer_is_the_same_one() {
        let tokenizer = Tokenizer::train_word_piece(corpus().iter(), 100).unwrap();
        let folder = tempfile::tempdir().unwrap();
        tokenizer.save(folder.path()).unwrap();
        let loaded = Tokenizer::load(folder.path()).unwrap();
        assert_eq!(loaded.files, tokenizer.files);
        assert_eq!(loaded.identity(), tokenizer.identity());
        assert_eq!(loaded.encode("abc bca").unwrap(), tokenizer.encode("abc bca").unwrap());
    }

    #[test]
    fn the_padding_token_is_the_one_the_companions_name() {
        let tokenizer = Tokenizer::train_byte_level_bpe(corpus().iter(), 300).unwrap();
        assert_eq!(tokenizer.pad_id(), Some(0));
        let other = tokenizer.with_pad_id(1).unwrap();
        assert_eq!((other.pad_id(), other.identity()), (Some(1), tokenizer.identity()));
        let mut files = tokenizer.files.clone();
        files.remove("special_tokens_map.json");
        files.insert(TOKENIZER_CONFIG_FILE, r#"{"pad_token": {"content": "</s>"}}"#.to_owned());
        assert_eq!(Tokenizer::from_files(files.clone()).unwrap().pad_id(), Some(2));
        files.remove(TOKENIZER_CONFIG_FILE);
        let none = Tokenizer::from_files(files).unwrap();
        assert_eq!((none.pad_id(), none.with_pad_id(1).unwrap().pad_id()), (None, Some(1)));
        assert!(none.with_pad_id(300).is_err());
    }

    #[test]
    fn a_broken_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let missing = Tokenizer::load(folder.path()).unwrap_err().to_string();
        assert!(missing.contains("tokenizer.json"), "{missing}");
        std::fs::write(folder.path().join("tokenizer.json"), "{}").unwrap();
        let broken = Tokenizer::load(folder.path()).unwrap_err().to_string();
        assert!(broken.contains("tokenizer.json: expected a Hugging Face tokenizer, found"), "{broken}");
    }

    #[test]
    fn a_vocabulary_too_small_is_refused() {
        let error = Tokenizer::train_byte_level_bpe(corpus().iter(), 258).unwrap_err().to_string();
        assert!(error.contains("258") && error.contains("259"), "{error}");
    }
}
