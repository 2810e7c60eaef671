//! What the operating system tells the process, and what the process asks of it.

use std::io;
use std::sync::Arc;

use server::reload::Reloader;
use tracing::warn;

#[cfg(unix)]
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that the program understands.
pub(crate) struct Signals {
    #[cfg(unix)]
    terminate: Signal,
    #[cfg(unix)]
    interrupt: Signal,
    #[cfg(unix)]
    hang_up: Signal,
}

#[cfg(unix)]
impl Signals {
    /// Takes the signals over from the system's own handling.
    pub(crate) fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for SIGTERM or Ctrl-C; answers requests for a reload with a refusal.
    pub(crate) async fn stop(&mut self) -> &'static str {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return "terminated",
                _ = self.interrupt.recv() => return "interrupted",
                _ = self.hang_up.recv() => warn!("SIGHUP: the models cannot be reloaded at the moment"),
            }
        }
    }

    /// As [`stop`](Self::stop); SIGHUP reloads the models.
    pub(crate) async fn stop_or_reload(&mut self, reloader: &Arc<Reloader>) -> &'static str {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return "terminated",
                _ = self.interrupt.recv() => return "interrupted",
                _ = self.hang_up.recv() => {
                    let reloader = reloader.clone();
                    // It logs how it ended.
                    tokio::spawn(async move { _ = reloader.reload().await });
                }
            }
        }
    }
}

#[cfg(not(unix))]
impl Signals {
    /// There is only Ctrl-C.
    pub(crate) fn listen() -> io::Result<Self> {
        Ok(Self {})
    }

    /// Waits for Ctrl-C.
    pub(crate) async fn stop(&mut self) -> &'static str {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
        "interrupted"
    }

    /// As [`stop`](Self::stop): no signal asks for a reload.
    pub(crate) async fn stop_or_reload(&mut self, _reloader: &Arc<Reloader>) -> &'static str {
        self.stop().await
    }
}

/// Ends the process without running what libraries have registered for its end.
pub(crate) fn exit_now(code: i32) -> ! {
    signal_hook::low_level::exit(code)
}

/// Raises the number of open files to what the system allows: each connection is one.
pub(crate) fn allow_all_descriptors() {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let limit = getrlimit(Resource::Nofile);
        if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }) {
            warn!("the number of open files stays at {:?}: {error}", limit.current);
        }
    }
}
