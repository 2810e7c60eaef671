//! Any text as a Sudoku, or as a line or the whole of a list: refused in a sentence, or read so that it is drawn and read again.

#![no_main]

use libfuzzer_sys::fuzz_target;

mod texts;

fuzz_target!(|bytes: &[u8]| texts::check_sudoku_text(bytes));
