//! Files of a hub that speaks the real one's protocol on this machine: redirects to its storage, ranges, `ETag`s, tokens,
//! refusals, and connections that break.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;

use hub::{FetchError, FileReference, Hub, HubError, RepositoryKind, TransferError};
use sha2::{Digest, Sha256};

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// How the storage behind the hub behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Storage {
    Sound,
    /// Gives half of what is asked for, then closes.
    Breaks,
    /// Gives nothing after the first half, ever.
    Dies,
    /// Ignores ranges.
    NoRanges,
    /// Gives other bytes than the hub described.
    Corrupts,
}

struct Server {
    address: String,
    /// `METHOD path range token`, in order.
    requests: Arc<Mutex<Vec<String>>>,
}

/// Serves `file` of the model `owner/name` from git LFS, and `small.json` from git.
fn serve(content: Vec<u8>, storage: Storage) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let requests = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&requests);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (content, log) = (content.clone(), Arc::clone(&log));
            thread::spawn(move || answer(stream.unwrap(), &content, storage, &log));
        }
    });
    Server { address, requests }
}

fn answer(mut stream: TcpStream, content: &[u8], storage: Storage, log: &Mutex<Vec<String>>) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
    let Some(request) = lines.next() else { return };
    let headers: HashMap<String, String> = lines
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.split_once(": ").map(|(name, value)| (name.to_lowercase(), value.to_owned())))
        .collect();
    let mut words = request.split(' ');
    let (method, path) = (words.next().unwrap(), words.next().unwrap());
    let (range, token) = (headers.get("range"), headers.get("authorization"));
    let shown = |value: Option<&String>| value.map_or("-".to_owned(), Clone::clone);
    log.lock().unwrap().push(format!("{method} {path} {} {}", shown(range), shown(token)));

    let etag: String = Sha256::digest(content).iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"));
    let part = path.rsplit('/').next().unwrap();
    let status_of = HashMap::from([
        ("private", "401 Unauthorized"),
        ("gated", "403 Forbidden"),
        ("missing", "404 Not Found\r\nX-Error-Code: EntryNotFound"),
        ("busy", "503 Service Unavailable"),
    ]);
    let head = |status: &str, more: &str| format!("HTTP/1.1 {status}\r\nConnection: close\r\n{more}\r\n");
    let reply = if let Some(status) = status_of.get(part) {
        head(status, "Content-Length: 0\r\n").into_bytes()
    } else if path.starts_with("/nobody/") {
        head("404 Not Found", "X-Error-Code: RepoNotFound\r\nContent-Length: 0\r\n").into_bytes()
    } else if path.contains("/resolve/v9/") {
        head("404 Not Found", "X-Error-Code: RevisionNotFound\r\nContent-Length: 0\r\n").into_bytes()
    } else if let Some(rest) = path.strip_prefix("/old/") {
        // A repository that was renamed.
        let target = format!("Location: /owner/{rest}\r\nContent-Length: 0\r\n");
        head("307 Temporary Redirect", &target).into_bytes()
    } else if part == "hostile" {
        let more = format!("X-Repo-Commit: {COMMIT}\r\nETag: \"../../../evil\"\r\nContent-Length: 0\r\n");
        head("200 OK", &more).into_bytes()
    } else if part == "small.json" {
        let more = format!("X-Repo-Commit: {COMMIT}\r\nETag: \"{COMMIT}\"\r\nContent-Length: 2\r\n");
        let body: &[u8] = if method == "HEAD" { b"" } else { b"{}" };
        [head("200 OK", &more).as_bytes(), body].concat()
    } else if path.starts_with("/storage") {
        stored(content, storage, range.map(String::as_str), &head)
    } else {
        // The hub: says what the file is, and redirects clients to its storage.
        let port = stream.local_addr().unwrap().port();
        let location = format!("Location: http://localhost:{port}/storage/{etag}?signed\r\n");
        let about = format!(
            "X-Repo-Commit: {COMMIT}\r\nX-Linked-Etag: \"{etag}\"\r\nX-Linked-Size: {}\r\nETag: \"other\"\r\n",
            content.len()
        );
        head("302 Found", &format!("{about}{location}Content-Length: 0\r\n")).into_bytes()
    };
    let _ = stream.write_all(&reply);
}

