//! How SIGTERM and Ctrl-C end a run: a flag that the run looks at between supervision steps, and an end to waiting for it.
//! Owns the signals; leaves saving to the run, whose checkpoints are whole whenever the process ends.

use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

/// Exit status of a run that was asked to stop and can be resumed (as a shell reports SIGINT).
pub const INTERRUPTED: u8 = 130;

/// How long a supervision step may go on after the signal. Kubernetes and Slurm kill after 30 seconds.
const GRACE: Duration = Duration::from_secs(8);
const POLL: Duration = Duration::from_millis(100);

/// A flag that becomes true with the first SIGTERM or SIGINT; a second signal ends the process at once.
///
/// # Errors
/// When the system does not let the process listen.
pub fn on_signals() -> std::io::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGTERM, SIGINT] {
        flag::register_conditional_shutdown(signal, i32::from(INTERRUPTED), Arc::clone(&stop))?;
        flag::register(signal, Arc::clone(&stop))?;
    }
    Ok(stop)
}

/// Ends the process 8 seconds after `stop` has become true, naming `run` as what to resume.
pub fn end_after_grace(stop: &Arc<AtomicBool>, run: &Path) {
    let advice = format!("go on from the last checkpoint with: trainer pretrain resume={}", run.display());
    end_with_advice_after_grace(stop, advice);
}

/// The same with `advice` on how to go on.
pub fn end_with_advice_after_grace(stop: &Arc<AtomicBool>, advice: String) {
    let seen = Arc::clone(stop);
    thread::spawn(move || {
        while !seen.load(Ordering::Relaxed) {
            thread::sleep(POLL);
        }
        thread::sleep(GRACE);
        let message = format!("stopped amid a step that did not end within {} seconds; {advice}", GRACE.as_secs());
        // In a thread of its own: no one may be reading, and the end must come all the same.
        thread::spawn(move || _ = writeln!(std::io::stdout(), "{message}"));
        thread::sleep(POLL);
        // Without the exit handlers: other threads are still computing.
        signal_hook::low_level::exit(i32::from(INTERRUPTED));
    });
}

/// Sets `stop` when standard input ends: the process that holds its other end has let go of it, or is gone.
pub fn on_end_of_input(stop: &Arc<AtomicBool>) {
    let stop = Arc::clone(stop);
    thread::spawn(move || {
        // Nothing is ever written there; an error is an end, too.
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        stop.store(true, Ordering::Relaxed);
    });
}
