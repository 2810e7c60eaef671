//! The commands of the program `datasets`, one file each.
//! Owns what they share, the progress bar; leaves parsing of the top level to `main`.

pub(crate) mod build;
pub(crate) mod generate;
pub(crate) mod score;
mod score_table;
pub(crate) mod show;

use indicatif::{ProgressBar, ProgressStyle};

/// Puzzles between two updates of a bar: a bar that is asked at every puzzle costs more than the puzzle.
const UPDATE_EVERY: u64 = 256;

/// A bar on standard error, hidden where that is not a terminal.
fn progress_bar(label: &str, total: Option<u64>, bytes: bool) -> ProgressBar {
    let unit = if bytes { "{bytes}/{total_bytes} {bytes_per_sec}" } else { "{human_pos}/{human_len} {per_sec}" };
    let template = match total {
        Some(_) => format!("{label:14} {{wide_bar}} {unit} {{eta}}"),
        None => format!("{label:14} {{spinner}} {}", if bytes { "{bytes} {bytes_per_sec}" } else { "{human_pos}" }),
    };
    let bar = total.map_or_else(ProgressBar::new_spinner, ProgressBar::new);
    bar.set_style(ProgressStyle::with_template(&template).expect("the template is a constant of this program"));
    bar
}
