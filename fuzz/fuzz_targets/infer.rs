//! Any bytes as a request for inference, JSON and tensors.

#![no_main]

use libfuzzer_sys::fuzz_target;

mod requests;
mod texts;

fuzz_target!(|bytes: &[u8]| requests::check_inference(bytes));
