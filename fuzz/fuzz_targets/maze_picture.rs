//! Any bytes as the picture of a maze, or as the pixels of one.

#![no_main]

use libfuzzer_sys::fuzz_target;

mod requests;
mod texts;

fuzz_target!(|bytes: &[u8]| requests::check_picture(bytes));
