//! Texts to tokens: tokenizers, the input templates of rankers, and batches of sequences.

mod learning;
mod merges;
mod packed;
mod pair_tokenizer;
mod passages;
mod prompt;
mod resolve;
mod template;
mod tokenizer;
mod window;

pub use packed::Packed;
pub(crate) use pair_tokenizer::check_fit;
pub use pair_tokenizer::{PairTokenizer, Sequence};
pub use passages::{PairSequences, Passages};
pub(crate) use prompt::Prompt;
pub use template::{Kind, Pooling, Scoring, Template, Texts};
pub use tokenizer::{BEGIN, END, PAD, Tokenizer};
pub use window::Window;
