//! A file of `torch.save` with a puzzle table of ARC's size is imported through a small buffer.
//! A test program of its own, since it looks at the memory of its process.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

#[allow(dead_code, reason = "shared with tests that use other parts")]
#[path = "common/torch_save.rs"]
mod torch_save;

use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};

use models::checkpoint::{Dtype, WEIGHTS_FILE, WeightFile, WeightsKind};
use models::import::{Hints, infer, write_imported};
use models::{ArchitectureConfig, Checkpoint, ModelDims, TrmConfig};
use torch_save::StateDict;

/// ARC's number of puzzles at the width that keeps the test's file at an eighth of its 1.8 GB.
const ROWS: usize = 876_406;
const WIDTH: usize = 64;
/// The table alone takes 214 MiB.
const MOST_BYTES: usize = 100 << 20;

#[test]
fn a_large_table_passes_through_a_small_buffer() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("step_1");
    let arch = ArchitectureConfig::Trm(TrmConfig {
        hidden_size: WIDTH,
        L_layers: 1,
        puzzle_emb_ndim: WIDTH,
        ..TrmConfig::default()
    });
    let dims = ModelDims { vocab_size: 12, seq_len: 900, num_puzzle_identifiers: ROWS, sizes: None };
    let mut dict = StateDict::default();
    for spec in arch.parameter_specs(&dims).unwrap() {
        // The table's own bytes are put into the file below, as a hole that takes no disk.
        let stored = if spec.shape[0] == ROWS { 0 } else { spec.shape.iter().product() };
        let dtype = if spec.name.ends_with("_init") { Dtype::BF16 } else { Dtype::F32 };
        let bytes = if dtype == Dtype::BF16 { 2 } else { 4 };
        dict.add(&spec.name, dtype, &spec.shape, vec![0; stored * bytes]);
    }
    write_with_hole(&dict, &path);

    let file = WeightFile::open(&path).unwrap();
    let found = infer(&file, &Hints::default()).unwrap();
    assert_eq!((found.dims, found.task.as_str()), (dims, "arc"));
    let out = folder.path().join("out");
    write_imported(&file, &found, "x", (WeightsKind::Ema, "", 0), false, &out).unwrap();
    let peak = peak_memory();
    assert!(peak < MOST_BYTES, "the process took {} MB", peak >> 20);

    let checkpoint = Checkpoint::open(&out).unwrap();
    let table = checkpoint.puzzle_table().unwrap().clone();
    let row = checkpoint.rows(&table, &[ROWS - 1]).unwrap();
    assert_eq!((row.len(), row[WIDTH - 1]), (WIDTH, 3.0));
    assert!(fs::metadata(out.join(WEIGHTS_FILE)).unwrap().len() > (ROWS * WIDTH * 4) as u64);
}

/// Writes the archive with the table's storage as a hole, but for its last element, which is 3.
fn write_with_hole(dict: &StateDict, path: &std::path::Path) {
    let key = dict.views.iter().position(|view| view.shape[0] == ROWS).unwrap();
    let mut pickle = dict.pickle();
    // The dict was made with an empty storage: its length in the pickle is zero.
    let mut empty = Vec::new();
    torch_save::text(&mut empty, &key.to_string());
    torch_save::text(&mut empty, "cpu");
    let mut full = empty.clone();
    torch_save::integer(&mut empty, 0);
    torch_save::integer(&mut full, ROWS * WIDTH);
    let place = pickle.windows(empty.len()).position(|window| window == empty).unwrap();
    pickle.splice(place..place + empty.len(), full);

    let mut file = File::create(path).unwrap();
    let mut directory = Vec::new();
    let mut offset = 0_u32;
    let mut entry = |name: String, bytes: &[u8], hole: u32| {
        let size = bytes.len() as u32 + hole;
        let fields = |out: &mut Vec<u8>| {
            // Version, flags, method 0, time and date, no checksum, both sizes, length of the name.
            out.extend([20, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
            out.extend(0_u32.to_le_bytes());
            out.extend([size.to_le_bytes(), size.to_le_bytes()].concat());
            out.extend((name.len() as u16).to_le_bytes());
            out.extend([0, 0]);
        };
        let mut local = b"PK\x03\x04".to_vec();
        fields(&mut local);
        local.extend(name.bytes());
        directory.extend(b"PK\x01\x02\x14\x00");
        fields(&mut directory);
        directory.extend([0; 10]);
        directory.extend(offset.to_le_bytes());
        directory.extend(name.bytes());
        file.seek(SeekFrom::Start(u64::from(offset))).unwrap();
        file.write_all(&local).unwrap();
        file.seek(SeekFrom::Current(i64::from(hole))).unwrap();
        file.write_all(bytes).unwrap();
        offset += local.len() as u32 + size;
    };
    entry("step_1/data.pkl".into(), &pickle, 0);
    for (index, storage) in dict.storages.iter().enumerate() {
        let name = format!("step_1/data/{index}");
        if index == key {
            entry(name, &3_f32.to_le_bytes(), (ROWS * WIDTH * 4) as u32 - 4);
        } else {
            entry(name, &storage.bytes, 0);
        }
    }
    let count = (dict.storages.len() + 1) as u16;
    let length = directory.len() as u32;
    let mut end = b"PK\x05\x06\x00\x00\x00\x00".to_vec();
    end.extend([count.to_le_bytes(), count.to_le_bytes()].concat());
    end.extend([length.to_le_bytes(), offset.to_le_bytes()].concat());
    end.extend([0, 0]);
    file.seek(SeekFrom::Start(u64::from(offset))).unwrap();
    file.write_all(&[directory, end].concat()).unwrap();
}

/// Largest resident set of this process so far, mapped pages included.
fn peak_memory() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() << 10
}
