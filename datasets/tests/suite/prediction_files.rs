//! Prediction files of every form and type are read alike; broken ones are refused with the file's name and the fault.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use crate::common::fixture;
use datasets::scoring::ArcScorer;
use datasets::scoring::predictions::{PredictionFile, PredictionRows, PredictionWriter};
use datasets::store::DatasetMetadata;
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

const SEQ_LEN: usize = 16;

fn metadata() -> DatasetMetadata {
    DatasetMetadata {
        pad_id: 0,
        ignore_label_id: Some(0),
        blank_identifier_id: 0,
        vocab_size: 6,
        seq_len: SEQ_LEN,
        num_puzzle_identifiers: 40,
        total_groups: 1,
        mean_puzzle_examples: 1.0,
        total_puzzles: 1,
        sets: vec!["all".into()],
    }
}

/// 1,500 rows: more than a chunk.
fn sample() -> PredictionRows {
    let rows = 1500;
    PredictionRows {
        seq_len: SEQ_LEN,
        first_row: 0,
        inputs: (0..rows * SEQ_LEN).map(|index| (index % 5) as u8 + 1).collect(),
        preds: (0..rows * SEQ_LEN).map(|index| (index % 6) as u8).collect(),
        puzzle_identifiers: (0..rows as u32).map(|row| row % 40).collect(),
        // Halves and quarters, which every float type holds.
        q_halt_logits: (0..rows).map(|row| f64::from((row % 64) as u32) / 4.0 - 8.0).collect(),
    }
}

fn read(path: &Path) -> Result<PredictionRows, String> {
    let file = PredictionFile::open(path, &metadata()).map_err(|error| error.to_string())?;
    let mut all = PredictionRows { first_row: 0, ..rows_without(&sample()) };
    for chunk in file {
        let chunk = chunk.map_err(|error| error.to_string())?;
        assert_eq!(chunk.first_row, all.len());
        assert!(chunk.len() < 1500, "chunks are bounded");
        all.inputs.extend(chunk.inputs);
        all.preds.extend(chunk.preds);
        all.puzzle_identifiers.extend(chunk.puzzle_identifiers);
        all.q_halt_logits.extend(chunk.q_halt_logits);
    }
    Ok(all)
}

fn rows_without(rows: &PredictionRows) -> PredictionRows {
    PredictionRows {
        seq_len: rows.seq_len,
        first_row: 0,
        inputs: vec![],
        preds: vec![],
        puzzle_identifiers: vec![],
        q_halt_logits: vec![],
    }
}

/// An array as bytes: name, type, shape, data.
type Array = (&'static str, &'static str, Vec<usize>, Vec<u8>);

/// The sample with tokens, identifiers and logits in the given NumPy types.
fn arrays(tokens: &'static str, identifiers: &'static str, logits: &'static str) -> Vec<Array> {
    let rows = sample();
    let of_bytes = |values: &[u8]| encoded(tokens, values.iter().map(|&value| f64::from(value)));
    let count = rows.len();
    vec![
        ("inputs", tokens, vec![count, SEQ_LEN], of_bytes(&rows.inputs)),
        ("puzzle_identifiers", identifiers, vec![count], {
            encoded(identifiers, rows.puzzle_identifiers.iter().map(|&value| f64::from(value)))
        }),
        ("q_halt_logits", logits, vec![count, 1], encoded(logits, rows.q_halt_logits.iter().copied())),
        ("preds", tokens, vec![count, SEQ_LEN], of_bytes(&rows.preds)),
    ]
}

fn encoded(descr: &str, values: impl Iterator<Item = f64>) -> Vec<u8> {
    values
        .flat_map(|value| match descr {
            "|u1" => (value as u8).to_le_bytes().to_vec(),
            "|i1" => (value as i8).to_le_bytes().to_vec(),
            "<u2" => (value as u16).to_le_bytes().to_vec(),
            "<i2" => (value as i16).to_le_bytes().to_vec(),
            "<u4" => (value as u32).to_le_bytes().to_vec(),
            "<i4" => (value as i32).to_le_bytes().to_vec(),
            "<u8" => (value as u64).to_le_bytes().to_vec(),
            "<i8" => (value as i64).to_le_bytes().to_vec(),
            "<f2" => half::f16::from_f64(value).to_le_bytes().to_vec(),
            "bf16" => half::bf16::from_f64(value).to_le_bytes().to_vec(),
            "<f4" => (value as f32).to_le_bytes().to_vec(),
            "<f8" => value.to_le_bytes().to_vec(),
            other => panic!("{other}"),
        })
        .collect()
}

