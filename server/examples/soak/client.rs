//! One request on a connection of its own.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Error, Result};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::{HeaderMap, Request, header};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// What came back.
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// Longer than any answer may take.
const PATIENCE: Duration = Duration::from_mins(2);

/// Sends `request` and reads the whole answer.
pub(crate) async fn send(address: SocketAddr, request: Request<impl Into<Bytes>>) -> Result<Reply> {
    tokio::time::timeout(PATIENCE, exchange(address, request)).await.context("no answer in two minutes")?
}

async fn exchange(address: SocketAddr, request: Request<impl Into<Bytes>>) -> Result<Reply> {
    let stream = TcpStream::connect(address).await.context("cannot connect")?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.context("handshake")?;
    let driver = tokio::spawn(connection);
    let mut request = request.map(|body| Full::new(body.into()));
    request.headers_mut().insert(header::HOST, header::HeaderValue::from_static("localhost"));
    let response = sender.send_request(request).await.context("no response")?;
    let (head, body) = response.into_parts();
    let body = body.collect().await.context("the body broke off")?.to_bytes();
    driver.abort();
    Ok(Reply { status: head.status.as_u16(), headers: head.headers, body })
}

/// Whether the connection was refused.
pub(crate) fn is_refused(error: &Error) -> bool {
    let mut causes = error.chain().filter_map(|cause| cause.downcast_ref::<std::io::Error>());
    causes.any(|cause| cause.kind() == std::io::ErrorKind::ConnectionRefused)
}

/// Whether a connection was refused or broke, in contrast to a wrong answer.
pub(crate) fn is_transport(error: &Error) -> bool {
    error.chain().any(|cause| cause.is::<std::io::Error>() || cause.is::<hyper::Error>())
}
