//! What a saved ranker's folder tells transformers and sentence-transformers, so that they read texts as it does.

use std::path::Path;

use serde_json::{Value, json};

use super::chat;
use super::layout::write_json;
use super::sentence_transformers::{LENGTH_FILE, MODULES_FILE, PROMPTS_FILE};
use crate::error::Result;
use crate::text::{Prompt, Scoring, Template, Tokenizer, Window};

/// The tokenizer with the longest sequence and the chat template of the scoring.
pub(super) fn tokenizer(tokenizer: &Tokenizer, scoring: &Scoring, max_tokens: usize) -> Result<Tokenizer> {
    let chat_template = match &scoring.template {
        Template::Pair { .. } => Value::Null,
        Template::Prompt { text, special_tokens } => {
            let added = if *special_tokens { tokenizer.added_tokens()? } else { Default::default() };
            let [before, after] = added.map(|ids| ids.iter().filter_map(|&id| tokenizer.token(id)).collect::<String>());
            json!(chat::of_prompt(&Prompt::parse(text)?, &before, &after))
        }
    };
    tokenizer.with_fields(&[("model_max_length", json!(max_tokens)), ("chat_template", chat_template)])
}

/// Writes the files of sentence-transformers where its defaults would read a pair in another way.
pub(super) fn modules(folder: &Path, scoring: &Scoring) -> Result<()> {
    let Template::Pair { query_prompt } = &scoring.template else { return Ok(()) };
    let only_second = matches!(scoring.window, Window::OnlySecond { .. });
    if query_prompt.is_empty() && !only_second {
        return Ok(());
    }
    let transformer = "sentence_transformers.base.modules.transformer.Transformer";
    let modules = json!([{"idx": 0, "name": "0", "path": "", "type": transformer}]);
    let text = json!({"method": "forward", "method_output_name": "logits"});
    let mut reading = json!({
        "transformer_task": "sequence-classification",
        "modality_config": {"text": text},
        "module_output_name": "scores",
    });
    if only_second {
        reading["processing_kwargs"] = json!({"text": {"truncation": "only_second"}});
    }
    let mut prompts = json!({"model_type": "CrossEncoder", "activation_fn": "torch.nn.modules.linear.Identity"});
    if !query_prompt.is_empty() {
        prompts["prompts"] = json!({"query": query_prompt});
        prompts["default_prompt_name"] = json!("query");
    }
    write_json(&folder.join(MODULES_FILE), &modules)?;
    write_json(&folder.join(LENGTH_FILE), &reading)?;
    write_json(&folder.join(PROMPTS_FILE), &prompts)
}
