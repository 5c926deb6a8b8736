//! Subword tokenizers, kept as the `tokenizer.json` of the Hugging Face libraries.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Map, Value, json};
use tokenizers::{Encoding, PostProcessor, Token};

use crate::error::{Error, Result};
use crate::files;

pub(crate) const TOKENIZER_FILE: &str = "tokenizer.json";
/// The other files of a tokenizer that the Hugging Face libraries read; kept as they are where present.
pub(crate) const COMPANION_FILES: [&str; 2] = ["special_tokens_map.json", TOKENIZER_CONFIG_FILE];
const TOKENIZER_CONFIG_FILE: &str = "tokenizer_config.json";

/// What the token for text outside of the vocabulary is called where no companion of `tokenizer.json` names it.
const UNKNOWN: [&str; 2] = ["[UNK]", "<unk>"];
/// What mask tokens are called where no companion of `tokenizer.json` names one.
const MASKS: [&str; 2] = ["[MASK]", "<mask>"];

/// The padding token of the byte-level vocabulary trained here.
pub const PAD: &str = "<pad>";
/// The beginning-of-text token of the byte-level vocabulary trained here.
pub const BEGIN: &str = "<s>";
/// The end-of-text token of the byte-level vocabulary trained here; the teacher's score is read from it.
pub const END: &str = "</s>";

/// A tokenizer together with the files it came from. A copy shares them.
///
/// Special tokens written inside a text are encoded as plain text: no document can forge a separator.
#[derive(Clone)]
pub struct Tokenizer {
    inner: Arc<tokenizers::Tokenizer>,
    files: Arc<BTreeMap<&'static str, String>>,
}

/// Tokens that a post-processor adds at one place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Added {
    pub(super) ids: Vec<u32>,
    pub(super) type_ids: Vec<u32>,
}

/// What a post-processor makes of a pair of texts: `before query between document after`, and the types of the texts'
/// own tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) before: Added,
    pub(super) query_type: u32,
    pub(super) between: Added,
    pub(super) document_type: u32,
    pub(super) after: Added,
}

