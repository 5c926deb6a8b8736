//! Subword tokenizers, kept as the `tokenizer.json` of the Hugging Face libraries and read as transformers reads them.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Map, Value, json};
use tokenizers::{Encoding, PostProcessor, Token};

use super::resolve::{self, Files, Resolved};
use crate::error::{Error, Result};
use crate::files;

/// Vocabularies of SentencePiece, which only Python libraries turn into a tokenizer.
const SENTENCE_PIECE: [&str; 5] =
    ["sentencepiece.bpe.model", "spiece.model", "spm.model", "tokenizer.model", "sentencepiece.model"];

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
/// Special tokens written inside a text are read as these tokens, as transformers does, unless `split_special_tokens` of
/// `tokenizer_config.json` is true: texts that may hold them by chance or malice are to be cleaned before.
#[derive(Clone)]
pub struct Tokenizer {
    inner: Arc<tokenizers::Tokenizer>,
    files: Arc<Files>,
    /// The tokens of roles such as `pad_token`.
    roles: Arc<BTreeMap<String, String>>,
    token_types: bool,
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
    /// Reads the tokenizer of a model folder as `AutoTokenizer` of transformers 5 does, whatever its files say of each
    /// other; a vocabulary alone (`vocab.txt`, or `vocab.json` and `merges.txt`) too.
    ///
    /// # Errors
    /// A folder without a readable tokenizer; files that are read in a way that cannot be followed here.
    pub fn load(folder: &Path) -> Result<Self> {
        let mut texts = Files::new();
        for path in Self::files_of(folder) {
            let name = resolve::SOURCES.iter().find(|name| path.ends_with(name));
            texts.extend(name.copied().map(|name| files::read_text(&path).map(|text| (name, text))).transpose()?);
        }
        if !texts.contains_key(resolve::TOKENIZER) {
            refuse_sentence_piece(folder)?;
        }
        let resolved = resolve::resolve(&texts).map_err(|refusal| Error::Format {
            path: folder.join(refusal.file),
            expected: refusal.expected,
            found: refusal.found,
        })?;
        Ok(Self::of(resolved))
    }

    /// The files of a folder that decide its tokens, of those it has; `config.json` is one of them.
    pub(crate) fn files_of(folder: &Path) -> Vec<PathBuf> {
        resolve::SOURCES.iter().map(|name| folder.join(name)).filter(|path| path.exists()).collect()
    }

    /// Writes `tokenizer.json` and its companions into an existing folder: as they were, or, where they contradicted each
    /// other, so that every reader gets the tokens that this tokenizer gives.
    ///
    /// # Errors
    /// A folder that cannot be written.
    pub fn save(&self, folder: &Path) -> Result<()> {
        for (name, text) in &*self.files {
            files::write_atomically(&folder.join(name), text.as_bytes())?;
        }
        Ok(())
    }

