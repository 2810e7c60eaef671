//! A puzzle table of ARC's size (1.8 GB) is never in memory: rows, hash and mean come out of the file.
//! A test program of its own, since it looks at the memory of its process.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::fs::{self, OpenOptions};
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use models::checkpoint::{PlannedTensor, PuzzleEmbeddings, WEIGHTS_FILE, WeightFile, stream_tensors, write_folder};
use models::{ArchitectureConfig, Checkpoint, ForwardDtype, Manifest, ModelDims, TrmConfig};
use sha2::{Digest, Sha256};

const ROWS: usize = 876_406;
const WIDTH: usize = 512;
/// What a process that holds a few rows and a piece of a megabyte stays below.
const MOST_BYTES: usize = 100 << 20;

#[test]
fn the_table_of_arc_stays_in_its_file() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path().join("arc");
    let dims = ModelDims { vocab_size: 12, seq_len: 900, num_puzzle_identifiers: ROWS, sizes: None };
    let arch = ArchitectureConfig::Trm(TrmConfig { L_layers: 1, ..TrmConfig::default() });
    sparse_checkpoint(&folder, &Manifest::new(arch, dims, "arc"));

    let checkpoint = Arc::new(Checkpoint::open(&folder).unwrap());
    let embeddings = PuzzleEmbeddings::of(Arc::clone(&checkpoint)).unwrap();
    let rows = embeddings.rows(&[ROWS - 1, 17]).unwrap();
    assert_eq!(rows.len(), 2 * 16 * WIDTH);
    assert_eq!((rows[0], rows[WIDTH - 1], rows[WIDTH]), (3.0, 0.0, 0.0));
    assert_eq!((rows[16 * WIDTH], rows[17 * WIDTH - 1]), (0.0, 0.0));

    let mean = checkpoint.resize_puzzle_table(1).unwrap().unwrap().table();
    assert_eq!((mean[0], mean[1]), ((3.0 / ROWS as f64) as f32, 0.0));

    let mut digest = Sha256::new();
    let (mut file, mut buffer) = (fs::File::open(folder.join(WEIGHTS_FILE)).unwrap(), vec![0; 1 << 16]);
    loop {
        let count = file.read(&mut buffer).unwrap();
        if count == 0 {
            break;
        }
        digest.update(&buffer[..count]);
    }
    let expected = digest.finalize().iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
    assert_eq!(checkpoint.sha256().unwrap(), expected);

    let peak = peak_memory();
    assert!(peak < MOST_BYTES, "the process took {} MB", peak >> 20);
}

/// Writes the checkpoint with a table of one row, then gives the table its other rows as a hole in the file, which takes
/// no disk. Only its last row is not zero: it begins with 3.
fn sparse_checkpoint(folder: &std::path::Path, manifest: &Manifest) {
    let plan = |spec: models::ParameterSpec| PlannedTensor {
        name: spec.name,
        dtype: ForwardDtype::Float32,
        shape: spec.shape,
    };
    let specs = manifest.arch.parameter_specs(&manifest.dims).unwrap();
    let (table, others): (Vec<_>, Vec<_>) = specs.into_iter().map(plan).partition(|p| p.name.contains("puzzle_emb"));
    write_folder(folder, manifest, |staging| {
        let path = staging.join(WEIGHTS_FILE);
        stream_tensors(&path, others, |tensor, sink| sink.put(&vec![0.5; tensor.shape.iter().product()]))?;
        let bytes = fs::read(&path).unwrap();
        let header_len = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        let data = &bytes[8 + header_len..];
        let entry = serde_json::json!({
            "dtype": "F32",
            "shape": table[0].shape,
            "data_offsets": [data.len(), data.len() + ROWS * WIDTH * 4],
        });
        let mut header: serde_json::Value = serde_json::from_slice(&bytes[8..8 + header_len]).unwrap();
        header[&table[0].name] = entry;
        let mut header = serde_json::to_vec(&header).unwrap();
        header.resize(header.len().next_multiple_of(8), b' ');
        fs::write(&path, [&(header.len() as u64).to_le_bytes()[..], &header, data].concat()).unwrap();
        let file = OpenOptions::new().write(true).open(&path).unwrap();
        let len = (8 + header.len() + data.len() + ROWS * WIDTH * 4) as u64;
        file.set_len(len).unwrap();
        file.write_all_at(&3.0_f32.to_le_bytes(), len - (WIDTH * 4) as u64).unwrap();
        WeightFile::open(&path).map(drop)
    })
    .unwrap();
}

/// Largest resident set of this process so far, mapped pages included.
fn peak_memory() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() << 10
}
