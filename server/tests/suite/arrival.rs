//! Bodies on their way in, and the ways in which a server is reached: encodings, bodies that are too large, forms of several
//! parts, the classic metrics, names and paths of addresses.

use std::io::Write;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use clap::Parser;
use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use serde_json::json;
use server::config::ServerArgs;
use server::http::{HttpOptions, ServerParts, routes};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tower::ServiceExt;

use crate::served::{PUZZLE, Reply, SOLUTION, oracles};
use crate::served_oracles::{oracle, parts};

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn deflate(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 3).unwrap()
}

async fn post(encoding: &str, body: Vec<u8>) -> Reply {
    let request = Request::post("/solve/sudoku").header("content-encoding", encoding).body(Body::from(body)).unwrap();
    oracles().send(request).await
}

#[tokio::test]
async fn encoded_bodies_are_decoded_within_the_limit() {
    let body = PUZZLE.as_bytes();
    for (encoding, body) in [
        ("gzip", gzip(body)),
        ("X-GZIP", gzip(body)),
        ("deflate", deflate(body)),
        ("zstd", zstd(body)),
        ("identity", body.to_vec()),
        ("gzip, zstd", zstd(&gzip(body))),
    ] {
        assert_eq!(post(encoding, body).await.ok()["solution"], SOLUTION, "{encoding}");
    }
    for encoding in ["br", "compress", "gzip, br", "gzip, gzip, gzip"] {
        let reply = post(encoding, gzip(body)).await;
        assert_eq!(reply.problem(), (415, "unsupported-media-type".into()), "{encoding}");
        assert!(reply.json()["detail"].as_str().unwrap().contains("gzip, deflate or zstd"), "{}", reply.json());
    }
    for encoding in ["gzip", "deflate", "zstd"] {
        assert_eq!(post(encoding, body.to_vec()).await.problem(), (400, "malformed-request".into()), "{encoding}");
    }
    let bomb = vec![b'.'; 64 << 20];
    for (encoding, bomb) in [("gzip", gzip(&bomb)), ("zstd", zstd(&bomb)), ("gzip, gzip", gzip(&gzip(&bomb)))] {
        assert_eq!(post(encoding, bomb).await.problem(), (413, "body-too-large".into()), "{encoding}");
    }
}

#[tokio::test]
async fn forms_of_several_parts_are_refused_by_name() {
    let body = format!("--x\r\ncontent-disposition: form-data; name=\"puzzle\"\r\n\r\n{PUZZLE}\r\n--x--\r\n");
    let request = Request::post("/solve/sudoku").header("content-type", "multipart/form-data; boundary=x");
    let reply = oracles().send(request.body(Body::from(body)).unwrap()).await;
    assert_eq!(reply.problem(), (415, "unsupported-media-type".into()));
    let detail = reply.json()["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains("multipart/form-data") && detail.contains("--data-binary"), "{detail}");
}

/// Clients that send everything before they read have their answer, too, instead of a broken connection.
#[tokio::test]
async fn a_body_that_is_too_large_gets_its_answer_also_when_it_is_sent_first() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let served = oracles();
    let router = served.router.clone();
    tokio::spawn(async move { axum::serve(listener, router).await });
    let head = |more: &str| format!("POST /solve/sudoku HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{more}\r\n");
    let body = vec![b'.'; 20 << 20];
    let chunked = [format!("{:x}\r\n", body.len()).as_bytes(), &body, b"\r\n0\r\n\r\n"].concat();
    for (head, body) in [
        (head(&format!("content-length: {}\r\n", body.len())), body),
        (head("transfer-encoding: chunked\r\n"), chunked),
    ] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&body).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 413 ") && answer.contains("body-too-large"), "{answer}");
    }
    // A client that asks first is answered before it sends anything.
    let mut stream = TcpStream::connect(address).await.unwrap();
    let asking = head("content-length: 20000000\r\nexpect: 100-continue\r\n");
    stream.write_all(asking.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    tokio::time::timeout(Duration::from_secs(5), stream.read_exact(&mut answer)).await.unwrap().unwrap();
    assert_eq!(&answer, b"HTTP/1.1 413");
}

