//! State dicts that `torch.save` wrote, found in the bytes of a mapped file without running anything that it holds.
//! Owns the chain archive → pickle → tensors and its limits; leaves mapping the file and reading values to
//! `checkpoint`. Not the crate `pytorch-reader`, which copies each tensor into memory (1.8 GB for ARC's puzzle table),
//! tells nobody where a tensor lies in the file, and passes over classes that it does not know where we refuse.

mod archive;
mod error;
mod pickle;
mod state_dict;

use std::ops::Range;

use crate::checkpoint::TensorLayout;

pub use error::TorchFileError;

/// First bytes of every file that `torch.save` has written since PyTorch 1.6: a zip archive.
pub const MAGIC: &[u8] = b"PK\x03\x04";

/// The tensors of a state dict, by the names of the file, in the file's order.
///
/// `key` picks one of several state dicts of a training checkpoint (`{"model": …, "ema": …}`); without it the file
/// must be a state dict or hold exactly one.
///
/// Time and memory are bounded by the file's length and the constants of this module: every offset, size and stride is
/// checked against the archive before it is believed, and nothing is unpacked.
///
/// # Errors
/// [`TorchFileError`] when the file is damaged, holds anything but tensors and plain values, or `key` is needed or
/// unknown.
pub fn read(bytes: &[u8], key: Option<&str>) -> Result<Vec<(String, TensorLayout)>, TorchFileError> {
    let archive = archive::Archive::open(bytes)?;
    let pickle = pickle::Pickle::load(archive.pickle())?;
    state_dict::tensors(&pickle, &archive, key)
}

/// The bytes of one entry of the archive, and what they should give.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checksum {
    /// Name of the entry.
    pub entry: String,
    /// Its bytes in the file.
    pub range: Range<usize>,
    /// CRC-32 of these bytes.
    pub crc32: u32,
}

/// The checksums that the archive holds, one per entry, except where `torch.save` was told to leave them out.
///
/// # Errors
/// When the archive is malformed.
pub fn checksums(bytes: &[u8]) -> Result<Vec<Checksum>, TorchFileError> {
    Ok(archive::Archive::open(bytes)?.checksums())
}
