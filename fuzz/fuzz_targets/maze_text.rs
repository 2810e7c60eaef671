//! Any text as a maze: refused in a sentence, or read so that it is drawn and read again.

#![no_main]

use libfuzzer_sys::fuzz_target;

mod texts;

fuzz_target!(|bytes: &[u8]| texts::check_maze_text(bytes));
