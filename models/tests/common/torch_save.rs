//! Writes what `torch.save(state_dict, path)` writes: a zip archive, uncompressed, with a pickle of protocol 2 and one
//! entry per storage. For tests of whatever reads published weights; every part can also be given by hand, to be wrong.

use std::io::Write;

use models::checkpoint::Dtype;
use rawzip::{CompressionMethod, ZipArchiveWriter};

/// A stretch of memory that tensors look into.
#[derive(Debug, Clone)]
pub(crate) struct Storage {
    pub(crate) dtype: Dtype,
    pub(crate) bytes: Vec<u8>,
}

/// A named view of a storage.
#[derive(Debug, Clone)]
pub(crate) struct View {
    pub(crate) name: String,
    pub(crate) storage: usize,
    pub(crate) offset: usize,
    pub(crate) shape: Vec<usize>,
    pub(crate) strides: Vec<usize>,
}

/// Storages and views of a state dict.
#[derive(Debug, Clone, Default)]
pub(crate) struct StateDict {
    pub(crate) storages: Vec<Storage>,
    pub(crate) views: Vec<View>,
}

impl StateDict {
    /// Adds a contiguous tensor with a storage of its own.
    pub(crate) fn add(&mut self, name: &str, dtype: Dtype, shape: &[usize], bytes: Vec<u8>) {
        let mut strides = vec![1; shape.len()];
        for dimension in (1..shape.len()).rev() {
            strides[dimension - 1] = strides[dimension] * shape[dimension];
        }
        self.storages.push(Storage { dtype, bytes });
        self.view(name, 0, shape, &strides);
    }

    /// Adds a view of the storage added last.
    pub(crate) fn view(&mut self, name: &str, offset: usize, shape: &[usize], strides: &[usize]) {
        let storage = self.storages.len() - 1;
        self.views.push(View { name: name.into(), storage, offset, shape: shape.into(), strides: strides.into() });
    }

    /// The pickle of the dict itself.
    pub(crate) fn pickle(&self) -> Vec<u8> {
        let mut pickle = vec![0x80, 2];
        self.write_dict(&mut pickle);
        pickle.push(b'.');
        pickle
    }

    /// The pickle of a training checkpoint that holds this dict under each of `keys`, and a number.
    pub(crate) fn pickle_under(&self, keys: &[&str]) -> Vec<u8> {
        let mut pickle = vec![0x80, 2, b'}', b'('];
        text(&mut pickle, "epoch");
        pickle.extend([b'K', 7]);
        for key in keys {
            text(&mut pickle, key);
            self.write_dict(&mut pickle);
        }
        pickle.extend(b"u.");
        pickle
    }

    /// The file: archive entries below the folder `root`.
    pub(crate) fn file(&self, root: &str) -> Vec<u8> {
        archive(root, &self.pickle(), &self.storages)
    }

    /// An `OrderedDict` with the attribute `_metadata`, as modules give it.
    fn write_dict(&self, pickle: &mut Vec<u8>) {
        pickle.extend(b"ccollections\nOrderedDict\n)R(");
        for view in &self.views {
            text(pickle, &view.name);
            self.write_tensor(pickle, view);
        }
        pickle.extend(b"u}");
        text(pickle, "_metadata");
        pickle.extend(b"ccollections\nOrderedDict\n)Rsb");
    }

    fn write_tensor(&self, pickle: &mut Vec<u8>, view: &View) {
        let storage = &self.storages[view.storage];
        let (class, element_bytes) = class_of(storage.dtype);
        pickle.extend(b"ctorch._utils\n_rebuild_tensor_v2\n((");
        text(pickle, "storage");
        pickle.extend(format!("ctorch\n{class}\n").bytes());
        text(pickle, &view.storage.to_string());
        text(pickle, "cpu");
        integer(pickle, storage.bytes.len() / element_bytes);
        pickle.extend(b"tQ");
        integer(pickle, view.offset);
        for sizes in [&view.shape, &view.strides] {
            pickle.push(b'(');
            for &size in sizes {
                integer(pickle, size);
            }
            pickle.push(b't');
        }
        pickle.push(0x89);
        pickle.extend(b"ccollections\nOrderedDict\n)RtR");
    }
}

/// A file of `torch.save` with any pickle.
pub(crate) fn archive(root: &str, pickle: &[u8], storages: &[Storage]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut zip = ZipArchiveWriter::new(&mut out);
    let mut entry = |name: String, bytes: &[u8]| {
        let (mut entry, config) = zip.new_file(&name).compression_method(CompressionMethod::STORE).start().unwrap();
        let mut writer = config.wrap(&mut entry);
        writer.write_all(bytes).unwrap();
        let (_, descriptor) = writer.finish().unwrap();
        entry.finish(descriptor).unwrap();
    };
    entry(format!("{root}/data.pkl"), pickle);
    entry(format!("{root}/byteorder"), b"little");
    for (key, storage) in storages.iter().enumerate() {
        entry(format!("{root}/data/{key}"), &storage.bytes);
    }
    entry(format!("{root}/version"), b"3\n");
    zip.finish().unwrap();
    out
}

/// Appends `BINUNICODE`.
pub(crate) fn text(pickle: &mut Vec<u8>, text: &str) {
    pickle.push(b'X');
    pickle.extend((text.len() as u32).to_le_bytes());
    pickle.extend(text.bytes());
}

/// Appends the shortest opcode for `value`.
pub(crate) fn integer(pickle: &mut Vec<u8>, value: usize) {
    if let Ok(byte) = u8::try_from(value) {
        pickle.extend([b'K', byte]);
    } else if let Ok(word) = i32::try_from(value) {
        pickle.push(b'J');
        pickle.extend(word.to_le_bytes());
    } else {
        pickle.extend([0x8a, 8]);
        pickle.extend((value as u64).to_le_bytes());
    }
}

fn class_of(dtype: Dtype) -> (&'static str, usize) {
    match dtype {
        Dtype::F32 => ("FloatStorage", 4),
        Dtype::BF16 => ("BFloat16Storage", 2),
        Dtype::F16 => ("HalfStorage", 2),
        Dtype::F64 => ("DoubleStorage", 8),
        Dtype::I64 => ("LongStorage", 8),
        Dtype::I32 => ("IntStorage", 4),
        Dtype::BOOL => ("BoolStorage", 1),
        other => panic!("tests have no storage of {other:?}"),
    }
}
