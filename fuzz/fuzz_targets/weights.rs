//! Any bytes as a file of weights, safetensors above all: opened, understood as a model, and read as that model.

#![no_main]

use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use models::checkpoint::WeightFile;
use models::import::{Hints, infer};

/// Elements that are read, so that an input costs microseconds.
const MAX_ELEMENTS: usize = 1 << 14;

static FILE: LazyLock<PathBuf> =
    LazyLock::new(|| std::env::temp_dir().join(format!("fuzz-weights-{}", std::process::id())));

fuzz_target!(|bytes: &[u8]| {
    // A new file each time: the one before may still be mapped.
    let _ = fs::remove_file(&*FILE);
    fs::write(&*FILE, bytes).expect("the temporary folder is writable");
    let Ok(file) = WeightFile::open(&FILE) else { return };
    for (name, shape) in file.tensors() {
        if shape.iter().product::<usize>() <= MAX_ELEMENTS {
            let _ = file.values(name);
            let _ = file.rows(name, &[0]);
        }
    }
    if let Ok(found) = infer(&file, &Hints::default()) {
        assert!(found.arch.validate(&found.dims).is_ok());
        // What was inferred from shapes asks for those shapes again, or says what is missing.
        for spec in found.arch.parameter_specs(&found.dims).expect("a valid config") {
            let _ = file.check(&spec);
        }
    }
});