fn stored(content: &[u8], storage: Storage, range: Option<&str>, head: &dyn Fn(&str, &str) -> String) -> Vec<u8> {
    let start = range.filter(|_| storage != Storage::NoRanges);
    let start = start.map_or(0, |range| range["bytes=".len()..range.len() - 1].parse().unwrap());
    if start >= content.len() {
        return head("416 Range Not Satisfiable", "Content-Length: 0\r\n").into_bytes();
    }
    let mut body = content[start..].to_vec();
    let length = format!("Content-Length: {}\r\n", body.len());
    let reply = if range.is_some() && storage != Storage::NoRanges {
        let total = content.len();
        head("206 Partial Content", &format!("{length}Content-Range: bytes {start}-{}/{total}\r\n", total - 1))
    } else {
        head("200 OK", &length)
    };
    match storage {
        Storage::Breaks if body.len() > 1000 => body.truncate(body.len() / 2),
        Storage::NoRanges if range.is_none() => body.truncate(body.len() / 2),
        Storage::Dies => body.truncate((content.len() / 2).saturating_sub(start)),
        Storage::Corrupts => body[7] ^= 1,
        _ => {}
    }
    [reply.as_bytes(), &body].concat()
}

fn content() -> Vec<u8> {
    (0..300_000_u32).flat_map(|number| (number.wrapping_mul(2_654_435_761)).to_le_bytes()).collect()
}

fn model(text: &str) -> FileReference {
    text.parse().unwrap()
}

fn reason(error: HubError) -> FetchError {
    match error {
        HubError::Fetch { reason, .. } => *reason,
        other => panic!("{other}"),
    }
}

#[test]
fn a_file_is_fetched_once_and_laid_out_as_python_lays_it_out() {
    let server = serve(content(), Storage::Sound);
    let folder = tempfile::tempdir().unwrap();
    let hub = Hub::new(&server.address, folder.path()).with_token("secret");
    let mut reported = Vec::new();
    let path = hub.file(&model("owner/name/sub/step_1"), |here, total| reported.push((here, total))).unwrap();
    assert_eq!(fs::read(&path).unwrap(), content());
    assert_eq!(reported.last(), Some(&(1_200_000, Some(1_200_000))));
    assert!(reported.is_sorted());

    let repository = folder.path().join("models--owner--name");
    assert_eq!(path, repository.join("snapshots").join(COMMIT).join("sub/step_1"));
    assert_eq!(fs::read_to_string(repository.join("refs/main")).unwrap(), COMMIT);
    let blobs: Vec<_> = fs::read_dir(repository.join("blobs")).unwrap().map(|blob| blob.unwrap().file_name()).collect();
    assert_eq!(blobs.len(), 1);
    let target = fs::read_link(&path).unwrap();
    assert_eq!(target, Path::new("../../../blobs").join(&blobs[0]));

    // The token is for the hub alone, not for the storage that it sends us to.
    let requests = server.requests.lock().unwrap().clone();
    assert_eq!(requests.len(), 3, "{requests:?}");
    assert_eq!(requests[0], "HEAD /owner/name/resolve/main/sub/step_1 - Bearer secret");
    assert!(requests[2].starts_with("GET /storage/") && requests[2].ends_with(" - -"), "{requests:?}");

    // From now on no server is asked: not for this file, nor for the same content at a commit.
    assert_eq!(hub.file(&model("owner/name/sub/step_1"), |_, _| ()).unwrap(), path);
    let pinned = model(&format!("owner/name/sub/step_1@{COMMIT}"));
    assert_eq!(hub.clone().offline().file(&pinned, |_, _| ()).unwrap(), path);
    assert_eq!(server.requests.lock().unwrap().len(), 3);
    // Another file of the same content is not transferred again.
    hub.file(&model("owner/name/copy"), |_, _| ()).unwrap();
    assert_eq!(server.requests.lock().unwrap().len(), 4);
}

