//! Any text as a maze: refused in a sentence, or read so that it is drawn and read again.

#![no_main]

use libfuzzer_sys::fuzz_target;

mod requests;

fuzz_target!(|bytes: &[u8]| requests::check_maze_text(bytes));
