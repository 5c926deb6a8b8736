//! The models of a pipeline: base models by folder or from the Hugging Face Hub, what the teacher and the students start
//! from, the run's own teacher, and the precision and the allocator that they are computed with.

mod allocator;
mod base;
mod dense;
mod memory;
mod precision;
mod preflight;
mod start;

pub use allocator::keep_freed_memory;
pub use base::{base_folder, base_identity, base_inputs, hub_base, is_local, open_base, teacher_inputs};
pub use dense::{bi_encoder_inputs, open_bi_encoder};
pub use memory::{gibibytes, machine_bytes};
pub use precision::{scoring_precision, training_precision};
pub use preflight::{check_layers, check_models};
pub use start::{Origin, Start, low_rank, saved_teacher, saved_teacher_input};