/// On file systems without symbolic links, or where they are unwanted, the files themselves are in their places.
#[test]
fn without_symbolic_links_files_are_moved_or_copied_into_their_place() {
    let server = serve(content(), Storage::Sound);
    let folder = tempfile::tempdir().unwrap();
    let linking = Hub::new(&server.address, folder.path());
    let hub = linking.clone().without_symlinks();
    let path = hub.file(&model("owner/name/sub/step_1"), |_, _| ()).unwrap();
    assert!(!path.is_symlink() && fs::read(&path).unwrap() == content());
    let blobs = folder.path().join("models--owner--name/blobs");
    assert_eq!(fs::read_dir(&blobs).unwrap().count(), 0, "the blob was moved");
    let asked = server.requests.lock().unwrap().len();
    assert_eq!(hub.file(&model("owner/name/sub/step_1"), |_, _| ()).unwrap(), path);
    assert_eq!(server.requests.lock().unwrap().len(), asked, "it is here");
    // A tag of the same commit is asked for, and nothing is transferred.
    assert_eq!(hub.file(&model("owner/name/sub/step_1@v1"), |_, _| ()).unwrap(), path);
    assert_eq!(server.requests.lock().unwrap().len(), asked + 1);

    let linked = linking.file(&model("owner/name/linked"), |_, _| ()).unwrap();
    let copied = hub.file(&model("owner/name/copied"), |_, _| ()).unwrap();
    assert!(!copied.is_symlink() && fs::read(copied).unwrap() == content());
    assert_eq!(fs::read(linked).unwrap(), content(), "its blob stays");
}

/// `v1` may look like anything, `deadbeef` like a commit: only forty digits are one.
#[test]
fn short_commits_and_tags_that_look_like_hex_are_asked_for() {
    let server = serve(content(), Storage::Sound);
    let folder = tempfile::tempdir().unwrap();
    let hub = Hub::new(&server.address, folder.path());
    for revision in ["0123456", "deadbeef", "20240101", &"a".repeat(64)] {
        let path = hub.file(&model(&format!("owner/name/small.json@{revision}")), |_, _| ()).unwrap();
        assert_eq!(path, folder.path().join("models--owner--name/snapshots").join(COMMIT).join("small.json"));
        let reference = folder.path().join("models--owner--name/refs").join(revision);
        assert_eq!(fs::read_to_string(reference).unwrap(), COMMIT);
        let again = hub.clone().offline().file(&model(&format!("owner/name/small.json@{revision}")), |_, _| ());
        assert_eq!(again.unwrap(), path);
    }
}

#[test]
fn files_of_datasets_and_renamed_repositories_are_found() {
    let server = serve(content(), Storage::Sound);
    let folder = tempfile::tempdir().unwrap();
    let hub = Hub::new(&server.address, folder.path());
    let list = FileReference::new(RepositoryKind::Dataset, "owner/lists", "small.json", "main").unwrap();
    assert_eq!(fs::read(hub.file(&list, |_, _| ()).unwrap()).unwrap(), b"{}");
    assert!(folder.path().join("datasets--owner--lists/refs/main").is_file());
    assert_eq!(fs::read(hub.file(&model("old/name/file"), |_, _| ()).unwrap()).unwrap(), content());
}

#[test]
fn a_connection_that_breaks_is_gone_on_with_from_there() {
    let server = serve(content(), Storage::Breaks);
    let folder = tempfile::tempdir().unwrap();
    let path = Hub::new(&server.address, folder.path()).file(&model("owner/name/file"), |_, _| ()).unwrap();
    assert_eq!(fs::read(path).unwrap(), content());
    let requests = server.requests.lock().unwrap().clone();
    let ranges: Vec<_> = requests.iter().filter(|request| request.contains("GET /storage")).collect();
    assert!(ranges[1].contains("bytes=600000-") && ranges[2].contains("bytes=900000-"), "{ranges:?}");
}

