//! Training: the loop, its optimizer, schedule and checkpoints, and data parallelism.

pub mod checkpoint;
mod data_parallel;
mod memory;
mod optimizer;
mod schedule;
mod trainer;

pub use data_parallel::{
    Gradients, Passes, output_gradients, parts_at_once, prediction_gradients, score_gradients, tokens_at_once,
};
pub use memory::step_bytes;
pub use optimizer::{AdamW, AdamWConfig, Moments, StepStats};
pub use schedule::{Decay, Schedule};
pub use trainer::{Checkpointing, StepLoss, StepReport, Task, TrainConfig, TrainSummary, spread, train};
