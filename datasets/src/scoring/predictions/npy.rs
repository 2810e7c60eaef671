//! Predictions as NumPy saves them: a folder of `.npy` files, or an `.npz` archive of them, plain or compressed.
//! Owns finding the arrays' bytes; leaves `.npy` headers to the store.

use std::fs::File;
use std::io::{self, BufReader, Error, ErrorKind, Read, Seek, SeekFrom};
use std::path::Path;

use flate2::CrcReader;
use flate2::read::DeflateDecoder;
use zip::{CompressionMethod, ZipArchive};

use super::ARRAYS;
use super::column::Element;
use super::read::{Contents, StoredArray, missing_array};
use crate::DatasetError;
use crate::store::ArrayHeader;

const BUFFER_BYTES: usize = 1 << 18;

/// Opens `inputs.npy`, `preds.npy` and so on in a folder.
pub(super) fn open_folder(folder: &Path) -> Result<Contents, DatasetError> {
    let mut arrays = Vec::with_capacity(ARRAYS.len());
    for name in ARRAYS {
        let path = folder.join(format!("{name}.npy"));
        let file = File::open(&path).map_err(DatasetError::io("open", &path))?;
        let bytes = file.metadata().map_err(DatasetError::io("read", &path))?.len();
        let reader = BufReader::with_capacity(BUFFER_BYTES, file);
        arrays.push(open_array(&path, name, bytes, Box::new(reader))?);
    }
    Ok(Contents { arrays, augmentations: None })
}

/// Opens the members `inputs.npy`, `preds.npy` and so on of an archive.
pub(super) fn open_archive(path: &Path) -> Result<Contents, DatasetError> {
    let file = File::open(path).map_err(DatasetError::io("open", path))?;
    let broken = |error: zip::result::ZipError| DatasetError::format(path, "a zip archive", error.to_string());
    let mut archive = ZipArchive::new(BufReader::new(file)).map_err(broken)?;
    let names: Vec<String> = archive.file_names_raw().map(|name| String::from_utf8_lossy(name).into_owned()).collect();
    if names.iter().any(|name| name.ends_with("data.pkl")) {
        let expected = "arrays that can be read without executing anything; torch.save files are converted with three \
                        lines of Python (docs/datasets/scoring.md)";
        return Err(DatasetError::format(path, expected, "a torch.save file"));
    }
    let mut arrays = Vec::with_capacity(ARRAYS.len());
    for name in ARRAYS {
        let member = format!("{name}.npy");
        if !names.contains(&member) {
            return Err(missing_array(path, name, &names));
        }
        let entry = archive.by_name(&member).map_err(broken)?;
        let (size, crc) = (entry.size(), entry.crc32());
        let Some(start) = entry.data_start() else {
            return Err(DatasetError::format(path, format!("the place of {member}"), "none"));
        };
        let (compression, compressed_size) = (entry.compression(), entry.compressed_size());
        let mut file = File::open(path).map_err(DatasetError::io("open", path))?;
        file.seek(SeekFrom::Start(start)).map_err(DatasetError::io("read", path))?;
        let stored = BufReader::with_capacity(BUFFER_BYTES, file).take(compressed_size);
        let inflated: Box<dyn Read + Send> = match compression {
            CompressionMethod::Stored => Box::new(stored),
            CompressionMethod::Deflated => Box::new(BufReader::new(DeflateDecoder::new(stored))),
            other => {
                let expected = format!("{member} as np.savez or np.savez_compressed writes it");
                return Err(DatasetError::format(path, expected, format!("compression {other}")));
            }
        };
        let checked = Checked { inner: CrcReader::new(inflated), left: size, crc };
        arrays.push(open_array(path, name, size, Box::new(checked))?);
    }
    Ok(Contents { arrays, augmentations: None })
}

/// Reads the header of an array that has `bytes` bytes in all, header included.
fn open_array(
    path: &Path,
    name: &str,
    bytes: u64,
    mut reader: Box<dyn Read + Send>,
) -> Result<StoredArray, DatasetError> {
    let mut start = Vec::new();
    (&mut reader)
        .take(ArrayHeader::MAX_BYTES as u64)
        .read_to_end(&mut start)
        .map_err(DatasetError::io("read", path))?;
    let header = ArrayHeader::parse(&start).map_err(|(expected, found)| DatasetError::format(path, expected, found))?;
    let element = Element::of_descr(&header.descr).ok_or_else(|| {
        DatasetError::format(path, format!("{name} of little-endian numbers"), format!("dtype {:?}", header.descr))
    })?;
    let elements = header.shape.iter().try_fold(1_usize, |product, &size| product.checked_mul(size));
    let described = elements
        .and_then(|elements| elements.checked_mul(element.size()))
        .and_then(|data| data.checked_add(header.data_offset));
    if described.map(|described| described as u64) != Some(bytes) {
        let expected = match described {
            Some(described) => format!("{described} bytes of {name} for shape {:?}", header.shape),
            None => format!("{name} of fewer than 2^64 bytes"),
        };
        return Err(DatasetError::format(path, expected, format!("{bytes} bytes")));
    }
    let behind_header = io::Cursor::new(start.split_off(header.data_offset));
    Ok(StoredArray { element, shape: header.shape, reader: Box::new(behind_header.chain(reader)) })
}

/// A member of an archive that fails at its end when its bytes are not those that were archived.
struct Checked<R> {
    inner: CrcReader<R>,
    left: u64,
    crc: u32,
}

impl<R: Read> Read for Checked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = buffer.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let found = self.inner.read(&mut buffer[..wanted])?;
        self.left -= found as u64;
        if found > 0 && self.left == 0 && self.inner.crc().sum() != self.crc {
            return Err(Error::new(ErrorKind::InvalidData, "the archive's checksum does not match its bytes"));
        }
        Ok(found)
    }
}
