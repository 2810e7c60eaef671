//! Promises of `download`, against an HTTP server of this process that misbehaves on demand.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use files::download::{Download, DownloadError, Patience, TransferError, client, download, get, partial_path};

/// How the server answers one request.
#[derive(Debug, Clone, Copy)]
enum Behaviour {
    /// As it should, ranges included.
    Correct,
    /// As it should, but the connection ends after so many bytes of the body.
    CutAfter(usize),
    /// As if it had never heard of ranges.
    NoRanges,
    /// The same, cut off.
    NoRangesCutAfter(usize),
    /// With this status line and no body.
    Status(&'static str),
}

struct Server {
    url: String,
    /// The `Range` headers of the requests so far.
    ranges: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// Serves `content`, one behaviour a request; the last one stays.
    fn start(content: Vec<u8>, behaviours: Vec<Behaviour>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/file.whl", listener.local_addr().unwrap());
        let ranges = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&ranges);
        std::thread::spawn(move || {
            for (index, stream) in listener.incoming().enumerate() {
                let behaviour = behaviours[index.min(behaviours.len() - 1)];
                let stream = stream.unwrap();
                let range = read_request(&stream);
                seen.lock().unwrap().push(range.clone());
                answer(&stream, &content, &range, behaviour);
            }
        });
        Self { url, ranges }
    }

    fn ranges(&self) -> Vec<String> {
        self.ranges.lock().unwrap().clone()
    }
}

fn read_request(stream: &TcpStream) -> String {
    let mut range = String::new();
    for line in BufReader::new(stream).lines() {
        let line = line.unwrap().to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(value) = line.strip_prefix("range: ") {
            value.clone_into(&mut range);
        }
    }
    range
}

fn answer(mut stream: &TcpStream, content: &[u8], range: &str, behaviour: Behaviour) {
    let total = content.len();
    let first: usize = range.strip_prefix("bytes=").unwrap().trim_end_matches('-').parse().unwrap();
    let (ranged, cut) = match behaviour {
        Behaviour::Correct => (true, usize::MAX),
        Behaviour::CutAfter(count) => (true, count),
        Behaviour::NoRanges => (false, usize::MAX),
        Behaviour::NoRangesCutAfter(count) => (false, count),
        Behaviour::Status(status) => {
            write!(stream, "HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").unwrap();
            return;
        }
    };
    let body = if ranged { &content[first.min(total)..] } else { content };
    let head = if ranged {
        format!("206 Partial Content\r\nContent-Range: bytes {first}-{}/{total}", total - 1)
    } else {
        "200 OK".to_owned()
    };
    let length = body.len();
    write!(stream, "HTTP/1.1 {head}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n").unwrap();
    // The client may have hung up, which is its right.
    let _ = stream.write_all(&body[..cut.min(length)]);
}

fn content() -> Vec<u8> {
    (0..300_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

fn sum(content: &[u8]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("content");
    fs::write(&path, content).unwrap();
    files::sha256_of(&path).unwrap()
}

fn fetch(server: &Server, target: &Path, sha256: &str, bytes: u64) -> Result<(), DownloadError<String>> {
    let patience = Patience { attempts: 3, pause: Duration::from_millis(1) };
    let agent = client().proxy(None).build().new_agent();
    let wanted = Download { target, size: Some(bytes), sha256: Some(sha256), patience };
    download(&wanted, get(&agent, &server.url), &mut |_, _| ())
}

#[test]
fn a_file_arrives_whole_and_leaves_no_partial() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("file.whl");
    let server = Server::start(content(), vec![Behaviour::Correct]);
    fetch(&server, &target, &sum(&content()), 300_000).unwrap();
    assert_eq!(fs::read(&target).unwrap(), content());
    assert!(!partial_path(&target).exists());
    assert_eq!(server.ranges(), ["bytes=0-"]);
}

#[test]
fn cut_connections_are_continued_where_they_broke() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("file.whl");
    let cuts =
        vec![Behaviour::CutAfter(100_000), Behaviour::Status("503 Busy"), Behaviour::CutAfter(1), Behaviour::Correct];
    let server = Server::start(content(), cuts);
    fetch(&server, &target, &sum(&content()), 300_000).unwrap();
    assert_eq!(fs::read(&target).unwrap(), content());
    assert_eq!(server.ranges(), ["bytes=0-", "bytes=100000-", "bytes=100000-", "bytes=100001-"]);
}

