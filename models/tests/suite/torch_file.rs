//! Files of `torch.save`: every layout and type that a state dict may have, and everything that a file may have wrong.

use std::path::PathBuf;

use crate::torch_save::{StateDict, archive, integer, text};
use half::{bf16, f16};
use models::checkpoint::{Dtype, WeightFile, WeightFormat};
use models::torch_file::{self, TorchFileError};
use tempfile::TempDir;

fn written(bytes: &[u8]) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("step_1");
    std::fs::write(&path, bytes).unwrap();
    (folder, path)
}

fn floats(values: impl IntoIterator<Item = f32>) -> Vec<u8> {
    values.into_iter().flat_map(f32::to_le_bytes).collect()
}

/// 0, 1, 2, … as float32.
fn ramp(count: u16) -> Vec<u8> {
    floats((0..count).map(f32::from))
}

fn one_tensor() -> StateDict {
    let mut dict = StateDict::default();
    dict.add("_orig_mod.model.inner.H_init", Dtype::F32, &[2, 3], ramp(6));
    dict
}

fn refusal(bytes: &[u8]) -> String {
    let (_folder, path) = written(bytes);
    let message = WeightFile::open(&path).unwrap_err().to_string();
    assert!(message.starts_with(path.to_str().unwrap()), "{message}");
    message
}

#[test]
fn every_type_is_read_as_it_is_stored() {
    let mut dict = StateDict::default();
    dict.add("f32", Dtype::F32, &[2], floats([1.5, -3.25]));
    dict.add("bf16", Dtype::BF16, &[2], [1.5, -3.25].map(bf16::from_f32).map(bf16::to_le_bytes).concat());
    dict.add("f16", Dtype::F16, &[2], [1.5, -3.25].map(f16::from_f32).map(f16::to_le_bytes).concat());
    dict.add("f64", Dtype::F64, &[2], [1.5f64, -3.25].map(f64::to_le_bytes).concat());
    dict.add("steps", Dtype::I64, &[], 7_i64.to_le_bytes().to_vec());
    dict.add("mask", Dtype::BOOL, &[3], vec![1, 0, 1]);
    let (_folder, path) = written(&dict.file("step_1"));
    let file = WeightFile::open(&path).unwrap();
    assert_eq!(file.format(), WeightFormat::Torch);
    for name in ["f32", "bf16", "f16", "f64"] {
        assert_eq!(file.values(name).unwrap(), [1.5, -3.25], "{name}");
    }
    let (dtype, shape, bytes) = file.raw("steps").unwrap();
    assert_eq!((dtype, shape, &*bytes), (Dtype::I64, &[][..], &7_i64.to_le_bytes()[..]));
    let message = file.values("mask").unwrap_err().to_string();
    assert!(message.contains("tensor `mask` has dtype BOOL"), "{message}");
}

#[test]
fn views_of_one_storage_are_gathered_in_row_major_order() {
    let mut dict = one_tensor();
    dict.add("whole", Dtype::F32, &[3, 4], ramp(12));
    dict.view("transposed", 0, &[4, 3], &[1, 4]);
    dict.view("column", 2, &[3], &[4]);
    dict.view("steps", 1, &[2, 2], &[8, 2]);
    dict.view("repeated", 4, &[2, 2], &[0, 1]);
    dict.view("scalar", 11, &[], &[]);
    dict.view("empty", 12, &[0, 4], &[4, 1]);
    let (_folder, path) = written(&dict.file("archive"));
    let file = WeightFile::open(&path).unwrap();
    let expected: [(&str, &[f32]); 7] = [
        ("whole", &[0., 1., 2., 3., 4., 5., 6., 7., 8., 9., 10., 11.]),
        ("transposed", &[0., 4., 8., 1., 5., 9., 2., 6., 10., 3., 7., 11.]),
        ("column", &[2., 6., 10.]),
        ("steps", &[1., 3., 9., 11.]),
        ("repeated", &[4., 5., 4., 5.]),
        ("scalar", &[11.]),
        ("empty", &[]),
    ];
    for (name, values) in expected {
        assert_eq!(file.values(name).unwrap(), values, "{name}");
        let mut pieces = Vec::new();
        file.for_each_piece(name, |piece| {
            pieces.extend_from_slice(piece);
            Ok(())
        })
        .unwrap();
        assert_eq!(pieces, values, "{name}, in pieces");
    }
    assert_eq!(file.rows("transposed", &[3, 1]).unwrap(), [3., 7., 11., 1., 5., 9.]);
    assert!(file.rows("transposed", &[4]).unwrap_err().to_string().contains("rows 0 to 3, row 4"));
}