fn dtype(descr: &str) -> Dtype {
    match descr {
        "|u1" => Dtype::U8,
        "|i1" => Dtype::I8,
        "<u2" => Dtype::U16,
        "<i2" => Dtype::I16,
        "<u4" => Dtype::U32,
        "<i4" => Dtype::I32,
        "<u8" => Dtype::U64,
        "<i8" => Dtype::I64,
        "<f2" => Dtype::F16,
        "bf16" => Dtype::BF16,
        "<f4" => Dtype::F32,
        _ => Dtype::F64,
    }
}

fn write_safetensors(path: &Path, arrays: &[Array]) {
    let views = arrays.iter().map(|(name, descr, shape, data)| {
        (name.to_string(), TensorView::new(dtype(descr), shape.clone(), data).expect("bytes for the shape"))
    });
    fs::write(path, safetensors::serialize(views, None).expect("serializable")).expect("written");
}

fn npy_bytes((_, descr, shape, data): &Array) -> Vec<u8> {
    let shape: Vec<String> = shape.iter().map(ToString::to_string).collect();
    let header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({},), }}\n", shape.join(", "));
    [&b"\x93NUMPY\x01\x00"[..], &(header.len() as u16).to_le_bytes(), header.as_bytes(), data].concat()
}

fn write_npy_folder(path: &Path, arrays: &[Array]) {
    fs::create_dir(path).expect("a folder");
    for array in arrays {
        fs::write(path.join(format!("{}.npy", array.0)), npy_bytes(array)).expect("written");
    }
}

fn write_npz(path: &Path, arrays: &[Array], compression: CompressionMethod) {
    let mut archive = ZipWriter::new(File::create(path).expect("a new file"));
    for array in arrays {
        let options = SimpleFileOptions::default().compression_method(compression);
        archive.start_file(format!("{}.npy", array.0), options).expect("a new member");
        archive.write_all(&npy_bytes(array)).expect("written");
    }
    archive.finish().expect("complete");
}

#[test]
fn every_form_and_every_type_gives_the_same_rows() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let expected = sample();
    let path = folder.path().join("ours.safetensors");
    let mut writer = PredictionWriter::create(&path, expected.len(), SEQ_LEN, 1).expect("a new file");
    writer.append(&expected).expect("written");
    writer.finish().expect("complete");
    assert!(read(&path).expect("our own file") == expected);

    let types = ["|u1", "|i1", "<u2", "<i2", "<u4", "<i4", "<u8", "<i8"];
    let floats = ["<f2", "bf16", "<f4", "<f8", "<f4", "<f8", "<f4", "<f2"];
    for (index, (integer, float)) in types.into_iter().zip(floats).enumerate() {
        let arrays = arrays(integer, types[types.len() - 1 - index], float);
        let path = folder.path().join(format!("{index}.safetensors"));
        write_safetensors(&path, &arrays);
        assert!(read(&path).expect("safetensors") == expected, "{integer} {float}");
        if float == "bf16" {
            continue;
        }
        let path = folder.path().join(format!("{index}_npy"));
        write_npy_folder(&path, &arrays);
        assert!(read(&path).expect("a folder") == expected, "{integer} {float}");
        for (name, compression) in [("plain", CompressionMethod::Stored), ("deflated", CompressionMethod::Deflated)] {
            let path = folder.path().join(format!("{index}_{name}.npz"));
            write_npz(&path, &arrays, compression);
            assert!(read(&path).expect("an archive") == expected, "{integer} {float} {name}");
        }
    }
}

