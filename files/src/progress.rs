//! The bars that programs draw on standard error while they fetch, write or compute; hidden where it is not a terminal.

use indicatif::{ProgressBar, ProgressStyle};

/// What a bar counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Puzzles, rows, steps.
    Items,
    /// Bytes.
    Bytes,
}

/// A bar to `total`; a spinner where the total is unknown.
pub fn progress_bar(label: &str, total: Option<u64>, unit: Unit) -> ProgressBar {
    let template = match (total, unit) {
        (Some(_), Unit::Items) => "{prefix} {bar:30} {human_pos}/{human_len} {per_sec} ETA {eta}",
        (Some(_), Unit::Bytes) => {
            "{prefix} {bar:30} {binary_bytes}/{binary_total_bytes} {binary_bytes_per_sec} ETA {eta}"
        }
        (None, Unit::Items) => "{prefix} {spinner} {human_pos} {per_sec}",
        (None, Unit::Bytes) => "{prefix} {spinner} {binary_bytes} {binary_bytes_per_sec}",
    };
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = total.map_or_else(ProgressBar::new_spinner, ProgressBar::new);
    bar.with_style(style).with_prefix(label.to_owned())
}

/// A bar for a download, and what to call with the bytes that are here and their total.
pub fn download_bar(label: &str) -> (ProgressBar, impl FnMut(u64, Option<u64>) + use<>) {
    let bar = progress_bar(label, Some(0), Unit::Bytes);
    let handle = bar.clone();
    (bar, move |here, total| {
        handle.set_length(total.unwrap_or(here));
        handle.set_position(here);
    })
}
