//! Models as Hugging Face folders: config.json, weights, tokenizer.json, a card, and for rankers how they score.

mod adapter;
mod base;
mod identity;
mod layout;
mod ranker;
mod settings;

pub use base::Base;
pub use identity::identity;
pub(crate) use layout::{format_error, read_json};
pub use ranker::{SavedRanker, load_ranker, save_adapter, save_language_model, save_ranker};
pub use settings::{Settings, Standardisation};
