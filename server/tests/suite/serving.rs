//! Connections over real sockets: bounds on slow and silent clients, HTTP/2, and a shutdown that loses nothing.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, Version};
use datasets::sudoku::SudokuShape;
use engine::registry::Models;
use hyper_util::rt::{TokioExecutor, TokioIo};
use server::http::{HttpLimits, HttpOptions, ServerParts, routes};
use server::lifecycle::{Lifecycle, Phase};
use server::serving::{ConnectionLimits, DrainOptions, Drained, serve};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::oracle::Oracle;
use crate::served_oracles::{PUZZLE, model, oracle, parts};

/// Bounds that no honest client of these tests comes near.
const LIMITS: ConnectionLimits = ConnectionLimits {
    max_connections: 64,
    header_timeout: Duration::from_mins(1),
    idle_timeout: Duration::from_mins(1),
    write_timeout: Duration::from_mins(1),
};
const DRAIN: DrainOptions = DrainOptions { delay: Duration::ZERO, timeout: Duration::from_mins(1) };
const MOMENT: Duration = Duration::from_millis(200);

struct Server {
    address: SocketAddr,
    lifecycle: Arc<Lifecycle>,
    /// The owner that drops a model last waits for its engine, which serving must not.
    _models: Arc<Models>,
    stop: Option<oneshot::Sender<()>>,
    serving: JoinHandle<Drained>,
}

