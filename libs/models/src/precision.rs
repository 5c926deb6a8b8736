//! The precision that a user asks for, on this processor.

use std::sync::Once;

use nn::ops::Precision;
use pipeline::config;

/// The precision of a training's matrix products that a choice means on this processor.
#[must_use]
pub fn training_precision(chosen: config::Precision) -> Precision {
    match chosen {
        config::Precision::F32 => Precision::F32,
        config::Precision::Auto | config::Precision::Int8 => Precision::fastest(),
        config::Precision::Bf16 => {
            static WARNED: Once = Once::new();
            if Precision::fastest() != Precision::Bf16 {
                WARNED.call_once(|| {
                    tracing::warn!(
                        "precision bf16: this processor has no fast instructions for it; f32 would be faster"
                    );
                });
            }
            Precision::Bf16
        }
    }
}

/// The precision of the matrix products of a model that only scores, as a choice means it on this processor.
#[must_use]
pub fn scoring_precision(chosen: config::Precision) -> Precision {
    match chosen {
        config::Precision::Int8 => Precision::Int8,
        other => training_precision(other),
    }
}
