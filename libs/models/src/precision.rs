//! The precision that a user asks for, on this processor.

use std::sync::Once;

use nn::ops::Precision;
use pipeline::config;

/// The precision of matrix products that a choice means on this processor.
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
