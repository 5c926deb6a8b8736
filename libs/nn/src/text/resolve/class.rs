//! Which class of the transformers library reads a folder.

use serde_json::{Map, Value};

use super::{CONFIG, MODEL_CONFIG, Refusal, TOKENIZER};

/// A tokenizer class of transformers 5. All but the first are built anew from their vocabulary and arguments: what
/// `tokenizer.json` says of normalizer and pre-tokenizer does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// `tokenizer.json` as it is written.
    AsWritten,
    Bert,
    DistilBert,
    MpNet,
    Roberta,
    Deberta,
    Gpt2,
    Qwen2,
    Llama,
    Gemma,
    XlmRoberta,
    Camembert,
    DebertaV2,
}

/// The classes and the names they go by, without the ending `Fast`; the first is the one that is written.
const NAMES: &[(Class, &[&str])] = &[
    (Class::AsWritten, &["PreTrainedTokenizerFast", "PreTrainedTokenizer", "TokenizersBackend"]),
    (
        Class::Bert,
        &["BertTokenizer", "ElectraTokenizer", "MobileBertTokenizer", "SqueezeBertTokenizer", "LayoutLMTokenizer"],
    ),
    (Class::DistilBert, &["DistilBertTokenizer"]),
    (Class::MpNet, &["MPNetTokenizer"]),
    (Class::Roberta, &["RobertaTokenizer", "LongformerTokenizer", "BartTokenizer"]),
    (Class::Deberta, &["DebertaTokenizer"]),
    (Class::Gpt2, &["GPT2Tokenizer"]),
    (Class::Qwen2, &["Qwen2Tokenizer"]),
    (Class::Llama, &["LlamaTokenizer"]),
    (Class::Gemma, &["GemmaTokenizer"]),
    (Class::XlmRoberta, &["XLMRobertaTokenizer"]),
    (Class::Camembert, &["CamembertTokenizer"]),
    (Class::DebertaV2, &["DebertaV2Tokenizer"]),
];

/// The class that transformers registers for a `model_type`.
const REGISTERED: &[(Class, &[&str])] = &[
    (
        Class::Bert,
        &["bert", "convbert", "distilbert", "electra", "ernie", "megatron-bert", "nezha", "nomic_bert", "squeezebert"],
    ),
    (Class::MpNet, &["mpnet"]),
    (Class::Roberta, &["data2vec-text", "ibert", "longformer", "roberta", "roberta-prelayernorm"]),
    (Class::Deberta, &["deberta"]),
    (Class::Gpt2, &["gpt2", "gpt_neo", "gptj", "opt", "phi", "starcoder2"]),
    (Class::Qwen2, &["qwen2", "qwen2_moe", "qwen3", "qwen3_moe"]),
    (Class::Gemma, &["gemma", "gemma2", "gemma3", "gemma3_text"]),
    (Class::XlmRoberta, &["gte", "xlm-roberta", "xmod"]),
    (Class::Camembert, &["camembert"]),
    (Class::DebertaV2, &["deberta-v2"]),
    (
        Class::AsWritten,
        &[
            "glm",
            "granite",
            "jamba",
            "minicpm3",
            "ministral",
            "mistral",
            "mixtral",
            "modernbert",
            "modernbert-decoder",
            "nemotron",
            "olmo2",
            "olmo3",
            "phi3",
            "phimoe",
            "stablelm",
            "xlm-roberta-xl",
        ],
    ),
];

/// Where transformers trusts its own class more than the folder's.
const DISTRUSTED: [&str; 1] = ["qwen2"];

impl Class {
    /// The class of a folder: the one that `tokenizer_config.json` or `config.json` names, unless the model's type has
    /// another that counts more.
    pub(super) fn of(
        config: &Map<String, Value>,
        model: &Map<String, Value>,
        tokenizer: Option<&str>,
    ) -> Result<Self, Refusal> {
        refuse_code(config)?;
        let model_type = model.get("model_type").and_then(Value::as_str).unwrap_or_default();
        let registered = REGISTERED.iter().find(|(_, types)| types.contains(&model_type)).map(|(class, _)| *class);
        let stated = |map: &Map<String, Value>| map.get("tokenizer_class").and_then(Value::as_str).map(str::to_owned);
        let Some(name) = stated(config).or_else(|| stated(model)) else {
            return Ok(registered.unwrap_or(Self::AsWritten));
        };
        let named = NAMES.iter().find(|(_, names)| names.contains(&without_fast(&name))).map(|(class, _)| *class);
        let by_bytes = || tokenizer.is_some_and(|json| json.contains("\"ByteLevel\""));
        match (registered, named) {
            (Some(Self::AsWritten), _) => Ok(Self::AsWritten),
            (_, Some(Self::Llama)) if by_bytes() && !DISTRUSTED.contains(&model_type) => Ok(Self::AsWritten),
            (Some(class), _) if DISTRUSTED.contains(&model_type) => Ok(class),
            (_, Some(class)) => Ok(class),
            (_, None) => Err(unknown(config, name)),
        }
    }

