//! Any bytes as the picture of a maze, or as the pixels of one.

#![no_main]

use libfuzzer_sys::fuzz_target;

mod requests;

fuzz_target!(|bytes: &[u8]| requests::check_picture(bytes));
