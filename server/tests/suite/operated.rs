//! The program as its operator sees it: signals, a crash, logs, traces, and a flag for everything.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use clap::CommandFactory;
use datasets::sudoku::SudokuShape;
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::common::v1::any_value::Value as Attribute;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use serde_json::{Value, json};
use server::config::ServerArgs;

use crate::random_checkpoint::{write_random, write_with_table};
use crate::running::Running;

const PUZZLE: &str = "123434122143432.";

/// A folder with one untrained model for 4x4 boards.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    write_random(folder.path(), "small", SudokuShape::FOUR);
    folder
}

/// Puts another model in the place of the one that [`folder`] has written.
fn write_another(folder: &Path) {
    std::fs::remove_dir_all(folder.join("small")).unwrap();
    write_with_table(folder, "small", SudokuShape::FOUR, &[], |config| config.L_layers = 2);
}

/// A request that takes some seconds.
fn long_request() -> String {
    json!({ "puzzles": vec![PUZZLE; 256], "halting": "fixed", "max_steps": 1024 }).to_string()
}

fn sha256(server: &Running) -> String {
    server.get("/info").json()["models"][0]["sha256"].as_str().unwrap().to_owned()
}

#[test]
fn every_flag_is_also_an_environment_variable_and_has_a_help_text() {
    let command = ServerArgs::command();
    for argument in command.get_arguments().filter(|argument| argument.get_long().is_some()) {
        let flag = argument.get_long().unwrap();
        if matches!(flag, "help" | "version") {
            continue;
        }
        let expected = format!("TRM_{}", flag.replace('-', "_").to_uppercase());
        assert_eq!(argument.get_env().and_then(|name| name.to_str()), Some(expected.as_str()), "--{flag}");
        assert!(argument.get_help().is_some_and(|help| help.to_string().len() > 10), "--{flag}");
    }
}

#[test]
fn sigterm_under_load_loses_no_accepted_request() {
    let folder = folder();
    let mut server = Running::start(folder.path(), &[]);
    let (answered, is_over) = (AtomicUsize::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    match server.try_request("POST /solve/sudoku", PUZZLE) {
                        Ok(reply) => {
                            assert_eq!(reply.status, 200, "{}", reply.body);
                            assert!(reply.json()["steps"].as_u64().unwrap() >= 1);
                            answered.fetch_add(1, Ordering::Relaxed);
                        }
                        // Refused; or turned away by the system in the very instant in which the listener closed.
                        Err(error) => {
                            let refused =
                                [ErrorKind::ConnectionRefused, ErrorKind::ConnectionReset, ErrorKind::BrokenPipe];
                            assert!(refused.contains(&error.kind()), "{error}");
                            return;
                        }
                    }
                }
            });
        }
        server.wait_for("some answers", || answered.load(Ordering::Relaxed) >= 20);
        server.signal("TERM");
        server.wait_for("the end of the listener", || server.try_request("GET /livez", "").is_err());
        is_over.store(true, Ordering::Relaxed);
    });
    let (status, log) = server.wait();
    assert!(status.success(), "{log}");
    // Each request that the server took up has an answer, and each answer has arrived.
    let taken: Vec<&str> = log.lines().filter(|line| line.contains("route=\"/solve/sudoku\"")).collect();
    assert_eq!(taken.len(), answered.load(Ordering::Relaxed), "{log}");
    assert!(taken.iter().all(|line| line.contains("status=200") && !line.contains("cut_off")), "{log}");
    assert!(log.contains("terminated: finishing what was accepted"), "{log}");
    assert!(!log.contains("otel.") && !log.contains("/readyz") && !log.contains("/livez"), "{log}");
    assert!(log.contains("every accepted request has its answer"), "{log}");
}

#[test]
fn a_request_in_flight_outlives_sigterm_and_a_second_signal_does_not_wait() {
    let folder = folder();
    let patient = ["--drain-timeout-ms", "300000", "--request-timeout-ms", "300000"];
    let mut server = Running::start(folder.path(), &patient);
    std::thread::scope(|scope| {
        let request = scope.spawn(|| {
            server.try_request(
                "POST /solve/sudoku",
                &json!({ "puzzles": vec![PUZZLE; 64], "halting": "fixed", "max_steps": 256 }).to_string(),
            )
        });
        server.wait_for("a step", || server.get("/metrics").body.contains("trm_slots_in_use{model=\"small\"} 8\n"));
        server.signal("TERM");
        let reply = request.join().unwrap().unwrap();
        assert_eq!(reply.json()["results"].as_array().unwrap().len(), 64);
        assert_eq!(reply.header("connection"), Some("close"));
    });
    assert!(server.wait().0.success());

    let mut server = Running::start(folder.path(), &patient);
    std::thread::scope(|scope| {
        let request = scope.spawn(|| server.try_request("POST /solve/sudoku", &long_request()));
        server.wait_for("a step", || server.get("/metrics").body.contains("trm_slots_in_use{model=\"small\"} 8\n"));
        server.signal("TERM");
        server.wait_for("the drain", || server.log().contains("finishing what was accepted"));
        server.signal("INT");
        assert!(request.join().unwrap().is_err());
    });
    let (status, log) = server.wait();
    assert!(status.code() == Some(1) && log.contains("interrupted again: ending at once"), "{status}: {log}");
}

