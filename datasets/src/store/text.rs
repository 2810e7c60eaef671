//! Text files that people and other programs wrote, plain or gzipped, read whole but never beyond a bound, or line by line.
//! Owns opening, unpacking and the bound; leaves the meaning of the lines to its callers.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;

use crate::DatasetError;

/// The content of a text file of at most `max_bytes` bytes; packed files are read as by [`open_text`], and the bound holds
/// for what comes out. Bytes that are no UTF-8 become the replacement character, so that their line can be named.
///
/// # Errors
/// When the file cannot be read or unpacked, or is larger.
pub fn read_text(path: &Path, max_bytes: u64) -> Result<String, DatasetError> {
    let mut bytes = Vec::new();
    open_text(path)?.take(max_bytes + 1).read_to_end(&mut bytes).map_err(DatasetError::io("read", path))?;
    if bytes.len() as u64 > max_bytes {
        return Err(DatasetError::format(path, format!("at most {max_bytes} bytes of text"), "more; split the file"));
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// A text file to be read piece by piece; one whose name ends in `.gz` is unpacked on the way. A small packed file may
/// unpack to a thousand times its size: whoever reads it sets the bound.
///
/// # Errors
/// When the file cannot be opened.
pub fn open_text(path: &Path) -> Result<Box<dyn BufRead>, DatasetError> {
    let file = BufReader::new(File::open(path).map_err(DatasetError::io("open", path))?);
    let is_packed = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("gz"));
    Ok(if is_packed { Box::new(BufReader::new(MultiGzDecoder::new(file))) } else { Box::new(file) })
}