#[test]
fn what_a_killed_run_left_is_continued() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("file.whl");
    fs::write(partial_path(&target), &content()[..299_999]).unwrap();
    let server = Server::start(content(), vec![Behaviour::Correct]);
    fetch(&server, &target, &sum(&content()), 300_000).unwrap();
    assert_eq!(fs::read(&target).unwrap(), content());
    assert_eq!(server.ranges(), ["bytes=299999-"]);
}

#[test]
fn a_run_killed_before_the_last_step_needs_no_request() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("file.whl");
    fs::write(partial_path(&target), content()).unwrap();
    let server = Server::start(content(), vec![Behaviour::Correct]);
    fetch(&server, &target, &sum(&content()), 300_000).unwrap();
    assert_eq!(fs::read(&target).unwrap(), content());
    assert!(server.ranges().is_empty());
}

#[test]
fn a_damaged_partial_is_fetched_anew() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("file.whl");
    for damaged in [vec![0; 1000], vec![0; 300_000], vec![0; 300_001]] {
        fs::write(partial_path(&target), damaged).unwrap();
        let server = Server::start(content(), vec![Behaviour::Correct]);
        fetch(&server, &target, &sum(&content()), 300_000).unwrap();
        assert_eq!(fs::read(&target).unwrap(), content());
        assert_eq!(server.ranges().last().unwrap(), "bytes=0-");
        fs::remove_file(&target).unwrap();
    }
}

#[test]
fn a_server_without_ranges_is_read_from_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("file.whl");
    fs::write(partial_path(&target), &content()[..5000]).unwrap();
    let server = Server::start(content(), vec![Behaviour::NoRangesCutAfter(9000), Behaviour::NoRanges]);
    fetch(&server, &target, &sum(&content()), 300_000).unwrap();
    assert_eq!(fs::read(&target).unwrap(), content());
    assert_eq!(server.ranges(), ["bytes=5000-", "bytes=9000-"]);
}

#[test]
fn a_server_without_ranges_that_always_cuts_is_given_up() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("file.whl");
    let server = Server::start(content(), vec![Behaviour::NoRangesCutAfter(9000)]);
    let error = fetch(&server, &target, &sum(&content()), 300_000).unwrap_err();
    assert!(matches!(error, DownloadError::Transfer(TransferError::Cut { total: Some(300_000), .. })), "{error}");
    assert_eq!(server.ranges().len(), 3);
    assert!(!target.exists());
}

#[test]
fn another_file_is_refused_and_not_kept() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("file.whl");
    let mut other = content();
    other[150_000] ^= 1;
    let server = Server::start(other, vec![Behaviour::Correct]);
    let error = fetch(&server, &target, &sum(&content()), 300_000).unwrap_err();
    assert!(matches!(error, DownloadError::Transfer(TransferError::WrongHash { .. })), "{error}");
    assert!(!target.exists() && !partial_path(&target).exists());
    assert_eq!(server.ranges().len(), 1);

    // Another size is seen before a byte of it is stored.
    let server = Server::start(content(), vec![Behaviour::Correct]);
    let error = fetch(&server, &target, &sum(&content()), 299_000).unwrap_err();
    let wrong = TransferError::WrongSize { expected: 299_000, found: 300_000 };
    assert!(matches!(&error, DownloadError::Transfer(found) if *found == wrong), "{error}");
    assert!(!target.exists() && !partial_path(&target).exists());
}

#[test]
fn refusals_are_not_repeated_but_outages_are() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("file.whl");
    for (status, requests) in [("403 Forbidden", 1), ("404 Not Found", 1), ("500 Oops", 3), ("429 Slow Down", 3)] {
        let server = Server::start(content(), vec![Behaviour::Status(status)]);
        let error = fetch(&server, &target, &sum(&content()), 300_000).unwrap_err();
        assert!(error.to_string().contains(&status[..3]), "{error}");
        assert_eq!(server.ranges().len(), requests, "{status}");
    }
}
