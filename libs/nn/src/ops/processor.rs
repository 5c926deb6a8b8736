//! What the processor has, as Linux says it.

use std::collections::HashSet;
use std::sync::OnceLock;

struct Processor {
    features: HashSet<String>,
    vendor: String,
}

/// The first processor's lines of `/proc/cpuinfo`; nothing where there is no such file.
fn this() -> &'static Processor {
    static PROCESSOR: OnceLock<Processor> = OnceLock::new();
    PROCESSOR.get_or_init(|| {
        let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let line = |name: &str| {
            let lines = text.lines().filter_map(|line| line.split_once(':'));
            lines
                .map(|(key, value)| (key.trim(), value.trim()))
                .find(|(key, _)| *key == name)
                .map_or("", |(_, value)| value)
        };
        let features = line("flags").split_whitespace().map(str::to_owned).collect();
        Processor { features, vendor: line("vendor_id").to_owned() }
    })
}

/// True if it has this feature.
pub(super) fn has(feature: &str) -> bool {
    this().features.contains(feature)
}

/// True if Intel made it.
pub(super) fn is_by_intel() -> bool {
    this().vendor == "GenuineIntel"
}
