//! One training phase of a stage: the task on lists, the loop with its log, progress and checkpoints, the model card.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod card;
mod list_task;
mod log;
mod objective;
mod phase;
mod reading;
mod validation;

pub use card::Card;
pub use list_task::{LabelledList, ListTask, check_lengths};
pub use log::TrainingLog;
pub use objective::Objective;
pub use phase::{Phase, check_resumed, passes, remove_checkpoints, train_phase};
pub use reading::reading;
pub use validation::Validator;