    /// The SHA-256 of the `tokenizer.json` that is saved, in hexadecimal: what `sha256sum` prints for the file.
    pub fn identity(&self) -> String {
        files::sha256(&[self.files[resolve::TOKENIZER].as_bytes()])
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

    /// The id of the padding token, where the folder or its tokenizer class names one.
    pub fn pad_id(&self) -> Option<u32> {
        self.named_token("pad_token")
    }

    /// The smallest id of a special token other than this one.
    pub(super) fn special_id_besides(&self, id: Option<u32>) -> Option<u32> {
        let tokens = self.inner.get_added_tokens_decoder().into_iter();
        let special = tokens.filter(|(other, token)| token.special && Some(*other) != id);
        special.map(|(other, _)| other).min()
    }

    /// The id of the token that hides a word from a masked language model: the one that the folder or its tokenizer class
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

    /// The token of a role, such as `pad_token`.
    pub(crate) fn role_token(&self, role: &str) -> Option<&str> {
        self.roles.get(role).map(String::as_str).filter(|token| self.inner.token_to_id(token).is_some())
    }

    fn named_token(&self, role: &str) -> Option<u32> {
        self.inner.token_to_id(self.role_token(role)?)
    }

    /// The special tokens that the tokenizer adds before and after a text.
    ///
    /// # Errors
    /// A failure inside the post-processor.
    pub(crate) fn added_tokens(&self) -> Result<[Vec<u32>; 2]> {
        let probe = Encoding::from_tokens(vec![Token::new(0, String::new(), (0, 0))], 0);
        let whole = self.inner.post_process(probe, None, true).map_err(tokenizer_error)?;
        let text = whole.get_sequence_ids().iter().position(Option::is_some).unwrap_or_default();
        let ids = whole.get_ids();
        Ok([ids[..text].to_vec(), ids.get(text + 1..).unwrap_or_default().to_vec()])
    }

    /// The special tokens and token types that the post-processor gives a pair of texts. The types are 0 where
    /// the folder or its tokenizer class leaves them out.
    ///
    /// # Errors
    /// A post-processor that leaves a text out, repeats one, or puts the document first.
    pub(super) fn pair_frame(&self) -> Result<Frame> {
        let probe = |type_id| Encoding::from_tokens(vec![Token::new(0, String::new(), (0, 0))], type_id);
        let pair = self.inner.post_process(probe(0), Some(probe(1)), true).map_err(tokenizer_error)?;
        let sources = pair.get_sequence_ids();
        let place = |text| sources.iter().position(|source| *source == Some(text));
        let own = sources.iter().flatten().count();
        let (Some(query), Some(document), 2) = (place(0), place(1), own) else { return Err(mixed()) };
        if document < query {
            return Err(mixed());
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

    /// True if models are to read the token types of a pair: `model_input_names` of `tokenizer_config.json`, or else the
    /// default of the tokenizer class.
    fn gives_token_types(&self) -> bool {
        self.token_types
    }

    /// The longest sequence of its model in tokens, where `tokenizer_config.json` gives it.
    pub fn model_max_length(&self) -> Option<usize> {
        let length = Some(self.setting("model_max_length")).filter(|length| !length.is_null());
        usize::try_from(length.unwrap_or_else(|| self.setting("max_len")).as_u64()?).ok()
    }

    /// True if texts lose their first tokens where they are too long, rather than their last.
    pub(super) fn truncates_left(&self) -> bool {
        self.setting("truncation_side") == json!("left")
    }

    /// A field of `tokenizer_config.json`.
    fn setting(&self, name: &str) -> Value {
        let settings = self.files.get(resolve::CONFIG).and_then(|text| serde_json::from_str::<Value>(text).ok());
        settings.map(|mut settings| settings[name].take()).unwrap_or_default()
    }

    /// The same tokenizer with another padding token.
    ///
    /// # Errors
    /// An id outside the vocabulary; companions that are not JSON.
    pub fn with_pad_id(&self, id: u32) -> Result<Self> {
        let token = self.inner.id_to_token(id);
        let token = token.ok_or_else(|| Error::Tokenizer(format!("the vocabulary has no id {id} to pad with")))?;
        let mut changed = self.with_fields(&[("pad_token", json!(token))])?;
        if let Some(map) = Arc::make_mut(&mut changed.files).get_mut(resolve::SPECIAL_TOKENS) {
            *map = with_fields(resolve::SPECIAL_TOKENS, map, &[("pad_token", json!(token))])?;
        }
        Self::from_files(Files::clone(&changed.files))
    }

    /// The same tokenizer with other fields in `tokenizer_config.json`, of those that change no token; a field that is null is
    /// removed.
    ///
    /// # Errors
    /// A file that is not JSON.
    pub(crate) fn with_fields(&self, fields: &[(&str, Value)]) -> Result<Self> {
        let mut files = Files::clone(&self.files);
        let text = files.entry(resolve::CONFIG).or_insert_with(|| "{}".to_owned());
        *text = with_fields(resolve::CONFIG, text, fields)?;
        Ok(Self { files: Arc::new(files), ..self.clone() })
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

    /// A whole text, with what the tokenizer adds to one where `special_tokens`.
    ///
    /// # Errors
    /// As [`Self::encode`].
    pub(super) fn encode_whole(&self, text: &str, special_tokens: bool) -> Result<Encoding> {
        self.inner.encode(text, special_tokens).map_err(tokenizer_error)
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
    pub(super) fn files(&self) -> &Files {
        &self.files
    }

    #[cfg(test)]
    pub(super) fn inner(&self) -> &tokenizers::Tokenizer {
        &self.inner
    }

    /// The tokenizer of the files by their names.
    pub(super) fn from_files(files: Files) -> Result<Self> {
        let resolved = resolve::resolve(&files).map_err(|refusal| Error::Tokenizer(refusal.to_string()))?;
        Ok(Self::of(resolved))
    }

    fn of(Resolved { inner, files, roles, token_types }: Resolved) -> Self {
        Self { inner: Arc::new(inner), files: Arc::new(files), roles: Arc::new(roles), token_types }
    }
}

/// A folder whose vocabulary is SentencePiece's alone: nothing here reads it.
fn refuse_sentence_piece(folder: &Path) -> Result<()> {
    let Some(found) = SENTENCE_PIECE.iter().find(|name| folder.join(name).exists()) else { return Ok(()) };
    let convert = "python -c \"import sys, transformers as t; t.AutoTokenizer.from_pretrained(sys.argv[1]).save_pretrained(sys.argv[1])\"";
    Err(Error::Format {
        path: folder.join(resolve::TOKENIZER),
        expected: format!("a Hugging Face tokenizer (make it once: {convert} {})", folder.display()),
        found: format!("{found} alone"),
    })
}

/// The JSON object `text` of the file `name` with other fields; one that is null is removed.
fn with_fields(name: &str, text: &str, fields: &[(&str, Value)]) -> Result<String> {
    let settings = serde_json::from_str(text);
    let mut settings: Map<String, Value> = settings.map_err(|error| Error::Tokenizer(format!("{name}: {error}")))?;
    for (field, value) in fields {
        match value {
            Value::Null => drop(settings.remove(*field)),
            value => drop(settings.insert((*field).to_owned(), value.clone())),
        }
    }
    Ok(format!("{:#}\n", Value::Object(settings)))
}

pub(super) fn tokenizer_error(error: tokenizers::Error) -> Error {
    Error::Tokenizer(error.to_string())
}

fn mixed() -> Error {
    let what = "the post-processor of tokenizer.json does not put the query once and then the document once, which the \
                input template needs";
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
        let mut files = Files::clone(&tokenizer.files);
        files.remove("special_tokens_map.json");
        files.insert(
            resolve::CONFIG,
            r#"{"pad_token": {"__type": "AddedToken", "content": "</s>", "special": true}}"#.to_owned(),
        );
        assert_eq!(Tokenizer::from_files(files.clone()).unwrap().pad_id(), Some(2));
        files.remove(resolve::CONFIG);
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
            let mut files = Files::clone(&tokenizer.files);
            let mut json: Value = serde_json::from_str(&files[resolve::TOKENIZER]).unwrap();
            json["post_processor"] = post_processor;
            files.insert(resolve::TOKENIZER, json.to_string());
            files.insert(resolve::CONFIG, companion.to_owned());
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
        let types = r#"{"model_input_names": ["input_ids", "token_type_ids"]}"#;
        assert_eq!(with(bert.clone(), types).unwrap(), frame(&[sep], 1));
        assert_eq!(with(bert.clone(), r#"{"model_input_names": ["input_ids"]}"#).unwrap(), frame(&[sep], 0));
        assert_eq!(with(bert, "{}").unwrap(), frame(&[sep], 0));
        assert_eq!(with(roberta, "{}").unwrap(), frame(&[sep, sep], 0));
        let bare = |ids: &[u32]| Frame { before: added(&[], 0), after: added(&[], 0), ..frame(ids, 0) };
        assert_eq!(with(Value::Null, "{}").unwrap(), bare(&[]));
        let template = |pair: Value| json!({"type": "TemplateProcessing", "single": [{"Sequence": {"id": "A", "type_id": 0}}], "pair": pair, "special_tokens": {}});
        let text = |id: &str| json!({"Sequence": {"id": id, "type_id": 0}});
        for pair in [json!([text("B"), text("A")]), json!([text("A"), text("B"), text("A")])] {
            let error = with(template(pair), "{}").unwrap_err().to_string();
            assert!(error.contains("does not put the query once and then the document once"), "{error}");
        }
    }

    #[test]
    fn the_mask_is_the_one_the_companions_name() {
        let tokenizer = Tokenizer::train_word_piece(CORPUS.iter(), 100).unwrap();
        assert_eq!(tokenizer.mask_id().unwrap(), tokenizer.id("[MASK]").unwrap());
        let mut files = Files::clone(&tokenizer.files);
        files.retain(|name, _| *name == resolve::TOKENIZER);
        assert_eq!(Tokenizer::from_files(files.clone()).unwrap().mask_id().unwrap(), 4);
        files.insert(resolve::CONFIG, r#"{"mask_token": "[UNK]"}"#.to_owned());
        assert_eq!(Tokenizer::from_files(files).unwrap().mask_id().unwrap(), 1);
        let error = Tokenizer::train_byte_level_bpe(CORPUS.iter(), 270).unwrap().mask_id().unwrap_err().to_string();
        assert!(error.contains("[MASK]"), "{error}");
    }
}
