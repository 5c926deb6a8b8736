//! Normalizer, pre-tokenizer, decoder and post-processor of the classes that are built anew.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tokenizers::{AddedToken, DecoderWrapper, NormalizerWrapper, PostProcessorWrapper, PreTokenizerWrapper, Tokenizer};

use super::class::Class;
use super::special::Special;
use super::{CONFIG, Refusal, TOKENIZER, flag, read};

/// How Qwen2 takes a text apart before its byte-level pieces.
const QWEN2_SPLIT: &str =
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// What SentencePiece writes for a space.
const SPACE: &str = "\u{2581}";

/// The tokenizer of a class over `model`, still without added tokens, and whether it differs from the one written.
pub(super) fn build(
    class: Class,
    config: &Map<String, Value>,
    model: Map<String, Value>,
    model_differs: bool,
    written: Option<&Map<String, Value>>,
) -> Result<(Tokenizer, bool), Refusal> {
    let part = |name: &str| written.and_then(|written| written.get(name)).unwrap_or(&Value::Null);
    let normalizer = normalizer(class, config, part("normalizer"))?;
    let pre_tokenizer = pre_tokenizer(class, config)?;
    let decoder = decoder(class, config)?;
    let differs = model_differs
        | (plain::<NormalizerWrapper>(part("normalizer"))? != plain::<NormalizerWrapper>(&normalizer)?)
        | (plain::<PreTokenizerWrapper>(part("pre_tokenizer"))? != plain::<PreTokenizerWrapper>(&pre_tokenizer)?)
        | (plain::<DecoderWrapper>(part("decoder"))? != plain::<DecoderWrapper>(&decoder)?);
    let tokenizer = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": normalizer,
        "pre_tokenizer": pre_tokenizer, "post_processor": part("post_processor"), "decoder": decoder, "model": model,
    });
    Ok((read(tokenizer.to_string().as_bytes())?, differs))
}

/// Adds the tokens of the folder, then the post-processor of the class. True if the result differs from what is written.
pub(super) fn finish(
    class: Class,
    config: &Map<String, Value>,
    special: &Special,
    written: Option<&Map<String, Value>>,
    tokenizer: &mut Tokenizer,
) -> Result<bool, Refusal> {
    let broken = |error: tokenizers::Error| Refusal::broken(TOKENIZER, error);
    let before = if class == Class::AsWritten { added_tokens(tokenizer) } else { written_tokens(written)? };
    let tokens = special.to_add(tokenizer);
    tokenizer.add_tokens(tokens).map_err(broken)?;
    if class == Class::Qwen2 {
        let tokens: Vec<AddedToken> = special.distinct().iter().map(|token| AddedToken::from(*token, true)).collect();
        tokenizer.add_tokens(tokens).map_err(broken)?;
    }
    let differs = before != added_tokens(tokenizer);
    let Some(post_processor) = post_processor(class, config, special, tokenizer, written.is_some())? else {
        return Ok(differs);
    };
    let found = written.and_then(|written| written.get("post_processor")).unwrap_or(&Value::Null);
    let is_none = found.is_null() && written.is_some() && class.model().is_none();
    let differs = differs
        | (!is_none && plain::<PostProcessorWrapper>(found)? != plain::<PostProcessorWrapper>(&post_processor)?);
    let processor: PostProcessorWrapper =
        serde_json::from_value(post_processor).map_err(|error| Refusal::broken(TOKENIZER, error))?;
    tokenizer.with_post_processor(Some(processor));
    Ok(differs)
}

/// A part as the tokenizers library would write it, so that two files which say the same are equal.
fn plain<T: Serialize + DeserializeOwned>(part: &Value) -> Result<Value, Refusal> {
    let broken = |error: serde_json::Error| Refusal::broken(TOKENIZER, error);
    serde_json::to_value(Option::<T>::deserialize(part).map_err(broken)?).map_err(broken)
}

fn added_tokens(tokenizer: &Tokenizer) -> Vec<(u32, AddedToken)> {
    let mut tokens: Vec<_> = tokenizer.get_added_tokens_decoder().into_iter().collect();
    tokens.sort_unstable_by_key(|(id, _)| *id);
    tokens
}

fn written_tokens(written: Option<&Map<String, Value>>) -> Result<Vec<(u32, AddedToken)>, Refusal> {
    let tokens = written.and_then(|written| written.get("added_tokens")?.as_array());
    let token = |token: &Value| {
        let parsed = AddedToken::deserialize(token).map_err(|error| Refusal::broken(TOKENIZER, error))?;
        let id = token["id"].as_u64().and_then(|id| u32::try_from(id).ok());
        Ok((id.unwrap_or(u32::MAX), parsed))
    };
    let mut tokens = tokens.into_iter().flatten().map(token).collect::<Result<Vec<_>, Refusal>>()?;
    tokens.sort_unstable_by_key(|(id, _)| *id);
    Ok(tokens)
}

