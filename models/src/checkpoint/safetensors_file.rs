//! Where the tensors of a safetensors file lie, and what a file that is none evidently is instead.
//! The crate `safetensors` checks every offset against the file's length; the header's size is limited here.

use std::path::Path;

use safetensors::SafeTensors;
use safetensors::tensor::TensorView;

use super::layout::TensorLayout;
use crate::ModelError;

/// Size of a header, which takes about 150 bytes per tensor.
const MAX_HEADER_BYTES: u64 = 16 << 20;

/// Names and places of the tensors in the bytes of the file `path`.
pub(super) fn read(path: &Path, bytes: &[u8]) -> Result<Vec<(String, TensorLayout)>, ModelError> {
    if let Some(problem) = no_safetensors(bytes) {
        return Err(ModelError::format(path, problem));
    }
    let tensors = SafeTensors::deserialize(bytes).map_err(|e| {
        ModelError::format(path, format!("is not an intact safetensors file ({e}); copy or download it again"))
    })?;
    let start = bytes.as_ptr() as usize;
    let place = |(name, view): (&str, TensorView<'_>)| {
        let offset = view.data().as_ptr() as usize - start;
        if view.dtype().bitsize() < 8 {
            let problem = format!("tensor `{name}` has elements smaller than a byte; convert it first");
            return Err(ModelError::format(path, problem));
        }
        Ok((name.to_owned(), TensorLayout::contiguous(view.dtype(), view.shape(), offset)))
    };
    tensors.iter().map(place).collect()
}

/// What a file evidently is, if not safetensors: eight bytes of length and then a `{`. The length may begin like
/// anything, so the brace decides first.
fn no_safetensors(bytes: &[u8]) -> Option<String> {
    if let Some(&length) = bytes.first_chunk()
        && bytes.get(8) == Some(&b'{')
    {
        let length = u64::from_le_bytes(length);
        return (length > MAX_HEADER_BYTES).then(|| {
            format!("is not an intact safetensors file (its header claims {length} bytes); copy or download it again")
        });
    }
    let kind = if bytes.is_empty() {
        "an empty file; copy or download it again"
    } else if bytes.starts_with(b"version https://git-lfs") {
        "the pointer that git leaves in place of a large file; fetch the file itself with git lfs pull"
    } else if bytes.starts_with(b"<") {
        "a web page; download the file itself, not the page about it"
    } else if bytes.starts_with(&[0x80]) && bytes.get(1).is_some_and(|version| (2..=5).contains(version)) {
        "a bare pickle, as torch.save wrote it before PyTorch 1.6; load it there and save it again"
    } else if bytes.get(257..262) == Some(b"ustar") {
        "a tar archive, as torch.save wrote it before PyTorch 0.2; load it there and save it again"
    } else {
        "neither a safetensors file nor one that torch.save wrote; copy or download it again"
    };
    Some(format!("is {kind}"))
}