#[test]
fn broken_files_are_refused_with_their_name_and_fault() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("bad.safetensors");
    let refuse = |says: &[&str]| {
        let message = read(&path).expect_err("a broken file");
        assert!(message.contains("bad.safetensors"), "{message}");
        for says in says {
            assert!(message.contains(says), "{message:?} does not say {says:?}");
        }
    };
    let good = || arrays("|u1", "<i4", "<f4");
    let spoiled = |spoil: &dyn Fn(&mut Vec<Array>)| {
        let mut arrays = good();
        spoil(&mut arrays);
        write_safetensors(&path, &arrays);
    };

    spoiled(&|arrays| drop(arrays.pop()));
    refuse(&["preds is missing", "found only "]);
    spoiled(&|arrays| arrays[0].2 = vec![500, 48]);
    refuse(&["inputs of shape [rows, 16], the dataset's seq_len", "found shape [500, 48]"]);
    spoiled(&|arrays| {
        arrays[1].2 = vec![1499];
        arrays[1].3.truncate(4 * 1499);
    });
    refuse(&["puzzle_identifiers of 1500 rows as in inputs", "found 1499 rows"]);
    spoiled(&|arrays| arrays[1].3[4 * 1200..][..4].copy_from_slice(&40_i32.to_le_bytes()));
    refuse(&["puzzle_identifiers below the dataset's num_puzzle_identifiers 40", "found 40 in row 1200"]);
    spoiled(&|arrays| arrays[1].3[4 * 3..][..4].copy_from_slice(&(-1_i32).to_le_bytes()));
    refuse(&["found -1 in row 3"]);
    spoiled(&|arrays| arrays[2].3[4 * 1100..][..4].copy_from_slice(&f32::NAN.to_le_bytes()));
    refuse(&["numbers in q_halt_logits", "found NaN in row 1100"]);
    spoiled(&|arrays| arrays[3].3[16 * 1030 + 5] = 6);
    refuse(&["preds below vocab_size 6", "found 6 in row 1030, column 5"]);
    spoiled(&|arrays| {
        let (_, descr, _, data) = &mut arrays[3];
        *descr = "<f4";
        *data = encoded("<f4", sample().preds.iter().map(|&token| f64::from(token)));
    });
    refuse(&["preds of integers", "found F32"]);

    write_safetensors(&path, &good());
    let whole = fs::read(&path).expect("readable");
    fs::write(&path, &whole[..whole.len() - 1]).expect("written");
    refuse(&["bytes as its header says", &format!("a file of {} bytes", whole.len() - 1)]);
    fs::write(&path, &whole[..100]).expect("written");
    refuse(&["a safetensors header"]);
    fs::write(&path, b"\xff\xff\xff\xff\xff\xff\xff\x7f{").expect("written");
    refuse(&["header of at most 1048576 bytes", "found 9223372036854775807 bytes"]);
    fs::write(&path, b"not predictions").expect("written");
    refuse(&["safetensors, .npz or a folder of .npy files", "starts with"]);
    fs::write(&path, b"").expect("written");
    refuse(&["starts with []"]);
    fs::write(&path, header_of_gigantic_shape()).expect("written");
    refuse(&["a safetensors header"]);
}

/// A header whose shape times element size overflows.
fn header_of_gigantic_shape() -> Vec<u8> {
    let json = br#"{"inputs":{"dtype":"I64","shape":[4611686018427387904,16],"data_offsets":[0,8]}}"#;
    [&(json.len() as u64).to_le_bytes()[..], json, &[0; 8]].concat()
}

#[test]
fn broken_archives_are_refused() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("bad.npz");
    let refuse = |says: &str| {
        let message = read(&path).expect_err("a broken file");
        assert!(message.contains("bad.npz") && message.contains(says), "{message:?} does not say {says:?}");
    };
    let good = arrays("|u1", "<i4", "<f4");
    write_npz(&path, &good, CompressionMethod::Stored);
    let mut bytes = fs::read(&path).expect("readable");
    // A cell in the middle of the inputs, which nothing but the checksum can notice.
    let place = 15_000;
    bytes[place] = if bytes[place] == 1 { 2 } else { 1 };
    fs::write(&path, &bytes).expect("written");
    refuse("checksum");

    write_npz(&path, &good[..3], CompressionMethod::Deflated);
    refuse("preds is missing");
    let mut wrong = good.clone();
    wrong[0].2 = vec![3000, SEQ_LEN];
    write_npz(&path, &wrong, CompressionMethod::Deflated);
    refuse("bytes of inputs for shape [3000, 16]");
    wrong[0] = ("inputs", ">i4", vec![1500, SEQ_LEN], good[0].3.repeat(4));
    write_npz(&path, &wrong, CompressionMethod::Deflated);
    refuse("inputs of little-endian numbers, found dtype \">i4\"");
    fs::write(&path, b"PK\x03\x04 and nothing more").expect("written");
    refuse("a zip archive");

    let mut archive = ZipWriter::new(File::create(&path).expect("a new file"));
    archive.start_file("step_7_all_preds/data.pkl", SimpleFileOptions::default()).expect("a new member");
    archive.write_all(b"\x80\x02}q\x00.").expect("written");
    archive.finish().expect("complete");
    refuse("found a torch.save file");

    write_npy_folder(&folder.path().join("arrays"), &good);
    fs::remove_file(folder.path().join("arrays/q_halt_logits.npy")).expect("there");
    let message = read(&folder.path().join("arrays")).expect_err("an array is missing");
    assert!(message.contains("q_halt_logits.npy"), "{message}");
}

