//! What happens on one connection, seen from its socket and its requests, and how long each state may last.
//! Owns the reasons to close a connection; leaves closing to `connection`.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::ConnectionLimits;

/// How long a connection without a request stays open once the server drains: a request may be on its way.
const LINGER: std::time::Duration = std::time::Duration::from_millis(250);

/// What a connection does now. Its socket, its requests and its task share it.
#[derive(Debug, Clone)]
pub(super) struct Activity(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    requests_in_flight: usize,
    has_served: bool,
    is_http2: bool,
    /// Since when no request is in flight.
    quiet_since: Instant,
    /// When the first byte of a head came that is not complete.
    head_since: Option<Instant>,
    /// Since when the client takes no bytes.
    stalled_since: Option<Instant>,
    closing_since: Option<Instant>,
    /// Since when the protocol has been asked to close.
    asked_since: Option<Instant>,
}

/// What to do with a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing: its requests have bounds of their own.
    Wait,
    /// Nothing, unless it is in the same state at this time.
    WaitUntil(Instant),
    /// Finish what is in flight and close.
    Close,
    /// Close at once.
    Abort,
}

/// A request in flight on a connection, until its response's last byte is taken.
#[derive(Debug)]
pub(super) struct InFlight(Activity);

impl Activity {
    pub(super) fn new(now: Instant) -> Self {
        Self(Arc::new(Mutex::new(State {
            requests_in_flight: 0,
            has_served: false,
            is_http2: false,
            quiet_since: now,
            head_since: None,
            stalled_since: None,
            closing_since: None,
            asked_since: None,
        })))
    }

    /// Takes note of a request until its guard is dropped.
    pub(super) fn take_request(&self, is_http2: bool) -> InFlight {
        self.begin_request(is_http2);
        InFlight(self.clone())
    }

    pub(super) fn begin_closing(&self, now: Instant) {
        self.lock().closing_since.get_or_insert(now);
    }

    /// Takes note that [`Verdict::Close`] has been carried out.
    pub(super) fn asked_to_close(&self, now: Instant) {
        self.lock().asked_since.get_or_insert(now);
    }

    /// Judges the connection's state at `now`.
    pub(super) fn judge(&self, limits: &ConnectionLimits, now: Instant) -> Verdict {
        let state = self.lock();
        if let Some(stalled_since) = state.stalled_since {
            return until(stalled_since + limits.write_timeout, now, Verdict::Abort);
        }
        if state.requests_in_flight > 0 {
            // HTTP/2 can say that no further request is welcome while others run; HTTP/1 says it in each response.
            let must_be_asked = state.is_http2 && state.closing_since.is_some() && state.asked_since.is_none();
            return if must_be_asked { Verdict::Close } else { Verdict::Wait };
        }
        if let Some(head_since) = state.head_since {
            return until(head_since + limits.header_timeout, now, Verdict::Abort);
        }
        if let Some(asked_since) = state.asked_since {
            return until(asked_since + limits.header_timeout, now, Verdict::Abort);
        }
        if let Some(closing_since) = state.closing_since {
            return until(closing_since.max(state.quiet_since) + LINGER, now, Verdict::Close);
        }
        if state.has_served {
            return until(state.quiet_since + limits.idle_timeout, now, Verdict::Close);
        }
        until(state.quiet_since + limits.header_timeout, now, Verdict::Abort)
    }

    fn begin_request(&self, is_http2: bool) {
        let mut state = self.lock();
        state.requests_in_flight += 1;
        state.has_served = true;
        state.is_http2 = is_http2;
        state.head_since = None;
    }

    fn end_request(&self, now: Instant) {
        let mut state = self.lock();
        state.requests_in_flight -= 1;
        state.quiet_since = now;
    }

    fn bytes_came(&self, now: Instant) {
        let mut state = self.lock();
        // HTTP/2 has frames that belong to no request; there the idle time bounds what a silent client can hold.
        if state.requests_in_flight == 0 && !state.is_http2 {
            state.head_since.get_or_insert(now);
        }
    }

