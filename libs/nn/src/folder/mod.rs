//! Models as Hugging Face folders: config.json, weights, tokenizer.json, a card, and for rankers how they score.

mod adapter;
mod base;
mod chat;
mod export;
mod identity;
mod input;
mod layout;
mod ranker;
mod sentence_transformers;
mod settings;

pub use adapter::{AdapterBase, adapter_base};
pub use base::Base;
pub use identity::{identity, identity_on};
pub use input::{InputChoice, Truncation};
pub(crate) use layout::format_error;
pub use ranker::{
    SavedRanker, load_ranker, load_ranker_on, load_scorer, ranker_scoring, save_adapter, save_language_model,
    save_ranker,
};
pub(crate) use sentence_transformers::{LENGTH_FILE, MODULES_FILE, PROMPTS_FILE, module_files, optional};
pub use settings::{Settings, Standardisation};