#[test]
fn a_file_appears_whole_or_not_at_all() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("new.safetensors");
    let rows = sample();
    let mut writer = PredictionWriter::create(&path, rows.len() + 1, SEQ_LEN, 8).expect("a new file");
    writer.append(&rows).expect("written");
    let error = writer.append(&rows).expect_err("one row is left").to_string();
    assert!(error.contains("expected 1501 rows of predictions, found 3000"), "{error}");
    assert!(!path.exists());
    let error = writer.finish().expect_err("a row is missing").to_string();
    assert!(error.contains("expected 1501 rows of predictions, found 1500"), "{error}");
    assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 0, "nothing is left behind");

    let mut writer = PredictionWriter::create(&path, rows.len(), SEQ_LEN, 8).expect("a new file");
    writer.append(&rows).expect("written");
    writer.finish().expect("complete");
    let file = PredictionFile::open(&path, &metadata()).expect("our own file");
    assert_eq!((file.rows(), file.source().augmentations), (1500, 8));
}

#[test]
fn arc_datasets_say_what_they_lack() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let copy = folder.path().join("arc");
    crate::common::copy_folder(&fixture("arc_aug8"), &copy);
    let refuse = |says: &[&str]| {
        let message = ArcScorer::open(&copy).expect_err("a broken dataset").to_string();
        for says in says {
            assert!(message.contains(says), "{message:?} does not say {says:?}");
        }
    };
    let puzzles = fs::read(copy.join("test_puzzles.json")).expect("readable");
    let names = fs::read_to_string(copy.join("identifiers.json")).expect("readable");
    let spoil = |file: &str, content: &str| fs::write(copy.join(file), content).expect("written");

    fs::remove_file(copy.join("test_puzzles.json")).expect("there");
    refuse(&["test_puzzles.json: expected the answers to vote on", "found no such file"]);
    for (content, says) in [
        ("{}", "at least one task"),
        ("[]", "an object with a task per key"),
        (r#"{"a": {"train": [{"input": [[1]], "output": [[1]]}], "test": []}}"#, "at least one test pair"),
        (r#"{"a": {"train": [{"input": [[1]], "output": [[1]]}], "test": [{"input": [[1]]}]}}"#, "found 1 without"),
        (r#"{"a": {"train": [{"input": [[1]], "output": [[10]]}], "test": []}}"#, "task \"a\""),
    ] {
        spoil("test_puzzles.json", content);
        refuse(&["test_puzzles.json", says]);
    }
    fs::write(copy.join("test_puzzles.json"), &puzzles).expect("written");
    for (content, says) in [
        (names.replacen("|||t6|||0126458973", "|||t9|||0126458973", 1), "puzzle name \"syn00a02|||t9|||0126458973\""),
        (names.replacen(", \"syn00a02\"", "", 1), "expected num_puzzle_identifiers 111 names, found 110"),
        ("{}".to_owned(), "an array of puzzle names"),
        (format!("[\"{}\"]", "a".repeat(100_000)), "JSON of at most 32512 bytes"),
    ] {
        spoil("identifiers.json", &content);
        refuse(&["identifiers.json", says]);
    }
    spoil("identifiers.json", &names);
    ArcScorer::open(&copy).expect("all is well again");
    let message = ArcScorer::open(&fixture("sudoku_plain")).expect_err("no ARC").to_string();
    assert!(message.contains("expected an ARC dataset (vocab_size 12, seq_len 900), found vocab_size 11"), "{message}");
}
