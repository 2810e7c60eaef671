//! What only the first sessions of a process can show, hence a program of its own.

#![allow(clippy::unwrap_used, reason = "a panic is a failed test")]

mod common;

use std::sync::Barrier;

use common::{Case, case_names};
use exporter::runtime::{self, SessionOptions};
use exporter::{ExportOptions, Flavor, GraphKind, Precision, export};

const THREADS: usize = 16;

/// A server loads its models side by side, and each is the first that ONNX Runtime hears of our operators from.
#[test]
fn the_first_sessions_of_a_process_may_be_opened_at_once() {
    let case = Case::load(&case_names()[0]);
    let options =
        ExportOptions { graph: GraphKind::Step, flavor: Flavor::Portable, precision: Precision::Float32, logits: true };
    let bytes = export(&case.checkpoint, &options).unwrap().bytes;
    runtime::load().unwrap();
    let start = Barrier::new(THREADS);
    std::thread::scope(|scope| {
        let open = || {
            start.wait();
            runtime::open_bytes(&bytes, &SessionOptions { threads: 1, ..SessionOptions::default() }).map(drop)
        };
        let opened: Vec<_> = (0..THREADS).map(|_| scope.spawn(open)).collect();
        for thread in opened {
            thread.join().unwrap().unwrap();
        }
    });
}
