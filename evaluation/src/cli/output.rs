//! What an evaluation prints while it runs. A reader who goes away (`| head`) ends no evaluation: its report is a file.

use std::fmt::Display;
use std::io::{ErrorKind, Write};
use std::time::Duration;

use anyhow::{Context, Result};
use files::progress::{self, Unit};
use indicatif::ProgressBar;

/// Prints a line.
pub(super) fn say(line: impl Display) -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    match writeln!(stdout, "{line}").and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written.context("cannot write to standard output"),
    }
}

/// A bar for `length` puzzles, if that is known.
pub(super) fn progress_bar(length: Option<u64>, message: &str) -> Result<ProgressBar> {
    started(progress::progress_bar(message, length, Unit::Items))
}

/// A bar for a download of `what`, and what to call with the bytes that are here and their total.
pub(super) fn download_bar(what: &str) -> Result<(ProgressBar, impl FnMut(u64, Option<u64>) + use<>)> {
    let (bar, on_bytes) = progress::download_bar(&format!("fetching {what}"));
    Ok((started(bar)?, on_bytes))
}

fn started(bar: ProgressBar) -> Result<ProgressBar> {
    if bar.is_hidden() {
        // A log without bars still says what takes its time.
        say(format_args!("running  {}", bar.prefix()))?;
    }
    bar.enable_steady_tick(Duration::from_millis(200));
    Ok(bar)
}