#[test]
fn after_kill_9_clients_are_refused_until_the_next_start_on_the_same_port() {
    let folder = folder();
    let mut server = Running::start(folder.path(), &[]);
    assert_eq!(server.request("POST /solve/sudoku", PUZZLE).status, 200);
    let address = server.address.clone();
    std::thread::scope(|scope| {
        let request = scope.spawn(|| server.try_request("POST /solve/sudoku", &long_request()));
        server.wait_for("a step", || server.get("/metrics").body.contains("trm_slots_in_use{model=\"small\"} 8\n"));
        server.signal("KILL");
        assert!(request.join().unwrap().is_err());
    });
    assert!(!server.wait().0.success());
    // From now on every connection is refused, until one is answered: not even a word that models are being loaded.
    let (refusals, server) = std::thread::scope(|scope| {
        let clients = scope.spawn(|| {
            for refusals in 0..60_000 {
                match server.try_request("POST /solve/sudoku", PUZZLE) {
                    Ok(reply) if reply.status == 200 => return refusals,
                    Ok(reply) => panic!("{}: {}", reply.status, reply.body),
                    Err(error) if error.kind() == ErrorKind::ConnectionRefused => {}
                    Err(error) => panic!("{error}"),
                }
                std::thread::sleep(Duration::from_millis(1));
            }
            panic!("no server listened for a minute");
        });
        let next = Running::start(folder.path(), &["--bind", &address]);
        (clients.join().unwrap(), next)
    });
    assert!(refusals > 0);
    assert_eq!(server.address, address);
}

#[test]
fn an_address_in_use_is_reported_before_the_models_are_loaded() {
    let folder = folder();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (status, log) = Running::start_with(folder.path(), &["--bind", &address], &[]).wait();
    assert_eq!(status.code(), Some(1), "{log}");
    assert!(log.starts_with(&format!("error: cannot listen on {address}; choose another")), "{log}");
}

#[test]
fn sighup_brings_the_new_model_and_a_damaged_one_changes_nothing() {
    let folder = folder();
    let mut server = Running::start(folder.path(), &[]);
    let first = sha256(&server);
    assert_eq!(server.get("/info").json()["models"][0]["execution_providers"].as_object().unwrap().len(), 1);
    assert!(
        server.get("/info").json()["models"][0]["execution_providers"]["CPUExecutionProvider"].as_u64().unwrap() > 10
    );

    write_another(folder.path());
    server.signal("HUP");
    server.wait_for("the new model", || sha256(&server) != first);
    let second = sha256(&server);
    assert_eq!(server.request("POST /solve/sudoku", PUZZLE).json()["model"]["sha256"], second.as_str());
    server.wait_for("the end of the old one", || server.log().contains("the old model has answered its last request"));

    std::fs::write(folder.path().join("small/model.safetensors"), b"no weights").unwrap();
    server.signal("HUP");
    server.wait_for("the failure", || server.log().contains("nothing was reloaded: "));
    assert_eq!(sha256(&server), second);
    assert_eq!(server.request("POST /solve/sudoku", PUZZLE).json()["model"]["sha256"], second.as_str());
    assert!(server.get("/metrics").body.contains("trm_reloads_total{outcome=\"failed\"} 1\n"));

    server.signal("TERM");
    let (status, log) = server.wait();
    assert!(status.success(), "{log}");
}

#[test]
fn a_model_that_cannot_be_loaded_ends_the_program_with_a_sentence() {
    let folder = folder();
    std::fs::write(folder.path().join("small/model.safetensors"), b"no weights").unwrap();
    let mut server = Running::start_with(folder.path(), &[], &[]);
    let (status, log) = server.wait();
    assert_eq!(status.code(), Some(1), "{log}");
    assert!(!log.contains("listening"), "{log}");
    let last = log.lines().last().unwrap();
    assert!(last.starts_with("error: ") && last.contains("model.safetensors"), "{log}");
}

#[test]
fn json_logs_tell_of_every_request_and_of_no_key() {
    let folder = folder();
    let environment = [("TRM_API_KEYS", "a-very-secret-key"), ("TRM_LOG_FORMAT", "json")];
    let mut server = Running::start_with(folder.path(), &["--log", "debug"], &environment);
    let key = "authorization: Bearer a-very-secret-key";
    let reply = server.request(
        &format!("POST /solve/sudoku\n{key}\nx-request-id: job-7"),
        &json!({ "puzzles": [PUZZLE, PUZZLE] }).to_string(),
    );
    assert_eq!((reply.status, reply.header("x-request-id")), (200, Some("job-7")));
    let answer = reply.json();
    let steps: u64 =
        answer["results"].as_array().unwrap().iter().map(|result| result["total_steps"].as_u64().unwrap()).sum();
    assert_eq!(server.request("POST /solve/sudoku\nauthorization: Bearer a-wrong-secret", PUZZLE).status, 401);
    server.signal("TERM");
    let (_, log) = server.wait();
    assert!(!log.contains("secret") && !log.contains(PUZZLE), "{log}");
    let lines: Vec<Value> =
        log.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect();
    let requests: Vec<&Value> =
        lines.iter().filter(|line| line["route"] == "/solve/sudoku" && line["message"] == "answered").collect();
    assert_eq!(requests.len(), 2, "{log}");
    let [solved, refused] = [requests[0], requests[1]];
    assert_eq!((&solved["status"], &solved["puzzles"], &solved["steps"]), (&json!(200), &json!(2), &json!(steps)));
    assert_eq!(
        (&solved["method"], &solved["span"]["id"], &solved["level"]),
        (&json!("POST"), &json!("job-7"), &json!("INFO"))
    );
    assert!(solved["latency_ms"].as_f64().unwrap() > 0.0);
    assert_eq!((&refused["status"], &refused["problem"]), (&json!(401), &json!("unauthorized")));
}

