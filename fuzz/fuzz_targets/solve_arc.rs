//! Any bytes as the body of `POST /solve/arc`.

#![no_main]

use libfuzzer_sys::fuzz_target;

mod arc_requests;
mod requests;
mod texts;

fuzz_target!(|bytes: &[u8]| arc_requests::check_arc(bytes));
