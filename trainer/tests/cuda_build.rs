//! The build against a libtorch with CUDA, on a machine without a GPU: `cargo xtask test --torch-cuda` runs it.
#![cfg(feature = "cuda")]
#![allow(clippy::unwrap_used, reason = "a panic is a failed test")]

mod process;

use std::process::Command;

use process::{refuse, succeed, tiny};
use tempfile::TempDir;

#[test]
fn the_program_is_linked_to_cuda_and_nccl() {
    let output = Command::new("ldd").arg(env!("CARGO_BIN_EXE_trainer")).output().unwrap();
    let loaded = String::from_utf8(output.stdout).unwrap();
    for library in ["libtorch_cuda.so", "libc10_cuda.so", "libnccl.so"] {
        let line = loaded.lines().find(|line| line.contains(library)).unwrap_or_else(|| panic!("{library}: {loaded}"));
        assert!(!line.contains("not found"), "{line}");
    }
}

#[test]
fn it_trains_on_the_processor() {
    let folder = TempDir::new().unwrap();
    let mut settings = vec!["pretrain".to_owned(), "device=cpu".to_owned(), "checkpoint_path=run".to_owned()];
    settings.extend(tiny(20));
    succeed(folder.path(), &settings);
    assert!(folder.path().join("run/step_20/model.safetensors").is_file());
}

#[test]
fn a_gpu_that_is_not_there_is_refused_in_a_sentence() {
    if tch::Cuda::is_available() {
        return;
    }
    let folder = TempDir::new().unwrap();
    let mut settings = vec!["pretrain".to_owned(), "device=cuda".to_owned()];
    settings.extend(tiny(1));
    let said = refuse(folder.path(), &settings);
    assert!(said.contains("libtorch sees no CUDA device"), "{said}");
}
