//! Safetensors files written tensor by tensor, each in pieces, so that writing needs little memory whatever the size.
//! Owns the file's layout, which is that of the crate `safetensors`; leaves what the values are to the caller.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use safetensors::tensor::{Metadata, TensorInfo};

use super::numbers::{encode, stored};
use crate::{ForwardDtype, ModelError};

/// A float tensor that is about to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedTensor {
    /// Name in the file.
    pub name: String,
    /// Type in the file.
    pub dtype: ForwardDtype,
    /// Row-major shape.
    pub shape: Vec<usize>,
}

/// Takes the values of one tensor, in order and in pieces of any length.
pub struct TensorSink<'a> {
    dtype: ForwardDtype,
    written: usize,
    out: &'a mut dyn Write,
    path: &'a Path,
}

impl std::fmt::Debug for TensorSink<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TensorSink").field("path", &self.path).field("written", &self.written).finish_non_exhaustive()
    }
}

impl TensorSink<'_> {
    /// Appends `values`, rounded to the tensor's type.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn put(&mut self, values: &[f32]) -> Result<(), ModelError> {
        self.written += values.len();
        self.out.write_all(&encode(self.dtype, values)).map_err(ModelError::io(self.path, "cannot write"))
    }
}

/// Writes the safetensors file `path`; `fill` is asked for the values of each of `tensors`, in the file's order. The
/// same tensors give the same bytes as [`write_tensors`](super::write_tensors).
///
/// # Errors
/// When the disk refuses, `fill` fails, or it gives more or fewer values than the shape says.
pub fn stream_tensors(
    path: &Path,
    mut tensors: Vec<PlannedTensor>,
    mut fill: impl FnMut(&PlannedTensor, &mut TensorSink<'_>) -> Result<(), ModelError>,
) -> Result<(), ModelError> {
    // Widest type first, so that every tensor is aligned to its type.
    tensors
        .sort_by(|left, right| stored(right.dtype).cmp(&stored(left.dtype)).then_with(|| left.name.cmp(&right.name)));
    let file = File::create(path).map_err(ModelError::io(path, "cannot create"))?;
    let mut out = BufWriter::with_capacity(1 << 20, file);
    out.write_all(&header(path, &tensors)?).map_err(ModelError::io(path, "cannot write"))?;
    for tensor in &tensors {
        let mut sink = TensorSink { dtype: tensor.dtype, written: 0, out: &mut out, path };
        fill(tensor, &mut sink)?;
        let (found, expected) = (sink.written, tensor.shape.iter().product::<usize>());
        if found != expected {
            let (name, shape) = (&tensor.name, &tensor.shape);
            let problem = format!("tensor `{name}` of shape {shape:?} needs {expected} values, {found} were given");
            return Err(ModelError::format(path, problem));
        }
    }
    out.flush().map_err(ModelError::io(path, "cannot write"))
}

/// Length and text of the JSON header, padded to a multiple of eight bytes.
fn header(path: &Path, tensors: &[PlannedTensor]) -> Result<Vec<u8>, ModelError> {
    let mut end = 0;
    let infos = tensors.iter().map(|tensor| {
        let start = end;
        end += tensor.shape.iter().product::<usize>() * stored(tensor.dtype).bitsize() / 8;
        let info = TensorInfo { dtype: stored(tensor.dtype), shape: tensor.shape.clone(), data_offsets: (start, end) };
        (tensor.name.clone(), info)
    });
    let infos = infos.collect();
    let refused = |problem: String| ModelError::format(path, format!("cannot write: {problem}"));
    let metadata = Metadata::new(None::<HashMap<String, String>>, infos).map_err(|e| refused(e.to_string()))?;
    let mut text = serde_json::to_vec(&metadata).map_err(|e| refused(e.to_string()))?;
    text.resize(text.len().next_multiple_of(8), b' ');
    Ok([&(text.len() as u64).to_le_bytes()[..], &text].concat())
}
