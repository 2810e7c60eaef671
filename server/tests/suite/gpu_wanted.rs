//! `--require-cuda`: on a machine without a GPU the server ends with a sentence, and never serves from the processor.

#[cfg(not(feature = "cuda"))]
use std::process::{Command, Output};

use clap::Parser;
use datasets::sudoku::SudokuShape;
use exporter::runtime::Provider;
use server::config::ServerArgs;

use crate::random_checkpoint::write_random;

fn provider(arguments: &[&str]) -> Provider {
    let folder = tempfile::tempdir().unwrap();
    let checkpoint = write_random(folder.path(), "random", SudokuShape::FOUR);
    let typed = ["server", "--checkpoint", checkpoint.to_str().unwrap()];
    ServerArgs::parse_from(typed.iter().chain(arguments)).resolve().unwrap().session.provider
}

#[test]
fn the_flag_asks_for_the_named_gpu_or_the_first() {
    assert_eq!(provider(&[]), Provider::Cpu);
    assert_eq!(provider(&["--require-cuda"]), Provider::Cuda { device: 0 });
    assert_eq!(provider(&["--require-cuda", "--cuda-device", "3"]), Provider::Cuda { device: 3 });
    assert_eq!(provider(&["--cuda-device", "1"]), Provider::Cuda { device: 1 });
}

#[cfg(not(feature = "cuda"))]
#[test]
fn without_a_gpu_the_server_ends_instead_of_falling_back() {
    let folder = tempfile::tempdir().unwrap();
    write_random(folder.path(), "sudoku-4x4", SudokuShape::FOUR);
    // No machine has this address: a server that gets so far ends there.
    let run = |arguments: &[&str], variable: &str| -> Output {
        Command::new(env!("CARGO_BIN_EXE_server"))
            .args(["--models-dir", folder.path().to_str().unwrap()])
            .args(["--bind", "192.0.2.1:1"])
            .args(arguments)
            .env("TRM_REQUIRE_CUDA", variable)
            .output()
            .unwrap()
    };
    for (arguments, variable) in [(&["--require-cuda"][..], ""), (&[], "true"), (&[], "1")] {
        let output = run(arguments, variable);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{said}");
        let last = said.lines().last().unwrap();
        assert!(last.starts_with("error: execution provider CUDA: device 0 was asked for"), "{said}");
        assert!(last.contains("build it with `--features cuda`") && !said.contains("cannot listen"), "{said}");
    }
    // Set to nothing or to `false`, the variable asks for nothing: the server comes as far as its address.
    for variable in ["", "false", "0"] {
        let output = run(&[], variable);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains("cannot listen on 192.0.2.1:1"), "TRM_REQUIRE_CUDA={variable}: {said}");
    }
}
