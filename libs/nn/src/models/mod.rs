//! The architectures: what each computes, its config.json, and the models made of them.
//!
//! An architecture is a file that implements [`Backbone`], and its lines in this one: the module and its entry in the table of
//! architectures.

mod backbone;
mod bert;
mod deberta;
mod decoder;
mod distilbert;
mod electra;
mod encoder;
mod fields;
mod gemma;
mod layers;
mod llama;
mod model;
mod modernbert;
mod relative;
mod roberta;
mod sizes;
mod term_control;

use std::sync::Arc;

use serde_json::{Value, json};

use crate::Result;
use crate::text::Kind;
use fields::invalid;

pub use backbone::{Backbone, Head};
pub(crate) use backbone::{is_head, keeping};
pub use bert::Bert;
pub use deberta::{DebertaV2, PositionTerm, RelativeNorm};
pub use distilbert::DistilBert;
pub use electra::Electra;
pub use encoder::{Encoder, LayerNames, Projection};
pub use gemma::{Family as GemmaFamily, Gemma, LinearScaling};
pub use llama::{Family as LlamaFamily, LayerType, Llama};
pub use model::Model;
pub use modernbert::{ClassifierPooling, ModernBert};
pub use relative::Relative;
pub use roberta::{Family as RobertaFamily, Roberta};
pub use sizes::{Sizes, from_sizes};
pub use term_control::TermControl;

/// Reads and checks a config.json.
type Read = fn(&Value) -> Result<Arc<dyn Backbone>>;

/// Every `model_type` this crate computes.
const ARCHITECTURES: [(&str, Read); 14] = [
    ("llama", |config| Ok(Arc::new(Llama::from_json(config)?))),
    ("mistral", |config| Ok(Arc::new(Llama::from_json(config)?))),
    ("qwen2", |config| Ok(Arc::new(Llama::from_json(config)?))),
    ("qwen3", |config| Ok(Arc::new(Llama::from_json(config)?))),
    ("gemma", |config| Ok(Arc::new(Gemma::from_json(config)?))),
    ("gemma2", |config| Ok(Arc::new(Gemma::from_json(config)?))),
    ("gemma3_text", |config| Ok(Arc::new(Gemma::from_json(config)?))),
    ("bert", |config| Ok(Arc::new(Bert::from_json(config)?))),
    ("roberta", |config| Ok(Arc::new(Roberta::from_json(config)?))),
    ("xlm-roberta", |config| Ok(Arc::new(Roberta::from_json(config)?))),
    ("distilbert", |config| Ok(Arc::new(DistilBert::from_json(config)?))),
    ("electra", |config| Ok(Arc::new(Electra::from_json(config)?))),
    ("modernbert", |config| Ok(Arc::new(ModernBert::from_json(config)?))),
    ("deberta-v2", |config| Ok(Arc::new(DebertaV2::from_json(config)?))),
];

/// The `model_type` of every architecture, and whether it is an encoder or a decoder.
pub fn architectures() -> impl Iterator<Item = (&'static str, Kind)> {
    let kind = |(name, read): (&'static str, Read)| Some((name, read(&json!({"model_type": name})).ok()?.kind()));
    ARCHITECTURES.into_iter().filter_map(kind)
}

/// The architecture and sizes of a config.json.
///
/// # Errors
/// A `model_type` that is not supported; a field that would be computed wrongly, or does not fit the others.
pub fn read_config(config: &Value) -> Result<Arc<dyn Backbone>> {
    if let Some(code) = config.get("auto_map").filter(|code| !code.is_null()) {
        return Err(invalid("auto_map", code, "no custom code, which is never run: a model of transformers itself"));
    }
    let model_type = config.get("model_type").unwrap_or(&Value::Null);
    match ARCHITECTURES.iter().find(|(name, _)| model_type == name) {
        Some((_, read)) => read(config),
        None if config.get("text_config").is_some_and(Value::is_object) => Err(invalid(
            "model_type",
            model_type,
            "a model of text alone: save its text model by itself (transformers: \
             AutoModel.from_pretrained(FOLDER).language_model.save_pretrained(OTHER))",
        )),
        None => {
            let known = ARCHITECTURES.map(|(name, _)| format!("{name:?}"));
            Err(invalid("model_type", model_type, alternatives(&known)))
        }
    }
}

/// Refuses a language model head on an encoder.
fn check_head(backbone: &dyn Backbone, head: Head) -> Result<()> {
    if head != Head::LanguageModel || backbone.kind() == Kind::Decoder {
        return Ok(());
    }
    let found = backbone.config_json(Head::Score)?;
    let found = found["model_type"].as_str().unwrap_or_default();
    let decoders: Vec<&str> =
        architectures().filter(|(_, kind)| *kind == Kind::Decoder).map(|(name, _)| name).collect();
    let expected = format!("{}, for only a decoder is a language model", alternatives(&decoders));
    Err(invalid("model_type", found, expected))
}

/// `a, b or c`.
fn alternatives<S: AsRef<str>>(names: &[S]) -> String {
    let names: Vec<&str> = names.iter().map(AsRef::as_ref).collect();
    match names.split_last() {
        Some((last, [])) => (*last).to_owned(),
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_architecture_reads_its_defaults_and_writes_its_own_type() {
        for (name, _) in ARCHITECTURES {
            let backbone = read_config(&json!({"model_type": name})).unwrap();
            assert_eq!(backbone.config_json(Head::Score).unwrap()["model_type"], name);
        }
    }

    #[test]
    fn every_decoder_knows_its_padding_token() {
        for (name, _) in architectures().filter(|(_, kind)| *kind == Kind::Decoder) {
            let backbone = read_config(&json!({"model_type": name, "pad_token_id": 3})).unwrap();
            assert_eq!(backbone.pad_id(), Some(3), "{name}");
        }
    }

    #[test]
    fn other_architectures_are_refused_by_name() {
        let known = "\"llama\", \"mistral\", \"qwen2\", \"qwen3\", \"gemma\", \"gemma2\", \"gemma3_text\", \"bert\", \"roberta\", \
                     \"xlm-roberta\", \"distilbert\", \"electra\", \"modernbert\" or \"deberta-v2\"";
        let message = |config: Value| read_config(&config).unwrap_err().to_string();
        assert_eq!(message(json!({"model_type": "gpt2"})), format!("model_type = \"gpt2\": expected {known}"));
        assert_eq!(message(json!({})), format!("model_type = null: expected {known}"));
        let images = message(json!({"model_type": "gemma3", "text_config": {"model_type": "gemma3_text"}}));
        assert!(images.starts_with("model_type = \"gemma3\": expected a model of text alone: save its "), "{images}");
    }

    #[test]
    fn only_a_decoder_becomes_a_language_model() {
        let message = |name: &str| {
            let backbone = read_config(&json!({"model_type": name})).unwrap();
            check_head(backbone.as_ref(), Head::LanguageModel).map_err(|error| error.to_string())
        };
        let expected = "expected llama, mistral, qwen2, qwen3, gemma, gemma2 or gemma3_text, for only a decoder is a language model";
        assert_eq!(message("bert"), Err(format!("model_type = bert: {expected}")));
        assert_eq!(message("qwen2"), Ok(()));
    }
}
