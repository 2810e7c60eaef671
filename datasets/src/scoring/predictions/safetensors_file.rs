//! Predictions in a safetensors file: each array read through a handle of its own, never mapped or loaded whole.
//! Owns the header; leaves shapes and elements to [`super::read`] and [`super::column`].

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use safetensors::tensor::{Metadata, TensorInfo};

use super::column::Element;
use super::read::{Contents, StoredArray, missing_array};
use super::{ARRAYS, AUGMENTATIONS};
use crate::DatasetError;

/// Bytes of the length that opens the file.
pub(super) const LENGTH_BYTES: usize = 8;
/// Bound for the header, which describes four arrays and whatever else a user saved.
const MAX_HEADER_BYTES: u64 = 1 << 20;
const BUFFER_BYTES: usize = 1 << 18;

/// Opens the four arrays.
pub(super) fn open(path: &Path) -> Result<Contents, DatasetError> {
    let (header, data_offset) = read_header(path)?;
    let mut arrays = Vec::with_capacity(ARRAYS.len());
    for name in ARRAYS {
        let info = header.info(name).ok_or_else(|| missing_array(path, name, &header.offset_keys()))?;
        let element = Element::of_safetensors(info.dtype)
            .ok_or_else(|| DatasetError::format(path, format!("{name} of numbers"), format!("{:?}", info.dtype)))?;
        let mut file = File::open(path).map_err(DatasetError::io("open", path))?;
        file.seek(SeekFrom::Start(data_offset + info.data_offsets.0 as u64)).map_err(DatasetError::io("read", path))?;
        let reader = Box::new(BufReader::with_capacity(BUFFER_BYTES, file));
        arrays.push(StoredArray { element, shape: info.shape.clone(), reader });
    }
    let augmentations = header.metadata().as_ref().and_then(|metadata| metadata.get(AUGMENTATIONS)).cloned();
    Ok(Contents { arrays, augmentations })
}

/// The bytes that precede the data of a file with these tensors, in the order of their offsets.
pub(super) fn header_bytes(metadata: HashMap<String, String>, tensors: Vec<(String, TensorInfo)>) -> Vec<u8> {
    let header = Metadata::new(Some(metadata), tensors).expect("the writer lays its arrays end to end");
    let mut json = serde_json::to_vec(&header).expect("a header of names and numbers is always JSON");
    // Data that starts at a multiple of 8 can be mapped as any element type.
    json.resize(json.len().next_multiple_of(LENGTH_BYTES), b' ');
    [&(json.len() as u64).to_le_bytes(), &json[..]].concat()
}

/// The header and where the data starts; the file has exactly the bytes that the header describes.
fn read_header(path: &Path) -> Result<(Metadata, u64), DatasetError> {
    let mut file = File::open(path).map_err(DatasetError::io("open", path))?;
    let file_bytes = file.metadata().map_err(DatasetError::io("read", path))?.len();
    let mut length = [0; LENGTH_BYTES];
    file.read_exact(&mut length).map_err(DatasetError::io("read", path))?;
    let length = u64::from_le_bytes(length);
    if length > MAX_HEADER_BYTES {
        let expected = format!("a safetensors header of at most {MAX_HEADER_BYTES} bytes");
        return Err(DatasetError::format(path, expected, format!("{length} bytes")));
    }
    let mut json = Vec::new();
    file.take(length).read_to_end(&mut json).map_err(DatasetError::io("read", path))?;
    let header: Metadata = serde_json::from_slice(&json)
        .map_err(|error| DatasetError::format(path, "a safetensors header", error.to_string()))?;
    let data_offset = LENGTH_BYTES as u64 + length;
    let described = data_offset + header.data_len() as u64;
    if described != file_bytes {
        let expected = format!("{described} bytes as its header says");
        return Err(DatasetError::format(path, expected, format!("a file of {file_bytes} bytes")));
    }
    Ok((header, data_offset))
}
