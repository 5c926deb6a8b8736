//! The weights of a model: named tensors, from a seed or from files, trained whole or by updates of low rank.

mod adapted;
mod file;
mod kept;
mod lora;
mod mode;
mod params;
mod spec;
mod stored;
mod view;

pub(crate) use adapted::linear_layer;
pub(crate) use file::{PICKLE, WeightFile};
pub(crate) use lora::LORA_A;
pub use lora::LoraConfig;
pub use mode::Mode;
pub use params::Params;
pub use spec::{Init, ParamSpec};
pub(crate) use view::View;