impl Server {
    async fn start(parts: ServerParts, limits: ConnectionLimits, drain: DrainOptions) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (lifecycle, models) = (parts.lifecycle.clone(), parts.models.clone());
        let (stop, on_stop) = oneshot::channel::<()>();
        let on_stop = async { _ = on_stop.await };
        let serving = tokio::spawn(serve(listener, routes(parts), limits, drain, lifecycle.clone(), on_stop));
        Self { address, lifecycle, _models: models, stop: Some(stop), serving }
    }

    /// A server whose only model takes a step for each message.
    async fn gated(drain: DrainOptions) -> (Self, Sender<()>) {
        let (gated, gate) = Oracle::gated(SudokuShape::FOUR);
        (Self::start(parts(vec![model("small", "5eed", gated)]), LIMITS, drain).await, gate)
    }

    fn stop(&mut self) {
        self.stop.take().unwrap().send(()).unwrap();
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends `request` over a connection of its own and reads until the server closes it.
    async fn exchange(&self, request: &str) -> String {
        let mut stream = self.connect().await;
        stream.write_all(request.as_bytes()).await.unwrap();
        read_all(&mut stream).await
    }

    async fn get(&self, path: &str) -> String {
        self.exchange(&format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")).await
    }

    async fn is_refused(&self) -> bool {
        TcpStream::connect(self.address).await.is_err()
    }

    /// Waits until the model is inside a step.
    async fn wait_until_solving(&self) {
        while !self.get("/metrics").await.contains("trm_slots_in_use{model=\"small\"} 1\n") {
            tokio::task::yield_now().await;
        }
    }
}

async fn read_all(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    // A reset tells as much as an end: the server has closed.
    let _ = stream.read_to_end(&mut text).await;
    String::from_utf8(text).unwrap()
}

fn solve_request(connection: &str) -> String {
    let length = PUZZLE.len();
    format!(
        "POST /solve/sudoku HTTP/1.1\r\nhost: x\r\nconnection: {connection}\r\ncontent-length: {length}\r\n\r\n{PUZZLE}"
    )
}

#[tokio::test]
async fn slow_heads_and_silent_connections_are_closed_while_others_are_served() {
    let limits = ConnectionLimits { header_timeout: MOMENT, ..LIMITS };
    let server = Server::start(parts(oracle()), limits, DRAIN).await;
    let mut silent = server.connect().await;
    let mut slow = server.connect().await;
    slow.write_all(b"GET /livez HTTP/1.1\r\nhost").await.unwrap();
    // As much of HTTP/2's first bytes as HTTP/1 shares with them.
    let mut undecided = server.connect().await;
    undecided.write_all(b"P").await.unwrap();
    assert!(server.exchange(&solve_request("close")).await.starts_with("HTTP/1.1 200 OK"));
    for stream in [&mut silent, &mut slow, &mut undecided] {
        assert_eq!(read_all(stream).await, "");
    }
    assert!(server.get("/livez").await.starts_with("HTTP/1.1 200 OK"));
}

#[tokio::test]
async fn a_kept_connection_serves_again_until_it_was_idle_too_long() {
    let limits = ConnectionLimits { idle_timeout: MOMENT, ..LIMITS };
    let server = Server::start(parts(oracle()), limits, DRAIN).await;
    let mut stream = server.connect().await;
    for _ in 0..2 {
        stream.write_all(b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        let mut head = [0; 15];
        stream.read_exact(&mut head).await.unwrap();
        assert_eq!(&head, b"HTTP/1.1 200 OK");
        let mut rest = Vec::new();
        while !rest.ends_with(b"{\"status\":\"alive\"}") {
            rest.push(stream.read_u8().await.unwrap());
        }
    }
    assert_eq!(read_all(&mut stream).await, "");
}

#[tokio::test]
async fn a_body_that_stays_away_is_answered_and_one_that_breaks_off_harms_no_other() {
    let open = parts(oracle());
    let limits = HttpLimits { request_timeout: MOMENT, ..open.options.limits };
    let server =
        Server::start(ServerParts { options: HttpOptions { limits, ..open.options.clone() }, ..open }, LIMITS, DRAIN)
            .await;
    let half = "POST /solve/sudoku HTTP/1.1\r\nhost: x\r\ncontent-length: 16\r\n\r\n1234";
    let mut stream = server.connect().await;
    stream.write_all(half.as_bytes()).await.unwrap();
    let reply = read_all(&mut stream).await;
    assert!(reply.starts_with("HTTP/1.1 408") && reply.contains("urn:trm:problem:slow-body"), "{reply}");

    let mut stream = server.connect().await;
    stream.write_all(half.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    let reply = read_all(&mut stream).await;
    assert!(!reply.contains("200 OK"), "{reply}");
    assert!(server.get("/livez").await.starts_with("HTTP/1.1 200 OK"));
}

#[tokio::test]
async fn http_2_is_spoken_without_being_asked_twice() {
    let mut server = Server::start(parts(oracle()), LIMITS, DRAIN).await;
    let io = TokioIo::new(server.connect().await);
    let (mut client, connection) =
        hyper::client::conn::http2::handshake::<_, _, Body>(TokioExecutor::new(), io).await.unwrap();
    let connection = tokio::spawn(connection);
    let request = || Request::post("http://x/solve/sudoku").body(Body::from(PUZZLE)).unwrap();
    // Two at the same time on one connection.
    let (first, second) = tokio::join!(client.clone().send_request(request()), client.send_request(request()));
    for response in [first.unwrap(), second.unwrap()] {
        assert_eq!((response.status().as_u16(), response.version()), (200, Version::HTTP_2));
    }
    // The end of the server is a word of farewell, no error.
    server.stop();
    assert_eq!(server.serving.await.unwrap(), Drained::Completely);
    connection.await.unwrap().unwrap();
}

#[tokio::test]
async fn connections_beyond_the_bound_wait_for_a_place() {
    let limits = ConnectionLimits { max_connections: 1, ..LIMITS };
    let server = Server::start(parts(oracle()), limits, DRAIN).await;
    let mut first = server.connect().await;
    first.write_all(b"GET /livez HTTP/1.1\r\nhost: x\r\n").await.unwrap();
    let second = server.get("/livez");
    let mut second = std::pin::pin!(second);
    assert!(tokio::time::timeout(MOMENT, second.as_mut()).await.is_err());
    first.write_all(b"connection: close\r\n\r\n").await.unwrap();
    assert!(read_all(&mut first).await.starts_with("HTTP/1.1 200 OK"));
    assert!(second.await.starts_with("HTTP/1.1 200 OK"));
}

#[tokio::test]
async fn draining_finishes_accepted_requests_and_refuses_new_connections() {
    let (mut server, gate) = Server::gated(DRAIN).await;
    let mut held = server.connect().await;
    held.write_all(solve_request("keep-alive").as_bytes()).await.unwrap();
    // A connection that has sent nothing yet, and one that has sent half of a head.
    let mut silent = server.connect().await;
    let mut half = server.connect().await;
    half.write_all(b"GET /readyz HTTP/1.1\r\n").await.unwrap();
    server.wait_until_solving().await;

    server.stop();
    while !server.is_refused().await {
        tokio::task::yield_now().await;
    }
    assert_eq!(server.lifecycle.phase(), Phase::Draining);
    assert!(!server.serving.is_finished());
    // A request that had begun to arrive is read to its end and answered that the server stops.
    half.write_all(b"host: x\r\n\r\n").await.unwrap();
    let reply = read_all(&mut half).await;
    assert!(reply.starts_with("HTTP/1.1 503") && reply.contains("connection: close"), "{reply}");
    assert!(reply.contains("urn:trm:problem:stopping"), "{reply}");
    assert_eq!(read_all(&mut silent).await, "");

    drop(gate);
    let reply = read_all(&mut held).await;
    assert!(reply.starts_with("HTTP/1.1 200 OK") && reply.contains("connection: close"), "{reply}");
    assert!(reply.contains("\"verified\":true"), "{reply}");
    assert_eq!(server.serving.await.unwrap(), Drained::Completely);
}

#[tokio::test]
async fn a_stream_is_sent_to_its_end_while_the_server_drains() {
    let (mut server, gate) = Server::gated(DRAIN).await;
    let mut held = server.connect().await;
    let request = solve_request("keep-alive").replacen("host: x", "host: x\r\naccept: text/event-stream", 1);
    held.write_all(request.as_bytes()).await.unwrap();
    server.wait_until_solving().await;
    // The head and the first step have been sent when the server is asked to stop.
    gate.send(()).unwrap();
    let mut seen = Vec::new();
    while !String::from_utf8_lossy(&seen).contains("\"step\":1") {
        seen.push(held.read_u8().await.unwrap());
    }
    // The stream holds its request's place.
    assert!(server.get("/metrics").await.contains("\ntrm_http_requests_in_flight 1\n"));
    server.stop();
    while !server.is_refused().await {
        tokio::task::yield_now().await;
    }
    drop(gate);
    // A connection that was not asked to close is closed once it is quiet.
    let rest = read_all(&mut held).await;
    assert!(rest.contains("event: answer") && rest.contains("\"verified\":true"), "{rest}");
    assert_eq!(server.serving.await.unwrap(), Drained::Completely);
}

#[tokio::test(start_paused = true)]
async fn during_the_delay_balancers_are_warned_and_clients_served() {
    // The clock stands while a blocking task runs; afterwards it jumps to the end of the delay.
    let (standstill, ends) = std::sync::mpsc::channel::<()>();
    let standing = tokio::task::spawn_blocking(move || ends.recv());
    let drain = DrainOptions { delay: Duration::from_mins(1), ..DRAIN };
    let mut server = Server::start(parts(oracle()), LIMITS, drain).await;
    assert!(server.get("/readyz").await.starts_with("HTTP/1.1 200"));
    server.stop();
    while server.lifecycle.phase() != Phase::Draining {
        tokio::task::yield_now().await;
    }
    assert!(server.get("/readyz").await.starts_with("HTTP/1.1 503"));
    let reply = server.exchange(&solve_request("keep-alive")).await;
    assert!(reply.starts_with("HTTP/1.1 200 OK") && reply.contains("connection: close"), "{reply}");
    assert!(!server.serving.is_finished());
    drop(standstill);
    assert!(standing.await.unwrap().is_err());
    assert_eq!((&mut server.serving).await.unwrap(), Drained::Completely);
    assert!(server.is_refused().await);
}

#[tokio::test]
async fn draining_ends_when_its_time_is_up() {
    let drain = DrainOptions { timeout: MOMENT, ..DRAIN };
    let (mut server, gate) = Server::gated(drain).await;
    let mut held = server.connect().await;
    held.write_all(solve_request("close").as_bytes()).await.unwrap();
    server.wait_until_solving().await;
    server.stop();
    assert_eq!((&mut server.serving).await.unwrap(), Drained::CutOff(1));
    assert_eq!(read_all(&mut held).await, "");
    drop(gate);
}
