//! Text that people and other programs wrote, plain or gzipped, in UTF-8 or behind a byte-order mark of UTF-16, read whole
//! but never beyond a bound, or line by line. Owns opening, unpacking and the bound; leaves the meaning of the lines to its
//! callers.

use std::borrow::Cow;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::str::Utf8Error;

use encoding_rs::Encoding;
use encoding_rs_io::DecodeReaderBytesBuilder;
use flate2::bufread::MultiGzDecoder;

use crate::DatasetError;

/// The content of a text file of at most `max_bytes` bytes; packed files are read as by [`open_text`], and the bound holds
/// for what comes out. Bytes that are not UTF-8 become the replacement character, so that their line can be named.
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

/// A text file to be read piece by piece; one whose name ends in `.gz` is unpacked on the way, UTF-16 behind a byte-order
/// mark becomes UTF-8, and the mark is left out. A small packed file may unpack to a thousand times its size, so the
/// caller sets the bound.
///
/// # Errors
/// When the file cannot be opened.
pub fn open_text(path: &Path) -> Result<Box<dyn BufRead>, DatasetError> {
    let file = BufReader::new(File::open(path).map_err(DatasetError::io("open", path))?);
    let is_packed = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("gz"));
    let bytes: Box<dyn Read> = if is_packed { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) };
    // What is not UTF-8 passes as it is, so that its line can be named.
    let decoder = DecodeReaderBytesBuilder::new().utf8_passthru(true).strip_bom(true).build(bytes);
    Ok(Box::new(BufReader::with_capacity(1 << 18, decoder)))
}

/// Bytes as text: UTF-8, or UTF-16 behind its byte-order mark; no mark is left in the text.
///
/// # Errors
/// When the bytes have no mark and are not UTF-8.
pub fn text_of(bytes: &[u8]) -> Result<Cow<'_, str>, Utf8Error> {
    match Encoding::for_bom(bytes) {
        Some((encoding, mark)) => Ok(encoding.decode_without_bom_handling(&bytes[mark..]).0),
        None => std::str::from_utf8(bytes).map(Cow::Borrowed),
    }
}