#[test]
fn what_arrived_before_the_end_is_kept_for_the_next_time() {
    let folder = tempfile::tempdir().unwrap();
    let server = serve(content(), Storage::Dies);
    let error = Hub::new(&server.address, folder.path()).file(&model("owner/name/file"), |_, _| ()).unwrap_err();
    assert!(error.to_string().contains("broke off after 600000 of 1200000 bytes; run the command again"), "{error}");
    assert!(error.to_string().contains("cannot fetch model file file of owner/name from http://127.0.0.1"), "{error}");
    let cut = TransferError::Cut { received: 600_000, total: Some(1_200_000) };
    assert_eq!(reason(error), FetchError::Transfer(cut));

    let server = serve(content(), Storage::Sound);
    let path = Hub::new(&server.address, folder.path()).file(&model("owner/name/file"), |_, _| ()).unwrap();
    assert_eq!(fs::read(path).unwrap(), content());
    assert!(server.requests.lock().unwrap()[2].contains("bytes=600000-"));
}

#[test]
fn a_server_without_ranges_starts_again_and_nothing_is_doubled() {
    let server = serve(content(), Storage::NoRanges);
    let folder = tempfile::tempdir().unwrap();
    let path = Hub::new(&server.address, folder.path()).file(&model("owner/name/file"), |_, _| ()).unwrap();
    assert_eq!(fs::read(path).unwrap(), content());
}

#[test]
fn other_bytes_than_promised_are_thrown_away() {
    let folder = tempfile::tempdir().unwrap();
    let server = serve(content(), Storage::Corrupts);
    let error = Hub::new(&server.address, folder.path()).file(&model("owner/name/file"), |_, _| ()).unwrap_err();
    assert!(matches!(reason(error), FetchError::Transfer(TransferError::WrongHash { .. })));
    let blobs = folder.path().join("models--owner--name/blobs");
    assert_eq!(fs::read_dir(blobs).unwrap().count(), 0);
    assert!(!folder.path().join("models--owner--name/snapshots").exists());
}

#[test]
fn refusals_say_what_to_do() {
    let server = serve(content(), Storage::Sound);
    let folder = tempfile::tempdir().unwrap();
    let hub = Hub::new(&server.address, folder.path());
    let refusal = |text: &str| hub.file(&model(text), |_, _| ()).unwrap_err();
    assert_eq!(reason(refusal("owner/name/private")), FetchError::Unauthorized);
    assert_eq!(reason(refusal("owner/name/gated")), FetchError::Forbidden);
    assert_eq!(reason(refusal("owner/name/missing")), FetchError::NoFile { revision: "main".into() });
    assert_eq!(reason(refusal("nobody/name/file")), FetchError::NoRepository);
    assert_eq!(reason(refusal("owner/name/file@v9")), FetchError::NoRevision { revision: "v9".into() });
    assert_eq!(reason(refusal("owner/name/busy")), FetchError::Status { status: 503 });
    assert!(matches!(reason(refusal("owner/name/hostile")), FetchError::Answer { .. }));
    let text = refusal("owner/name/private").to_string();
    assert!(text.starts_with("cannot fetch model file private of owner/name from http://127.0.0.1:"), "{text}");
    assert!(text.contains("set HF_TOKEN"), "{text}");
    assert!(!folder.path().join("models--owner--name/snapshots").exists());
}

#[test]
fn without_a_network_or_permission_to_use_it_there_is_one_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let hub = Hub::new(&format!("http://{closed}"), folder.path());
    let error = hub.file(&model("owner/name/file"), |_, _| ()).unwrap_err();
    assert!(error.to_string().contains("there is no connection ("), "{error}");
    let error = hub.offline().file(&model("owner/name/file"), |_, _| ()).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("HF_HUB_OFFLINE is set") && text.contains("models--owner--name does not hold it"), "{text}");
}
