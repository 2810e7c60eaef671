//! Any bytes as a file of `torch.save`: an error or tensors that lie inside the file, in bounded time and memory.

#![no_main]

use libfuzzer_sys::fuzz_target;

mod invariants;

fuzz_target!(|bytes: &[u8]| invariants::check(bytes));
