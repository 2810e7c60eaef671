//! Any text as the training config beside published weights.

#![no_main]

use libfuzzer_sys::fuzz_target;
use models::import::ReferenceConfig;

fuzz_target!(|text: &str| {
    let _ = ReferenceConfig::parse("all_config.yaml", text);
});