#[tokio::test]
async fn metrics_are_classic_for_clients_that_ask_for_plain_text() {
    let served = oracles();
    let metrics = async |accept: Option<&str>| {
        let request = Request::get("/metrics");
        let request = match accept {
            Some(accept) => request.header("accept", accept),
            None => request,
        };
        let reply = served.send(request.body(Body::empty()).unwrap()).await;
        (reply.header("content-type").to_owned(), String::from_utf8(reply.body).unwrap())
    };
    let prometheus = "application/openmetrics-text;version=1.0.0;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
    for accept in [None, Some("*/*"), Some(prometheus), Some("application/openmetrics-text")] {
        let (content_type, text) = metrics(accept).await;
        assert!(content_type.starts_with("application/openmetrics-text"), "{accept:?}: {content_type}");
        assert!(text.ends_with("# EOF\n"));
    }
    for accept in ["text/plain", "text/plain;version=0.0.4", "text/plain;q=1,application/openmetrics-text;q=0.5"] {
        let (content_type, text) = metrics(Some(accept)).await;
        assert_eq!(content_type, "text/plain; version=0.0.4; charset=utf-8", "{accept}");
        assert!(!text.contains("# EOF") && !text.contains("# UNIT"), "{text}");
        for line in [
            "# TYPE trm_requests_accepted_total counter\n",
            "# TYPE trm_model_info gauge\n",
            "# TYPE trm_ready gauge\n",
            "\ntrm_ready 1\n",
        ] {
            assert!(text.contains(line), "{line} is missing in {text}");
        }
        // Every family is named as its samples are.
        let families: Vec<&str> =
            text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
        for sample in text.lines().filter(|line| !line.starts_with('#')) {
            let name = sample.split(['{', ' ']).next().unwrap();
            let plain = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
            assert!(families.contains(&name) || families.contains(&plain), "{name}");
        }
    }
}

#[tokio::test]
async fn a_server_below_a_path_answers_there_and_tells_it() {
    let open = parts(oracle());
    let options = HttpOptions { base_path: "/puzzles/trm".into(), ..open.options.clone() };
    let router = routes(ServerParts { options, ..open });
    let get = async |path: &str, prefix: Option<&str>| {
        let request = Request::get(path);
        let request = match prefix {
            Some(prefix) => request.header("x-forwarded-prefix", prefix),
            None => request,
        };
        router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap()
    };
    for path in ["/puzzles/trm/", "/puzzles/trm/page/main.js", "/puzzles/trm/info", "/puzzles/trm/docs", "/livez"] {
        assert_eq!(get(path, None).await.status(), StatusCode::OK, "{path}");
    }
    let moved = get("/puzzles/trm", None).await;
    assert_eq!(
        (moved.status(), moved.headers()["location"].to_str().unwrap()),
        (StatusCode::PERMANENT_REDIRECT, "/puzzles/trm/")
    );
    assert_eq!(get("/puzzles/trmx/info", None).await.status(), StatusCode::NOT_FOUND);
    let servers = async |prefix: Option<&str>| {
        let body = get("/puzzles/trm/openapi.json", prefix).await.into_body();
        let bytes = axum::body::to_bytes(body, 1 << 24).await.unwrap();
        serde_json::from_slice::<serde_json::Value>(&bytes).unwrap()["servers"].clone()
    };
    assert_eq!(servers(None).await, json!([{ "url": "/puzzles/trm" }]));
    assert_eq!(servers(Some("/outer/")).await, json!([{ "url": "/outer/puzzles/trm" }]));
    assert_eq!(servers(Some("https://evil")).await, json!([{ "url": "/puzzles/trm" }]));
}

#[test]
fn addresses_may_be_names_and_paths_are_checked() {
    let parse = |arguments: &[&str]| ServerArgs::try_parse_from([&["server"], arguments].concat());
    let bind = |text: &str| parse(&["--bind", text]).map(|arguments| arguments.bind.to_string());
    assert_eq!(bind("127.0.0.1:80").unwrap(), "127.0.0.1:80");
    assert_eq!(bind("[::1]:80").unwrap(), "[::1]:80");
    assert!(["127.0.0.1:8080", "[::1]:8080"].contains(&bind("localhost:8080").unwrap().as_str()));
    for wrong in ["localhost", "8080", ":8080", "localhost:port", "127.0.0.1:99999"] {
        assert!(bind(wrong).unwrap_err().to_string().contains("expected an address and a port"), "{wrong}");
    }
    assert_eq!(parse(&["--base-path", "/a/b/"]).unwrap().base_path, "/a/b");
    assert_eq!(parse(&[]).unwrap().base_path, "");
    for wrong in ["a", "//a", "/a b", "https://host/a"] {
        assert!(parse(&["--base-path", wrong]).is_err(), "{wrong}");
    }
}