    /// The name that `tokenizer_config.json` has for the class.
    pub(super) fn name(self) -> &'static str {
        NAMES.iter().find(|(class, _)| *class == self).map_or("PreTrainedTokenizerFast", |(_, names)| names[0])
    }

    /// True if the class gives its model token types where the folder does not say.
    pub(super) fn gives_token_types(self) -> bool {
        matches!(self, Self::Bert | Self::Deberta | Self::DebertaV2)
    }

    /// True if batches of the class are padded in front.
    pub(super) fn pads_in_front(self) -> bool {
        matches!(self, Self::Llama | Self::Gemma)
    }

    /// The kind of model that the class has in `tokenizer.json`.
    pub(super) fn model(self) -> Option<&'static str> {
        match self {
            Self::AsWritten => None,
            Self::Bert | Self::DistilBert | Self::MpNet => Some("WordPiece"),
            Self::Roberta | Self::Deberta | Self::Gpt2 | Self::Qwen2 | Self::Llama | Self::Gemma => Some("BPE"),
            Self::XlmRoberta | Self::Camembert | Self::DebertaV2 => Some("Unigram"),
        }
    }

    /// The special tokens of a folder that does not name them.
    pub(super) fn default_token(self, role: &str) -> Option<&'static str> {
        let tokens: &[(&str, &str)] = match self {
            Self::AsWritten => &[],
            Self::Bert | Self::DistilBert => BERT_TOKENS,
            Self::MpNet => MPNET_TOKENS,
            Self::Roberta | Self::XlmRoberta | Self::Camembert => ROBERTA_TOKENS,
            Self::Deberta | Self::DebertaV2 => DEBERTA_TOKENS,
            Self::Gpt2 => &QWEN_TOKENS[1..],
            Self::Qwen2 => QWEN_TOKENS,
            Self::Llama => LLAMA_TOKENS,
            Self::Gemma => GEMMA_TOKENS,
        };
        let found = tokens.iter().find(|(name, _)| *name == role).map(|(_, token)| *token);
        // GPT-2 begins texts with the token that ends them; Qwen2 has no token for the beginning.
        found.or_else(|| (self == Self::Gpt2 && role == "bos_token").then_some("<|endoftext|>"))
    }
}

const BERT_TOKENS: &[(&str, &str)] = &[
    ("unk_token", "[UNK]"),
    ("sep_token", "[SEP]"),
    ("pad_token", "[PAD]"),
    ("cls_token", "[CLS]"),
    ("mask_token", "[MASK]"),
];
const MPNET_TOKENS: &[(&str, &str)] = &[
    ("bos_token", "<s>"),
    ("eos_token", "</s>"),
    ("unk_token", "[UNK]"),
    ("sep_token", "</s>"),
    ("pad_token", "<pad>"),
    ("cls_token", "<s>"),
    ("mask_token", "<mask>"),
];
const ROBERTA_TOKENS: &[(&str, &str)] = &[
    ("bos_token", "<s>"),
    ("eos_token", "</s>"),
    ("unk_token", "<unk>"),
    ("sep_token", "</s>"),
    ("pad_token", "<pad>"),
    ("cls_token", "<s>"),
    ("mask_token", "<mask>"),
];
const DEBERTA_TOKENS: &[(&str, &str)] = &[
    ("bos_token", "[CLS]"),
    ("eos_token", "[SEP]"),
    ("unk_token", "[UNK]"),
    ("sep_token", "[SEP]"),
    ("pad_token", "[PAD]"),
    ("cls_token", "[CLS]"),
    ("mask_token", "[MASK]"),
];
const QWEN_TOKENS: &[(&str, &str)] =
    &[("pad_token", "<|endoftext|>"), ("unk_token", "<|endoftext|>"), ("eos_token", "<|endoftext|>")];
const LLAMA_TOKENS: &[(&str, &str)] = &[("unk_token", "<unk>"), ("bos_token", "<s>"), ("eos_token", "</s>")];
const GEMMA_TOKENS: &[(&str, &str)] = &[
    ("unk_token", "<unk>"),
    ("bos_token", "<bos>"),
    ("eos_token", "<eos>"),
    ("pad_token", "<pad>"),
    ("mask_token", "<mask>"),
];

/// Class names of older releases end in `Fast`; only the one of `tokenizer.json` as written keeps it.
fn without_fast(name: &str) -> &str {
    if name == "PreTrainedTokenizerFast" { name } else { name.strip_suffix("Fast").unwrap_or(name) }
}

/// A tokenizer that is code of the folder's own is none that can be read.
fn refuse_code(config: &Map<String, Value>) -> Result<(), Refusal> {
    let code = config
        .get("auto_map")
        .map(|map| map.get("AutoTokenizer").unwrap_or(if map.is_array() { map } else { &Value::Null }));
    match code {
        None | Some(Value::Null) => Ok(()),
        Some(code) => Err(Refusal {
            file: CONFIG,
            expected: format!(
                "a tokenizer that is data (where {TOKENIZER} is the whole of it, delete auto_map and set tokenizer_class \
                 to \"PreTrainedTokenizerFast\")"
            ),
            found: format!("auto_map to code, AutoTokenizer {code}"),
        }),
    }
}

fn unknown(config: &Map<String, Value>, name: String) -> Refusal {
    let file = if config.contains_key("tokenizer_class") { CONFIG } else { MODEL_CONFIG };
    let known: Vec<&str> = NAMES.iter().map(|(_, names)| names[0]).collect();
    Refusal {
        file,
        expected: format!(
            "tokenizer_class one of {} (\"PreTrainedTokenizerFast\" where {TOKENIZER} is to be read as it is written)",
            known.join(", ")
        ),
        found: format!("\"{name}\""),
    }
}
