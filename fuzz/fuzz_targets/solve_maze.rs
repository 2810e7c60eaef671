//! Any bytes as the body of `POST /solve/maze`.

#![no_main]

use libfuzzer_sys::fuzz_target;

mod requests;
mod texts;

fuzz_target!(|bytes: &[u8]| requests::check_maze(bytes));
