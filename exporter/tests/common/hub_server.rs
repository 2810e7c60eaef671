//! A hub on this machine for tests of programs: it describes files as the real one does, redirects clients to its
//! storage, and breaks every first transfer in the middle.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use sha2::{Digest, Sha256};

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// Serves `files`, named `owner/name/file`, and gives the address; ends with the test.
pub(crate) fn serve(files: HashMap<String, Vec<u8>>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let files = Arc::new(files);
    let broken = Arc::new(Mutex::new(Vec::new()));
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (files, broken) = (Arc::clone(&files), Arc::clone(&broken));
            thread::spawn(move || answer(stream.unwrap(), &files, &broken));
        }
    });
    address
}

fn answer(mut stream: TcpStream, files: &HashMap<String, Vec<u8>>, broken: &Mutex<Vec<String>>) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
    let Some(request) = lines.next() else { return };
    let range = lines.take_while(|line| !line.is_empty()).find_map(|line| {
        line.to_lowercase()
            .strip_prefix("range: bytes=")
            .map(|range| range.trim_end_matches('-').parse::<usize>().unwrap())
    });
    let path = request.split(' ').nth(1).unwrap().trim_start_matches('/').to_owned();
    let reply = if let Some(name) = path.strip_prefix("storage/") {
        stored(&files[name], name, range, broken)
    } else {
        let parts: Vec<&str> = path.splitn(5, '/').collect();
        let name = match parts[..] {
            [owner, name, "resolve", _, file] => format!("{owner}/{name}/{file}"),
            _ => String::new(),
        };
        match files.get(&name) {
            None => "HTTP/1.1 404 Not Found\r\nX-Error-Code: EntryNotFound\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
                .into(),
            Some(content) => {
                let etag = Sha256::digest(content).iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"));
                format!(
                    "HTTP/1.1 302 Found\r\nX-Repo-Commit: {COMMIT}\r\nX-Linked-Etag: \"{etag}\"\r\nX-Linked-Size: {}\r\nLocation: /storage/{name}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
                    content.len()
                )
                .into_bytes()
            }
        }
    };
    let _ = stream.write_all(&reply);
}

fn stored(content: &[u8], name: &str, range: Option<usize>, broken: &Mutex<Vec<String>>) -> Vec<u8> {
    let start = range.unwrap_or(0);
    let (total, mut body) = (content.len(), content[start..].to_vec());
    let mut reply = if range.is_some() {
        format!("HTTP/1.1 206 Partial Content\r\nContent-Range: bytes {start}-{}/{total}\r\n", total - 1)
    } else {
        "HTTP/1.1 200 OK\r\n".to_owned()
    };
    reply = format!("{reply}Connection: close\r\nContent-Length: {}\r\n\r\n", body.len());
    let mut broken = broken.lock().unwrap();
    if !broken.iter().any(|other| other == name) {
        broken.push(name.to_owned());
        body.truncate(body.len() / 2);
    }
    [reply.as_bytes(), &body].concat()
}