fn normalizer(class: Class, config: &Map<String, Value>, written: &Value) -> Result<Value, Refusal> {
    Ok(match class {
        Class::Bert | Class::DistilBert | Class::MpNet => json!({
            "type": "BertNormalizer", "clean_text": true,
            "handle_chinese_chars": flag(config, "tokenize_chinese_chars")?.unwrap_or(true),
            "strip_accents": flag_or_null(config, "strip_accents")?,
            "lowercase": flag(config, "do_lower_case")?.unwrap_or(true),
        }),
        Class::Qwen2 => json!({ "type": "NFC" }),
        Class::Gemma => json!({ "type": "Replace", "pattern": { "String": " " }, "content": SPACE }),
        // All that is kept of the written normalizer is SentencePiece's table of characters.
        Class::XlmRoberta | Class::Camembert => {
            let nested = written["normalizers"].as_array().map(Vec::as_slice);
            let steps = nested.unwrap_or(std::slice::from_ref(written));
            steps.iter().find(|step| step["type"] == "Precompiled").cloned().unwrap_or_default()
        }
        Class::DebertaV2 => {
            let mut steps = Vec::new();
            if flag(config, "do_lower_case")?.unwrap_or(false) {
                steps.push(json!({ "type": "Lowercase" }));
            }
            steps.push(json!({ "type": "Replace", "pattern": { "Regex": r"\s{2,}|[\n\r\t]" }, "content": " " }));
            steps.push(json!({ "type": "NFC" }));
            steps.push(json!({ "type": "Strip", "strip_left": false, "strip_right": true }));
            json!({ "type": "Sequence", "normalizers": steps })
        }
        Class::AsWritten | Class::Roberta | Class::Deberta | Class::Gpt2 | Class::Llama => Value::Null,
    })
}

fn pre_tokenizer(class: Class, config: &Map<String, Value>) -> Result<Value, Refusal> {
    let by_bytes = |prefix: bool, use_regex: bool| json!({ "type": "ByteLevel", "add_prefix_space": prefix, "trim_offsets": true, "use_regex": use_regex });
    Ok(match class {
        Class::AsWritten => Value::Null,
        Class::Bert | Class::DistilBert | Class::MpNet => json!({ "type": "BertPreTokenizer" }),
        Class::Roberta | Class::Deberta | Class::Gpt2 => by_bytes(prefix_space(class, config)?, true),
        Class::Qwen2 => {
            let split = json!({
                "type": "Split", "pattern": { "Regex": QWEN2_SPLIT }, "behavior": "Isolated", "invert": false,
            });
            json!({ "type": "Sequence", "pretokenizers": [split, by_bytes(prefix_space(class, config)?, false)] })
        }
        Class::Gemma => json!({
            "type": "Split", "pattern": { "String": " " }, "behavior": "MergedWithPrevious", "invert": false,
        }),
        Class::Llama => metaspace(class, config)?,
        Class::XlmRoberta | Class::Camembert => {
            json!({ "type": "Sequence", "pretokenizers": [{ "type": "WhitespaceSplit" }, metaspace(class, config)?] })
        }
        Class::DebertaV2 => {
            let mut steps = Vec::new();
            if flag(config, "split_by_punct")?.unwrap_or(false) {
                steps.push(json!({ "type": "Punctuation", "behavior": "Isolated" }));
            }
            steps.push(metaspace(class, config)?);
            json!({ "type": "Sequence", "pretokenizers": steps })
        }
    })
}

