//! From a listening socket to requests: accepts connections up to a bound, and at the end lets accepted requests finish.
//! Leaves the time before to `address`, one connection's life to `connection` and what a request means to the router.

mod activity;
mod address;
mod connection;

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tracing::{error, info, warn};

use crate::lifecycle::{Lifecycle, Phase};
use connection::Connection;

pub use address::ReservedAddress;

/// Bounds on connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// Connections at the same time; further ones wait in the system's queue.
    pub max_connections: usize,
    /// From the first byte of a request's head, or from the opening of a connection, to the head's last byte.
    pub header_timeout: Duration,
    /// For how long a connection without a request is kept. Longer than the balancer's own time, so that it never sends
    /// a request into a connection that is just being closed.
    pub idle_timeout: Duration,
    /// For how long a client may take nothing of its response.
    pub write_timeout: Duration,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self {
            max_connections: 4096,
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
            write_timeout: Duration::from_secs(30),
        }
    }
}

/// How to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DrainOptions {
    /// For how long new connections are still accepted, so that balancers notice that `/readyz` says 503.
    pub delay: Duration,
    /// How long accepted requests may take after that.
    pub timeout: Duration,
}

/// How serving ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drained {
    /// Every accepted request has its response.
    Completely,
    /// So many connections were cut off when the time was up.
    CutOff(usize),
}

/// Serves `router` on `listener` until `stop` is ready, then drains: the phase becomes [`Phase::Draining`] at once,
/// responses ask HTTP/1 clients to close their connections, the listener closes after the delay, and requests that were
/// accepted finish within the time-out.
///
/// Dropping the last handle of a model waits for its engine: keep one outside of the router, or this may block.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    limits: ConnectionLimits,
    drain: DrainOptions,
    lifecycle: Arc<Lifecycle>,
    stop: impl Future<Output = ()>,
) -> Drained {
    let (closing, on_closing) = watch::channel(false);
    let mut acceptor = Acceptor {
        router,
        limits,
        lifecycle: lifecycle.clone(),
        places: Arc::new(Semaphore::new(limits.max_connections)),
        connections: JoinSet::new(),
        on_closing,
    };
    acceptor.accept_until(&listener, stop).await;
    lifecycle.advance(Phase::Draining);
    if !drain.delay.is_zero() {
        info!("not ready any more; the listener closes in {} ms", drain.delay.as_millis());
        acceptor.accept_until(&listener, tokio::time::sleep(drain.delay)).await;
    }
    acceptor.accept_rest(listener);
    // An error would mean that no connection is left.
    let _ = closing.send(true);
    let count = acceptor.connections.len();
    info!("the listener is closed, {count} connections have up to {} ms to finish", drain.timeout.as_millis());
    acceptor.finish(drain.timeout).await
}

struct Acceptor {
    router: Router,
    limits: ConnectionLimits,
    lifecycle: Arc<Lifecycle>,
    places: Arc<Semaphore>,
    connections: JoinSet<()>,
    on_closing: watch::Receiver<bool>,
}

impl Acceptor {
    async fn accept_until(&mut self, listener: &TcpListener, until: impl Future<Output = ()>) {
        let mut until = std::pin::pin!(until);
        loop {
            let places = self.places.clone();
            tokio::select! {
                biased;
                () = &mut until => return,
                Some(ended) = self.connections.join_next() => report(ended),
                (stream, place) = next_connection(listener, places) => self.spawn(stream, Some(place)),
            }
        }
    }

    /// Takes the connections that the system has accepted already and would reset when the listener closes, whatever
    /// their number: these clients see an open connection.
    fn accept_rest(&mut self, listener: TcpListener) {
        let listener = match listener.into_std() {
            Ok(listener) => listener,
            Err(error) => return warn!("connections that wait in the system's queue are lost: {error}"),
        };
        loop {
            match listener.accept().and_then(|(stream, _)| {
                stream.set_nonblocking(true)?;
                TcpStream::from_std(stream)
            }) {
                Ok(stream) => self.spawn(stream, None),
                Err(error) if is_of_one_connection(&error) => {}
                Err(_) => return,
            }
        }
    }

    fn spawn(&mut self, stream: TcpStream, place: Option<OwnedSemaphorePermit>) {
        let connection = Connection {
            router: self.router.clone(),
            limits: self.limits,
            lifecycle: self.lifecycle.clone(),
            on_closing: self.on_closing.clone(),
        };
        self.connections.spawn(async move {
            connection.run(stream).await;
            drop(place);
        });
    }

    async fn finish(mut self, timeout: Duration) -> Drained {
        let all = async {
            while let Some(ended) = self.connections.join_next().await {
                report(ended);
            }
        };
        if tokio::time::timeout(timeout, all).await.is_ok() {
            return Drained::Completely;
        }
        let cut_off = self.connections.len();
        self.connections.shutdown().await;
        Drained::CutOff(cut_off)
    }
}

/// A place among the connections, and then a connection. Dropping the future loses neither.
async fn next_connection(listener: &TcpListener, places: Arc<Semaphore>) -> (TcpStream, OwnedSemaphorePermit) {
    let place = places.acquire_owned().await.expect("the semaphore is never closed");
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return (stream, place),
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                // Usually no file descriptor is left; the connections that end give some back.
                error!("cannot accept a connection: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// Whether the error is about the connection that would have been accepted, not about the listener.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset
    )
}

fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        error!("a connection's task panicked: {error}");
    }
}
