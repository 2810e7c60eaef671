//! What an evaluation tells while it runs. A reader who goes away (`| head`) ends no evaluation: its report is a file.

use std::fmt::Display;
use std::io::{ErrorKind, Write};
use std::time::Duration;

use anyhow::{Context, Result};
use indicatif::{ProgressBar, ProgressStyle};

/// Prints a line.
pub(super) fn say(line: impl Display) -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    match writeln!(stdout, "{line}").and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written.context("cannot write to standard output"),
    }
}

/// A bar for `length` puzzles, if that is known.
pub(super) fn progress_bar(length: Option<u64>, message: String) -> Result<ProgressBar> {
    let template = match length {
        Some(_) => "{msg:26} {bar:40} {human_pos}/{human_len} {per_sec} ETA {eta}",
        None => "{msg:26} {spinner} {human_pos} {per_sec}",
    };
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = length.map_or_else(ProgressBar::new_spinner, ProgressBar::new).with_style(style).with_message(message);
    if bar.is_hidden() {
        // Whoever reads a log wants to know what takes its time.
        say(format_args!("running  {}", bar.message()))?;
    }
    bar.enable_steady_tick(Duration::from_millis(200));
    Ok(bar)
}

/// Shows a download's bytes.
pub(super) fn told(bar: &ProgressBar) -> impl FnMut(u64, Option<u64>) {
    |bytes, total| {
        bar.set_length(total.unwrap_or(bytes));
        bar.set_position(bytes);
    }
}