fn decoder(class: Class, config: &Map<String, Value>) -> Result<Value, Refusal> {
    let space = json!({ "type": "Replace", "pattern": { "String": SPACE }, "content": " " });
    let mut steps = vec![space, json!({ "type": "ByteFallback" }), json!({ "type": "Fuse" })];
    Ok(match class {
        Class::AsWritten => Value::Null,
        Class::Bert | Class::DistilBert | Class::MpNet => {
            json!({ "type": "WordPiece", "prefix": "##", "cleanup": true })
        }
        Class::Roberta | Class::Deberta | Class::Gpt2 | Class::Qwen2 => {
            json!({ "type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true })
        }
        Class::Gemma => json!({ "type": "Sequence", "decoders": steps }),
        Class::Llama => {
            if prefix_space(class, config)? {
                steps.push(json!({ "type": "Strip", "content": " ", "start": 1, "stop": 0 }));
            }
            json!({ "type": "Sequence", "decoders": steps })
        }
        Class::XlmRoberta | Class::Camembert | Class::DebertaV2 => metaspace(class, config)?,
    })
}

/// How a space before the first word is supplied.
fn metaspace(class: Class, config: &Map<String, Value>) -> Result<Value, Refusal> {
    let is_llama = class == Class::Llama;
    let is_legacy = !is_llama || flag_or_null(config, "legacy")?.as_bool().unwrap_or(false);
    let scheme = match (prefix_space(class, config)?, class) {
        (true, _) if is_legacy => "always",
        (true, _) | (false, Class::DebertaV2) => "first",
        (false, _) => "never",
    };
    Ok(json!({ "type": "Metaspace", "replacement": SPACE, "prepend_scheme": scheme, "split": !is_llama }))
}

fn prefix_space(class: Class, config: &Map<String, Value>) -> Result<bool, Refusal> {
    let by_default = !matches!(class, Class::Roberta | Class::Deberta | Class::Gpt2 | Class::Qwen2);
    let stated = if matches!(class, Class::Llama | Class::Qwen2) {
        flag_or_null(config, "add_prefix_space")?.as_bool()
    } else {
        flag(config, "add_prefix_space")?
    };
    Ok(stated.unwrap_or(by_default))
}

fn flag_or_null(config: &Map<String, Value>, name: &str) -> Result<Value, Refusal> {
    if config.get(name).is_some_and(Value::is_null) { Ok(Value::Null) } else { Ok(json!(flag(config, name)?)) }
}

/// The post-processor of a class; `None` where the written one stays.
fn post_processor(
    class: Class,
    config: &Map<String, Value>,
    special: &Special,
    tokenizer: &Tokenizer,
    is_written: bool,
) -> Result<Option<Value>, Refusal> {
    let token = |role: &str| mark(special, tokenizer, role);
    Ok(Some(match class {
        Class::Bert | Class::DistilBert | Class::DebertaV2 => {
            template(&token("cls_token")?, &token("sep_token")?, false)
        }
        Class::Deberta => template(&token("cls_token")?, &token("sep_token")?, true),
        Class::XlmRoberta | Class::Camembert => template(&token("bos_token")?, &token("eos_token")?, true),
        Class::Roberta => json!({
            "type": "RobertaProcessing", "sep": token("sep_token")?, "cls": token("cls_token")?,
            "trim_offsets": flag(config, "trim_offsets")?.unwrap_or(true),
            "add_prefix_space": prefix_space(class, config)?,
        }),
        Class::MpNet => json!({
            "type": "RobertaProcessing", "sep": token("sep_token")?, "cls": token("cls_token")?,
            "trim_offsets": true, "add_prefix_space": false,
        }),
        Class::AsWritten | Class::Gpt2 | Class::Qwen2 | Class::Llama | Class::Gemma => {
            let stated = |name: &str| if is_written { Ok(None) } else { flag(config, name) };
            let (begin, end) = (stated("add_bos_token")?, stated("add_eos_token")?);
            if tokenizer.get_post_processor().is_some() && begin.is_none() && end.is_none() {
                return Ok(None);
            }
            let wanted = |is_wanted: Option<bool>, role: &str| {
                let is_wanted = is_wanted.unwrap_or(false) && special.role(role).is_some();
                is_wanted.then(|| token(role)).transpose()
            };
            plain_template(wanted(begin, "bos_token")?.as_ref(), wanted(end, "eos_token")?.as_ref())
        }
    }))
}

/// The special token of a role, with its id.
fn mark(special: &Special, tokenizer: &Tokenizer, role: &str) -> Result<(String, u32), Refusal> {
    let found = special.role(role).and_then(|token| Some((token.to_owned(), tokenizer.token_to_id(token)?)));
    found.ok_or_else(|| Refusal {
        file: CONFIG,
        expected: format!("a {role}, which the class puts around every text"),
        found: "none".to_owned(),
    })
}

fn piece(token: &str, kind: u32) -> Value {
    json!({ "SpecialToken": { "id": token, "type_id": kind } })
}

fn text(name: &str, kind: u32) -> Value {
    json!({ "Sequence": { "id": name, "type_id": kind } })
}

fn special_tokens<'a>(tokens: impl IntoIterator<Item = &'a (String, u32)>) -> Value {
    let entry = |(token, id): &(String, u32)| (token.clone(), json!({ "id": token, "ids": [id], "tokens": [token] }));
    Value::Object(tokens.into_iter().map(entry).collect())
}

/// `first A last B last` with token types, or `first A last last B last` without.
fn template(first: &(String, u32), last: &(String, u32), is_double: bool) -> Value {
    let kind = u32::from(!is_double);
    let single = vec![piece(&first.0, 0), text("A", 0), piece(&last.0, 0)];
    let mut pair = single.clone();
    pair.extend(is_double.then(|| piece(&last.0, 0)));
    pair.extend([text("B", kind), piece(&last.0, kind)]);
    json!({ "type": "TemplateProcessing", "single": single, "pair": pair, "special_tokens": special_tokens([first, last]) })
}

/// Each text between the tokens that begin and end texts, where they are wanted.
fn plain_template(begin: Option<&(String, u32)>, end: Option<&(String, u32)>) -> Value {
    let side = |name: &str, kind: u32| {
        let around = [
            begin.map(|(token, _)| piece(token, kind)),
            Some(text(name, kind)),
            end.map(|(token, _)| piece(token, kind)),
        ];
        around.into_iter().flatten().collect::<Vec<Value>>()
    };
    let pair = [side("A", 0), side("B", 1)].concat();
    let tokens = special_tokens(begin.into_iter().chain(end));
    json!({ "type": "TemplateProcessing", "single": side("A", 0), "pair": pair, "special_tokens": tokens })
}