/// Takes what OTLP exporters send over HTTP until a span of that name has come; gives it and its service's name.
fn collect_span(listener: &TcpListener, name: &str) -> (String, Span) {
    loop {
        let (stream, _) = listener.accept().unwrap();
        let mut reader = BufReader::new(stream);
        let mut length = 0;
        let mut head = String::new();
        while reader.read_line(&mut head).unwrap() > 2 {
            let line = head.lines().last().unwrap().to_ascii_lowercase();
            if let Some(value) = line.strip_prefix("content-length: ") {
                length = value.trim().parse().unwrap();
            }
        }
        assert!(head.starts_with("POST /v1/traces HTTP/1.1\r\n"), "{head}");
        assert!(head.to_ascii_lowercase().contains("content-type: application/x-protobuf"), "{head}");
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        let answer = ExportTraceServiceResponse::default().encode_to_vec();
        let stream = reader.get_mut();
        write!(stream, "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: application/x-protobuf\r\ncontent-length: {}\r\n\r\n", answer.len()).unwrap();
        stream.write_all(&answer).unwrap();
        for resource in ExportTraceServiceRequest::decode(body.as_slice()).unwrap().resource_spans {
            let service = text(&resource.resource.as_ref().unwrap().attributes, "service.name");
            let mut all = resource.scope_spans.into_iter().flat_map(|scope| scope.spans);
            if let Some(span) = all.find(|span| span.name == name) {
                return (service, span);
            }
        }
    }
}

fn attribute<'a>(attributes: &'a [opentelemetry_proto::tonic::common::v1::KeyValue], name: &str) -> &'a Attribute {
    let found = attributes.iter().find(|attribute| attribute.key == name);
    let value = found.unwrap_or_else(|| panic!("{name} is missing in {attributes:?}")).value.as_ref();
    value.and_then(|value| value.value.as_ref()).unwrap()
}

fn text(attributes: &[opentelemetry_proto::tonic::common::v1::KeyValue], name: &str) -> String {
    match attribute(attributes, name) {
        Attribute::StringValue(text) => text.clone(),
        other => panic!("{name}: {other:?}"),
    }
}

#[test]
fn spans_reach_a_collector_and_continue_the_client_s_trace() {
    let collector = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", collector.local_addr().unwrap());
    let folder = folder();
    let mut server = Running::start(folder.path(), &["--otlp-endpoint", &endpoint]);
    let trace = "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let reply = server.request(&format!("POST /solve/sudoku\nx-request-id: job-8\n{trace}"), PUZZLE);
    assert_eq!(reply.status, 200);
    let steps = reply.json()["total_steps"].as_i64().unwrap();
    server.signal("TERM");
    // The last spans are sent before the program ends.
    let (service, span) = collect_span(&collector, "POST /solve/sudoku");
    drop(collector);
    let (status, log) = server.wait();
    assert!(status.success(), "{log}");
    assert_eq!(service, "trm-server");
    assert_eq!(span.trace_id, 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c_u128.to_be_bytes());
    assert_eq!(span.parent_span_id, 0xb7ad_6b71_6920_3331_u64.to_be_bytes());
    assert_eq!(span.kind, 2, "a server's span");
    assert!(span.end_time_unix_nano > span.start_time_unix_nano);
    assert_eq!(text(&span.attributes, "http.route"), "/solve/sudoku");
    assert_eq!(text(&span.attributes, "http.request.method"), "POST");
    assert_eq!(text(&span.attributes, "trm.request_id"), "job-8");
    assert_eq!(attribute(&span.attributes, "http.response.status_code"), &Attribute::IntValue(200));
    assert_eq!(attribute(&span.attributes, "trm.puzzles"), &Attribute::IntValue(1));
    assert_eq!(attribute(&span.attributes, "trm.steps"), &Attribute::IntValue(steps));
}

#[test]
fn a_collector_that_is_away_holds_nothing_up() {
    let folder = folder();
    let mut server = Running::start(folder.path(), &["--otlp-endpoint", "http://127.0.0.1:9"]);
    assert_eq!(server.request("POST /solve/sudoku", PUZZLE).status, 200);
    server.signal("TERM");
    let (status, log) = server.wait();
    assert!(status.success() && log.contains("every accepted request has its answer"), "{log}");
}
