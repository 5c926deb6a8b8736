//! The precision a pipeline asks for.

use std::sync::Once;

use nn::precision::Precision;
use pipeline::Pipeline;
use pipeline::config;

/// The key of the configuration that decides it, for every stage that computes a model.
pub const PRECISION_KEY: &str = "run.precision";

/// The precision of a pipeline's products on this processor.
#[must_use]
pub fn precision(pipeline: &Pipeline) -> Precision {
    arithmetic(pipeline.run.precision)
}

/// What a user's choice means on this processor.
#[must_use]
pub fn arithmetic(chosen: config::Precision) -> Precision {
    match chosen {
        config::Precision::F32 => Precision::F32,
        config::Precision::Auto => Precision::fastest(),
        config::Precision::Bf16 => {
            static WARNED: Once = Once::new();
            if Precision::fastest() != Precision::Bf16 {
                WARNED.call_once(|| {
                    tracing::warn!("precision bf16: this processor lacks AVX-512 BF16; f32 would be faster");
                });
            }
            Precision::Bf16
        }
    }
}