impl Frame {
    /// How many tokens the post-processor adds.
    pub(super) fn tokens(&self) -> usize {
        [&self.before, &self.between, &self.after].iter().map(|added| added.ids.len()).sum()
    }
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
        for (name, text) in &*self.files {
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

    /// The id of the padding token, where a companion of `tokenizer.json` names one.
    pub fn pad_id(&self) -> Option<u32> {
        self.named_token("pad_token")
    }

    /// The id of the token that hides a word from a masked language model: the one that a companion of `tokenizer.json`
    /// names, else `[MASK]` or `<mask>`.
    ///
    /// # Errors
    /// A tokenizer without such a token.
    pub fn mask_id(&self) -> Result<u32> {
        let customary = || MASKS.iter().find_map(|token| self.inner.token_to_id(token));
        self.named_token("mask_token").or_else(customary).ok_or_else(|| {
            Error::Tokenizer(format!("the vocabulary has no token {:?}, which masked-word training needs", MASKS[0]))
        })
    }

    /// The id of the token that stands for text outside of the vocabulary; `None` where any text is within it.
    pub fn unknown_id(&self) -> Option<u32> {
        let customary = || UNKNOWN.iter().find_map(|token| self.inner.token_to_id(token));
        self.named_token("unk_token").or_else(customary)
    }

    /// The id of the token that the companions of `tokenizer.json` give a role, such as `pad_token`.
    fn named_token(&self, role: &str) -> Option<u32> {
        let tokens = COMPANION_FILES.iter().rev().filter_map(|name| {
            let settings: Value = serde_json::from_str(self.files.get(name)?).ok()?;
            let token = &settings[role];
            token.as_str().or_else(|| token["content"].as_str()).map(str::to_owned)
        });
        tokens.filter_map(|token| self.inner.token_to_id(&token)).next()
    }

    /// The special tokens and token types that the post-processor gives a pair of texts. The types are 0 where
    /// `model_input_names` of `tokenizer_config.json` leaves them out.
    ///
    /// # Errors
    /// A post-processor that does not put tokens between the two texts.
    pub(super) fn pair_frame(&self) -> Result<Frame> {
        let probe = |type_id| Encoding::from_tokens(vec![Token::new(0, String::new(), (0, 0))], type_id);
        let pair = self.inner.post_process(probe(0), Some(probe(1)), true).map_err(tokenizer_error)?;
        let sources = pair.get_sequence_ids();
        let place = |text| sources.iter().position(|source| *source == Some(text));
        let (Some(query), Some(document)) = (place(0), place(1)) else { return Err(unseparated()) };
        if document <= query + 1 {
            return Err(unseparated());
        }
        let has_types = self.gives_token_types();
        let types: Vec<u32> = pair.get_type_ids().iter().map(|&kind| if has_types { kind } else { 0 }).collect();
        let added = |places: std::ops::Range<usize>| Added {
            ids: pair.get_ids()[places.clone()].to_vec(),
            type_ids: types[places].to_vec(),
        };
        Ok(Frame {
            before: added(0..query),
            query_type: types[query],
            between: added(query + 1..document),
            document_type: types[document],
            after: added(document + 1..types.len()),
        })
    }

    /// True if models are to read the token types of a pair.
    fn gives_token_types(&self) -> bool {
        let config = self.files.get(TOKENIZER_CONFIG_FILE).and_then(|text| serde_json::from_str::<Value>(text).ok());
        let names = config.as_ref().and_then(|config| config["model_input_names"].as_array());
        names.is_none_or(|names| names.iter().any(|name| name == "token_type_ids"))
    }

    /// The longest sequence of its model in tokens, where `tokenizer_config.json` gives it.
    pub fn model_max_length(&self) -> Option<usize> {
        let settings: Value = serde_json::from_str(self.files.get(TOKENIZER_CONFIG_FILE)?).ok()?;
        usize::try_from(settings["model_max_length"].as_u64()?).ok()
    }

    /// The same tokenizer with another padding token.
    ///
    /// # Errors
    /// An id outside the vocabulary; companions that are not JSON.
    pub fn with_pad_id(&self, id: u32) -> Result<Self> {
        let token = self.inner.id_to_token(id);
        let token = token.ok_or_else(|| Error::Tokenizer(format!("the vocabulary has no id {id} to pad with")))?;
        let mut files = BTreeMap::clone(&self.files);
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
        Ok(Self { inner: self.inner.clone(), files: Arc::new(files) })
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

    /// The ids of a text that stands alone, with the special tokens around it; cut to `max_tokens` of both.
    ///
    /// # Errors
    /// A failure inside the tokenizer.
    pub(crate) fn encode_alone(&self, text: &str, max_tokens: usize) -> Result<Vec<u32>> {
        let mut encoding = self.inner.encode(text, false).map_err(tokenizer_error)?;
        let added = self.inner.get_post_processor().map_or(0, |processor| processor.added_tokens(false));
        encoding.truncate(max_tokens.saturating_sub(added), 0, tokenizers::TruncationDirection::Right);
        let encoding = self.inner.post_process(encoding, None, true).map_err(tokenizer_error)?;
        Ok(encoding.get_ids().to_vec())
    }

    /// The text of ids, special tokens left out.
    ///
    /// # Errors
    /// A failure inside the tokenizer's decoder.
    pub fn decode(&self, ids: &[u32]) -> Result<String> {
        self.inner.decode(ids, true).map_err(tokenizer_error)
    }

    #[cfg(test)]
    pub(super) fn files(&self) -> &BTreeMap<&'static str, String> {
        &self.files
    }

    #[cfg(test)]
    pub(super) fn inner(&self) -> &tokenizers::Tokenizer {
        &self.inner
    }

    /// The tokenizer of the files by their names, `tokenizer.json` among them.
    pub(super) fn from_files(files: BTreeMap<&'static str, String>) -> Result<Self> {
        let mut inner = tokenizers::Tokenizer::from_bytes(&files[TOKENIZER_FILE]).map_err(tokenizer_error)?;
        inner.with_padding(None).with_truncation(None).map_err(tokenizer_error)?;
        inner.set_encode_special_tokens(true);
        Ok(Self { inner: Arc::new(inner), files: Arc::new(files) })
    }
}

pub(super) fn tokenizer_error(error: tokenizers::Error) -> Error {
    Error::Tokenizer(error.to_string())
}

fn unseparated() -> Error {
    let what =
        "tokenizer.json has no post-processor that separates the two texts of a pair, which the input template needs";
    Error::Tokenizer(what.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const CORPUS: [&str; 4] = ["abc bca cab", "abc abc fed", "def fed cab", "bca bca abc def"];

    #[test]
    fn a_saved_tokenizer_is_the_same_one() {
        let tokenizer = Tokenizer::train_word_piece(CORPUS.iter(), 100).unwrap();
        let folder = tempfile::tempdir().unwrap();
        tokenizer.save(folder.path()).unwrap();
        let loaded = Tokenizer::load(folder.path()).unwrap();
        assert_eq!(loaded.files, tokenizer.files);
        assert_eq!(loaded.identity(), tokenizer.identity());
        assert_eq!(loaded.encode("abc bca").unwrap(), tokenizer.encode("abc bca").unwrap());
    }

    #[test]
    fn the_padding_token_is_the_one_the_companions_name() {
        let tokenizer = Tokenizer::train_byte_level_bpe(CORPUS.iter(), 300).unwrap();
        assert_eq!(tokenizer.pad_id(), Some(0));
        let other = tokenizer.with_pad_id(1).unwrap();
        assert_eq!((other.pad_id(), other.identity()), (Some(1), tokenizer.identity()));
        let mut files = BTreeMap::clone(&tokenizer.files);
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
    fn the_frame_of_a_pair_is_the_post_processors() {
        let tokenizer = Tokenizer::train_word_piece(CORPUS.iter(), 100).unwrap();
        let with = |post_processor: Value, companion: &str| {
            let mut files = BTreeMap::clone(&tokenizer.files);
            let mut json: Value = serde_json::from_str(&files[TOKENIZER_FILE]).unwrap();
            json["post_processor"] = post_processor;
            files.insert(TOKENIZER_FILE, json.to_string());
            files.insert(TOKENIZER_CONFIG_FILE, companion.to_owned());
            Tokenizer::from_files(files).unwrap().pair_frame()
        };
        let added = |ids: &[u32], kind| Added { ids: ids.to_vec(), type_ids: vec![kind; ids.len()] };
        let (cls, sep) = (2, 3);
        let bert = json!({"type": "BertProcessing", "sep": ["[SEP]", sep], "cls": ["[CLS]", cls]});
        let roberta = json!({
            "type": "RobertaProcessing", "sep": ["[SEP]", sep], "cls": ["[CLS]", cls],
            "trim_offsets": true, "add_prefix_space": false,
        });
        let frame = |between: &[u32], kind| Frame {
            before: added(&[cls], 0),
            query_type: 0,
            between: added(between, 0),
            document_type: kind,
            after: added(&[sep], kind),
        };
        assert_eq!(with(bert.clone(), "{}").unwrap(), frame(&[sep], 1));
        assert_eq!(with(bert, r#"{"model_input_names": ["input_ids"]}"#).unwrap(), frame(&[sep], 0));
        assert_eq!(with(roberta, "{}").unwrap(), frame(&[sep, sep], 0));
        let error = with(Value::Null, "{}").unwrap_err().to_string();
        assert!(error.contains("no post-processor that separates the two texts"), "{error}");
    }

    #[test]
    fn the_mask_is_the_one_the_companions_name() {
        let tokenizer = Tokenizer::train_word_piece(CORPUS.iter(), 100).unwrap();
        assert_eq!(tokenizer.mask_id().unwrap(), tokenizer.id("[MASK]").unwrap());
        let mut files = BTreeMap::clone(&tokenizer.files);
        files.retain(|name, _| *name == TOKENIZER_FILE);
        assert_eq!(Tokenizer::from_files(files.clone()).unwrap().mask_id().unwrap(), 4);
        files.insert(TOKENIZER_CONFIG_FILE, r#"{"mask_token": {"content": "[UNK]"}}"#.to_owned());
        assert_eq!(Tokenizer::from_files(files).unwrap().mask_id().unwrap(), 1);
        let error = Tokenizer::train_byte_level_bpe(CORPUS.iter(), 270).unwrap().mask_id().unwrap_err().to_string();
        assert!(error.contains("[MASK]"), "{error}");
    }
}
