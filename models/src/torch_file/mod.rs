//! State dicts that `torch.save` wrote, found in the bytes of a mapped file without running anything that it holds.
//! Owns the chain archive → pickle → tensors and its limits; leaves mapping the file and reading values to
//! `checkpoint`. Not the crate `pytorch-reader`, which copies each tensor into memory (1.8 GB for ARC's puzzle table),
//! and does not say where a tensor lies in the file.

mod archive;
mod error;
mod objects;
mod pickle;
mod state_dict;

use std::ops::Range;

use crate::checkpoint::TensorLayout;

pub use error::TorchFileError;

/// First bytes of every file that `torch.save` has written since PyTorch 1.6: a zip archive.
pub const MAGIC: &[u8] = b"PK\x03\x04";

/// What a file holds that a model is made of.
#[derive(Debug, Clone, PartialEq)]
pub struct StateDict {
    /// Tensors by the names of the file, in the file's order.
    pub tensors: Vec<(String, TensorLayout)>,
    /// Classes and functions of others that the file names beside the tensors, such as the class of a config. Nothing of
    /// them is executed or read.
    pub opaque: Vec<String>,
}

/// The tensors of a state dict.
///
/// `key` picks one of several state dicts of a training checkpoint (`{"model": …, "ema": …}`); without it the file
/// must be a state dict or hold exactly one.
///
/// Time and memory are bounded by the file's length and the constants of this module: every offset, size and stride is
/// checked against the archive before it is believed, and nothing is unpacked.
///
/// # Errors
/// [`TorchFileError`] when the file is damaged, a tensor depends on a class that is not known, or `key` is needed or
/// unknown.
pub fn read(bytes: &[u8], key: Option<&str>) -> Result<StateDict, TorchFileError> {
    let archive = archive::Archive::open(bytes)?;
    let pickle = objects::Pickle::load(archive.pickle())?;
    state_dict::read(&pickle, &archive, key)
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

/// The checksums that the archive holds, one per entry, except where `torch.save` was asked to leave them out.
///
/// # Errors
/// When the archive is malformed.
pub fn checksums(bytes: &[u8]) -> Result<Vec<Checksum>, TorchFileError> {
    Ok(archive::Archive::open(bytes)?.checksums())
}