    fn written(&self, is_pending: bool, now: Instant) {
        let mut state = self.lock();
        if is_pending {
            state.stalled_since.get_or_insert(now);
        } else {
            state.stalled_since = None;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change is a few plain assignments.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.end_request(Instant::now());
    }
}

fn until(deadline: Instant, now: Instant, then: Verdict) -> Verdict {
    if now < deadline { Verdict::WaitUntil(deadline) } else { then }
}

/// A socket that tells what passes through it.
#[derive(Debug)]
pub(super) struct WatchedStream {
    stream: TcpStream,
    activity: Activity,
}

impl WatchedStream {
    pub(super) fn new(stream: TcpStream, activity: Activity) -> Self {
        Self { stream, activity }
    }

    fn note<T>(&self, written: Poll<T>) -> Poll<T> {
        self.activity.written(written.is_pending(), Instant::now());
        written
    }
}

impl AsyncRead for WatchedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if buffer.filled().len() > before {
            self.activity.bytes_came(Instant::now());
        }
        read
    }
}

impl AsyncWrite for WatchedStream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.note(written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.note(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const LIMITS: ConnectionLimits = ConnectionLimits {
        max_connections: 1,
        header_timeout: Duration::from_secs(10),
        idle_timeout: Duration::from_secs(75),
        write_timeout: Duration::from_secs(30),
    };

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    #[test]
    fn every_state_has_its_own_bound() {
        let opened = Instant::now();
        let activity = Activity::new(opened);
        let judge = |at: u64| activity.judge(&LIMITS, opened + seconds(at));
        // Nothing was ever sent.
        assert_eq!(judge(3), Verdict::WaitUntil(opened + seconds(10)));
        assert_eq!(judge(10), Verdict::Abort);
        // A head drips in: its bound runs from its first byte, however often more comes.
        activity.bytes_came(opened + seconds(5));
        activity.bytes_came(opened + seconds(7));
        assert_eq!(judge(14), Verdict::WaitUntil(opened + seconds(15)));
        assert_eq!(judge(15), Verdict::Abort);
        // A request in flight takes as long as its own limits let it.
        activity.begin_request(false);
        activity.bytes_came(opened + seconds(7));
        assert_eq!(judge(500), Verdict::Wait);
        // A client that takes no bytes does not.
        activity.written(true, opened + seconds(7));
        activity.written(true, opened + seconds(9));
        assert_eq!(judge(36), Verdict::WaitUntil(opened + seconds(37)));
        assert_eq!(judge(37), Verdict::Abort);
        activity.written(false, opened + seconds(10));
        activity.end_request(opened + seconds(10));
        // Kept alive, from the end of the last response.
        assert_eq!(judge(84), Verdict::WaitUntil(opened + seconds(85)));
        assert_eq!(judge(85), Verdict::Close);
        // Draining: what is quiet lingers for a moment only.
        activity.begin_closing(opened + seconds(20));
        assert_eq!(judge(20), Verdict::WaitUntil(opened + seconds(20) + LINGER));
        assert_eq!(judge(21), Verdict::Close);
    }

    #[test]
    fn http_2_is_asked_at_once_and_its_own_frames_are_not_heads() {
        let opened = Instant::now();
        let activity = Activity::new(opened);
        let judge = |at: u64| activity.judge(&LIMITS, opened + seconds(at));
        activity.begin_request(true);
        assert_eq!(judge(0), Verdict::Wait);
        activity.begin_closing(opened);
        assert_eq!(judge(0), Verdict::Close);
        activity.asked_to_close(opened);
        assert_eq!(judge(0), Verdict::Wait);
        activity.end_request(opened + seconds(2));
        activity.bytes_came(opened + seconds(3));
        assert_eq!(judge(3), Verdict::WaitUntil(opened + seconds(10)));
        assert_eq!(judge(10), Verdict::Abort);
    }
}
