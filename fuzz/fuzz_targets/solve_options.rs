//! Any bytes as the options of a request.

#![no_main]

use libfuzzer_sys::fuzz_target;

mod requests;
mod texts;

fuzz_target!(|bytes: &[u8]| requests::check_options(bytes));
