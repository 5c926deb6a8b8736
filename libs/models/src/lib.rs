//! The models of a pipeline: base models by folder or from the Hugging Face Hub, what the teacher and the students start
//! from, the run's own teacher, and the precision and the allocator that they are computed with.

mod allocator;
mod base;
mod precision;
mod start;

pub use allocator::keep_freed_memory;
pub use base::{base_folder, base_identity, base_inputs, open_base, teacher_inputs};
pub use precision::arithmetic;
pub use start::{Origin, Start};