#[test]
fn prefixes_of_wrappers_fall_off_in_any_order_and_number() {
    let mut dict = StateDict::default();
    for (index, prefix) in ["_orig_mod.model.", "module._orig_mod.", "model.module.module.", ""].iter().enumerate() {
        dict.add(&format!("{prefix}inner.t{index}"), Dtype::F32, &[1], ramp(1));
    }
    let (_folder, path) = written(&dict.file("step_1"));
    let file = WeightFile::open(&path).unwrap();
    let names: Vec<_> = file.tensors().map(|(name, _)| name).collect();
    assert_eq!(names, ["inner.t0", "inner.t1", "inner.t2", "inner.t3"]);

    dict.add("module.inner.t0", Dtype::F32, &[1], ramp(1));
    assert!(refusal(&dict.file("step_1")).contains("two tensors for `inner.t0`"));
}

#[test]
fn a_state_dict_inside_a_training_checkpoint_is_found_or_asked_for() {
    let dict = one_tensor();
    let (_folder, path) = written(&archive("run", &dict.pickle_under(&["model"]), &dict.storages));
    assert_eq!(WeightFile::open(&path).unwrap().tensors().count(), 1);

    let (_folder, path) = written(&archive("run", &dict.pickle_under(&["ema", "model"]), &dict.storages));
    let message = WeightFile::open(&path).unwrap_err().to_string();
    assert!(message.contains(r#"several state dicts ("ema", "model"); say which one with --state-dict"#), "{message}");
    let file = WeightFile::open_state_dict(&path, Some("ema")).unwrap();
    assert_eq!(file.values("inner.H_init").unwrap().len(), 6);
    let message = WeightFile::open_state_dict(&path, Some("best")).unwrap_err().to_string();
    assert!(message.contains(r#"no state dict "best", but "ema", "model""#), "{message}");
}

#[test]
fn nothing_is_executed_and_no_model_is_made_of_what_is_not_known() {
    let call = |module: &str, name: &str| {
        let mut pickle = vec![0x80, 2];
        pickle.extend(format!("c{module}\n{name}\n").bytes());
        text(&mut pickle, "touch /tmp/executed");
        pickle.extend(b"\x85R.");
        refusal(&archive("step_1", &pickle, &[]))
    };
    for (module, name) in [("os", "system"), ("builtins", "eval"), ("torch", "load"), ("pickle", "loads")] {
        let message = call(module, name);
        assert!(message.contains(&format!("refer to \"{module}.{name}\" in Python")), "{message}");
    }
    // By STACK_GLOBAL too, and by INST and OBJ, which no list of globals would see.
    let mut pickle = vec![0x80, 4];
    text(&mut pickle, "posix");
    text(&mut pickle, "system");
    pickle.extend(b"\x93.");
    assert!(refusal(&archive("step_1", &pickle, &[])).contains("posix.system"));
    for (code, name) in [(b'i', "INST"), (b'o', "OBJ"), (0x82, "EXT1"), (b'P', "PERSID"), (b'2', "DUP")] {
        let message = refusal(&archive("step_1", &[0x80, 2, b'(', code, b'.'], &[]));
        assert!(message.contains(&format!("opcode {code:#04x} at byte 3")), "{name}: {message}");
    }
    // A pickle that is text inside a pickle stays text.
    let mut pickle = vec![0x80, 2, b'}'];
    text(&mut pickle, "inner");
    text(&mut pickle, "cos\nsystem\n(S'true'\ntR.");
    pickle.extend(b"s.");
    assert!(refusal(&archive("step_1", &pickle, &[])).contains("holds no tensors"));
}

/// A training checkpoint whose first entries are what `beside` pickles, followed by a state dict under `model`.
fn checkpoint_with(beside: &[u8]) -> Vec<u8> {
    let dict = one_tensor();
    let pickle = dict.pickle_under(&["model"]);
    let place = pickle.iter().position(|&byte| byte == b'}').unwrap();
    let mut whole = pickle[..=place].to_vec();
    text(&mut whole, "beside");
    whole.extend(beside);
    whole.push(b's');
    whole.extend(&pickle[place + 1..]);
    archive("run", &whole, &dict.storages)
}

/// Configs, paths, random states and seeds lie beside the weights of many runs.
#[test]
fn objects_of_other_classes_beside_the_weights_are_named_and_left_alone() {
    let class = "cmy.config\nConfig\n";
    let cases: [(&str, Vec<u8>, &[&str]); 9] = [
        (
            "NEWOBJ and BUILD",
            [class.as_bytes(), b")\x81}(X\x02\0\0\0lrG\0\0\0\0\0\0\0\0ub"].concat(),
            &["my.config.Config"],
        ),
        ("NEWOBJ_EX", [class.as_bytes(), b")}\x92"].concat(), &["my.config.Config"]),
        ("REDUCE", b"cpathlib\nPosixPath\n(X\x01\0\0\0atR".to_vec(), &["pathlib.PosixPath"]),
        ("a call is not made", b"cos\nsystem\nX\x02\0\0\0ls\x85R".to_vec(), &["os.system"]),
        (
            "a dict of its own class",
            b"ccollections\ndefaultdict\ncbuiltins\nlist\n\x85R(K\x01K\x02u".to_vec(),
            &["collections.defaultdict", "builtins.list"],
        ),
        ("bytes", b"cnumpy\n_reconstruct\n(C\x03abcB\x01\0\0\0ztR]a".to_vec(), &["numpy._reconstruct"]),
        (
            "a seed of 128 bits",
            b"\x8a\x11\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\0".to_vec(),
            &[],
        ),
        ("a set", b"\x8f(K\x01K\x02\x90".to_vec(), &[]),
        ("LONG4", b"\x8b\x02\0\0\0\x01\x02".to_vec(), &[]),
    ];
    for (name, beside, expected) in cases {
        let (_folder, path) = written(&checkpoint_with(&beside));
        let file = WeightFile::open(&path).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(file.opaque(), expected, "{name}");
        assert_eq!(file.values("inner.H_init").unwrap(), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0], "{name}");
    }
}

#[test]
fn tensors_that_depend_on_other_classes_are_refused() {
    let tensor = |function: &str, storage: &str| {
        let mut pickle = vec![0x80, 2, b'}'];
        text(&mut pickle, "inner.H_init");
        pickle.extend(format!("c{function}\n((").bytes());
        text(&mut pickle, "storage");
        pickle.extend(format!("c{storage}\n").bytes());
        text(&mut pickle, "0");
        text(&mut pickle, "cpu");
        pickle.extend(b"K\x06tQK\0K\x06\x85K\x01\x85\x89}tRs.");
        refusal(&archive("step_1", &pickle, &one_tensor().storages))
    };
    let complex = tensor("torch._utils\n_rebuild_tensor_v2", "torch\nComplexFloatStorage");
    assert!(complex.contains("tensors that refer to \"torch.ComplexFloatStorage\""), "{complex}");
    let quantised = tensor("torch._utils\n_rebuild_qtensor", "torch\nQInt8Storage");
    assert!(quantised.contains("tensors that refer to \"torch._utils._rebuild_qtensor\""), "{quantised}");
    let whole_model = refusal(&archive("step_1", b"\x80\x02cmy\nModel\n)\x81}b.", &[]));
    assert!(whole_model.contains("\"my.Model\" in Python"), "{whole_model}");
    let many: Vec<u8> = (0..2000).flat_map(|index| format!("cm\nc{index}\n0").into_bytes()).collect();
    assert!(refusal(&archive("step_1", &many, &[])).contains("more than 1024 classes of others"));
}

#[test]
fn tensors_must_lie_inside_their_storages() {
    let refused = |shape: &[usize], strides: &[usize], offset: usize| {
        let mut dict = one_tensor();
        dict.view("inner.bad", offset, shape, strides);
        let message = refusal(&dict.file("step_1"));
        assert!(message.contains("tensor \"inner.bad\""), "{message}");
        message
    };
    assert!(refused(&[2, 4], &[3, 1], 0).contains("beyond the 6 elements stored"));
    assert!(refused(&[6], &[1], 1).contains("beyond"));
    assert!(refused(&[2, 2], &[usize::MAX >> 1, 1], 0).contains("beyond"));
    assert!(refused(&[0], &[1], 7).contains("beyond"));
    assert!(refused(&[1 << 40, 1 << 40], &[0, 0], 0).contains("impossible shape"));
    assert!(refused(&[1 << 40], &[0], 0).contains("only 6 elements are stored"));
    assert!(refused(&[6], &[], 0).contains("1 sizes and 0 strides"));
    assert!(refused(&[1; 9], &[1; 9], 0).contains("9 dimensions"));

    // A negative stride, which only a hand-written pickle has.
    let mut dict = one_tensor();
    let pickle = dict.pickle();
    let strides = [b'(', b'K', 3, b'K', 1, b't'];
    let place = pickle.windows(strides.len()).position(|window| window == strides).unwrap();
    let negative = [&pickle[..place], b"(J\xff\xff\xff\xffK\x01t", &pickle[place + strides.len()..]].concat();
    assert!(refusal(&archive("step_1", &negative, &dict.storages)).contains("has the stride -1"));

    // Storages that are gone, or shorter than the pickle says.
    assert!(refusal(&archive("step_1", &pickle, &[])).contains("storage \"0\", which is gone"));
    dict.storages[0].bytes.truncate(23);
    let message = refusal(&archive("step_1", &pickle, &dict.storages));
    assert!(message.contains("needs 6 elements of 4 bytes in storage \"0\", which has 23 bytes"), "{message}");
}

#[test]
fn archives_that_are_none_of_torch_save_say_what_they_are() {
    let mut compressed = Vec::new();
    let mut zip = rawzip::ZipArchiveWriter::new(&mut compressed);
    let (entry, config) =
        zip.new_file("step_1/data.pkl").compression_method(rawzip::CompressionMethod::DEFLATE).start().unwrap();
    // One empty final block, said to unpack to a terabyte.
    let mut entry = entry;
    std::io::Write::write_all(&mut entry, &[0x03, 0x00]).unwrap();
    let mut writer = config.wrap(std::io::sink());
    std::io::Write::write_all(&mut writer, &vec![0; 1 << 20]).unwrap();
    let (_, descriptor) = writer.finish().unwrap();
    entry.finish(descriptor).unwrap();
    zip.finish().unwrap();
    assert!(refusal(&compressed).contains("is compressed, and torch.save compresses nothing"));

    let dict = one_tensor();
    let mut file = dict.file("step_1");
    for length in [4, 30, 100, file.len() / 2, file.len() - 1] {
        let message = refusal(&file[..length]);
        assert!(message.contains("is not an intact torch.save file"), "{length}: {message}");
    }
    let mut order = archive("step_1", &dict.pickle(), &dict.storages);
    let place = order.windows(6).position(|window| window == b"little").unwrap();
    order[place..place + 6].copy_from_slice(b"big   ");
    assert!(refusal(&order).contains("not little-endian"));

    // A flipped bit in a storage shows when the checksums are asked for.
    let (_folder, path) = written(&file);
    WeightFile::open(&path).unwrap().verify_checksums().unwrap();
    let place = file.windows(4).position(|window| window == 5_f32.to_le_bytes()).unwrap();
    file[place] ^= 1;
    let (_folder, path) = written(&file);
    let message = WeightFile::open(&path).unwrap().verify_checksums().unwrap_err().to_string();
    assert!(message.contains(r#"the checksum of "step_1/data/0" does not hold"#), "{message}");
}

#[test]
fn other_files_are_named_for_what_they_are() {
    assert!(refusal(b"").contains("is an empty file"));
    assert!(refusal(b"version https://git-lfs.github.com/spec/v1\noid").contains("git lfs pull"));
    assert!(refusal(b"<!doctype html><html>").contains("is a web page"));
    assert!(refusal(b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.").contains("before PyTorch 1.6"));
    assert!(refusal(b"hello, these are not weights").contains("is neither a safetensors file nor"));
    assert!(refusal(&[&u64::MAX.to_le_bytes()[..], b"{}"].concat()).contains("its header claims 18446744073709551615"));
    assert!(refusal(&[&40_u64.to_le_bytes()[..], b"{}"].concat()).contains("is not an intact safetensors file"));
    // A header of 640 bytes: its length begins like a pickle.
    let header = format!(r#"{{"t":{{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}}}{}"#, " ".repeat(640));
    let (_folder, path) = written(&[&640_u64.to_le_bytes()[..], &header.as_bytes()[..640], &[0; 4]].concat());
    assert_eq!(WeightFile::open(&path).unwrap().values("t").unwrap(), [0.0]);
    let folder = tempfile::tempdir().unwrap();
    let message = WeightFile::open(folder.path()).unwrap_err().to_string();
    assert!(message.contains("is not a file; give the file that holds the weights"), "{message}");
}

#[test]
fn bombs_end_in_a_limit_and_not_in_memory_or_stack() {
    let mut deep = vec![0x80, 2];
    deep.extend(std::iter::repeat_n(b'(', 3 << 20));
    assert!(refusal(&archive("step_1", &deep, &[])).contains("more than 1048576 marks"));
    let mut nested = vec![0x80, 2, b')'];
    nested.extend(std::iter::repeat_n(0x85, (1 << 20) - 2));
    nested.push(b'.');
    assert!(refusal(&archive("step_1", &nested, &[])).contains("holds no dict of tensors"));
    // Lists of ten lists of ten lists …: each level refers to the one below ten times.
    let mut laughs = vec![0x80, 2, b')', b'q', 0];
    for level in 1..=40 {
        laughs.push(b'(');
        for _ in 0..10 {
            laughs.extend([b'h', level - 1]);
        }
        laughs.extend([b't', b'q', level]);
    }
    laughs.push(b'.');
    assert!(refusal(&archive("step_1", &laughs, &[])).contains("holds no dict of tensors"));
    // A list that holds itself.
    assert!(refusal(&archive("step_1", b"\x80\x02]q\x00h\x00a.", &[])).contains("holds no dict of tensors"));
    let mut long = vec![0x80, 2, b'X'];
    long.extend(u32::MAX.to_le_bytes());
    assert!(refusal(&archive("step_1", &long, &[])).contains("it ends in the middle"));
    assert!(refusal(&archive("step_1", &vec![b'N'; (8 << 20) + 1], &[])).contains("bytes of pickle"));

    let mut many = vec![0x80, 2, b'}', b'('];
    integer(&mut many, usize::MAX >> 1);
    many.extend(b"Nu.");
    assert!(refusal(&archive("step_1", &many, &[])).contains("holds no tensors"));
}

#[test]
fn every_truncation_of_a_pickle_is_an_error() {
    let dict = one_tensor();
    let pickle = dict.pickle();
    for length in 0..pickle.len() {
        let error = torch_file::read(&archive("step_1", &pickle[..length], &dict.storages), None).unwrap_err();
        assert!(matches!(error, TorchFileError::Pickle { .. }), "{length}: {error}");
    }
}
