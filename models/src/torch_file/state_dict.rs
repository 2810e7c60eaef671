//! From a pickle's values to tensors in the file: finds the state dict and checks every view against its storage.

use std::collections::HashSet;

use super::archive::Archive;
use super::objects::{Pickle, Value};
use super::{StateDict, TorchFileError};
use crate::checkpoint::TensorLayout;

/// Dimensions of a tensor; models have at most two.
const MAX_RANK: usize = 8;
/// Elements that all tensors together may show beyond those that are stored (`expand` repeats a row without storing
/// it again); a quarter of a gigabyte in float32.
const MAX_REPEATED_ELEMENTS: usize = 1 << 26;
/// Keys that an error message lists.
const SHOWN_KEYS: usize = 12;

pub(super) fn read(pickle: &Pickle<'_>, archive: &Archive<'_>, key: Option<&str>) -> Result<StateDict, TorchFileError> {
    let dict = state_dict(pickle, key)?;
    let mut found = Vec::new();
    let mut names = HashSet::new();
    let mut repeated = 0;
    for &(key, value) in &pickle.dicts[dict] {
        let tensor = match value {
            Value::Tensor(tensor) => tensor,
            Value::Opaque(opaque) if pickle.opaques[opaque].is_tensor => {
                return Err(TorchFileError::Global { name: pickle.opaques[opaque].name.clone() });
            }
            _ => continue,
        };
        let Value::Text(name) = key else {
            return Err(TorchFileError::StateDict { problem: "holds a tensor whose name is not text".into() });
        };
        let name = pickle.texts[name];
        if !names.insert(name) {
            return Err(TorchFileError::Tensor { name: name.into(), problem: "occurs twice".into() });
        }
        let place = |problem| TorchFileError::Tensor { name: name.into(), problem };
        let layout = layout(pickle, archive, tensor, &mut repeated).map_err(place)?;
        found.push((name.to_owned(), layout));
    }
    let mut opaque: Vec<String> = pickle.opaques.iter().map(|opaque| opaque.name.clone()).collect();
    opaque.dedup();
    Ok(StateDict { tensors: found, opaque })
}

/// The dict whose values are the tensors.
fn state_dict(pickle: &Pickle<'_>, key: Option<&str>) -> Result<usize, TorchFileError> {
    if let Value::Opaque(root) = pickle.root {
        return Err(TorchFileError::Global { name: pickle.opaques[root].name.clone() });
    }
    let Value::Dict(root) = pickle.root else {
        let problem = "holds no dict of tensors; save it with torch.save(model.state_dict(), path)".into();
        return Err(TorchFileError::StateDict { problem });
    };
    let holds_tensors = |dict: usize| pickle.dicts[dict].iter().any(|(_, value)| matches!(value, Value::Tensor(_)));
    if key.is_none() && holds_tensors(root) {
        return Ok(root);
    }
    let inner: Vec<(&str, usize)> = pickle.dicts[root]
        .iter()
        .filter_map(|&(key, value)| match (key, value) {
            (Value::Text(key), Value::Dict(dict)) if holds_tensors(dict) => Some((pickle.texts[key], dict)),
            _ => None,
        })
        .collect();
    let listed = inner.iter().map(|(key, _)| format!("{key:?}")).take(SHOWN_KEYS).collect::<Vec<_>>().join(", ");
    match (key, &inner[..]) {
        (None, &[(_, dict)]) => Ok(dict),
        (None, []) => Err(match pickle.opaques.iter().find(|opaque| opaque.is_tensor) {
            Some(opaque) => TorchFileError::Global { name: opaque.name.clone() },
            None => TorchFileError::StateDict {
                problem: "holds no tensors; save it with torch.save(model.state_dict(), path)".into(),
            },
        }),
        (None, _) => Err(TorchFileError::StateDict {
            problem: format!("holds several state dicts ({listed}); say which one with --state-dict KEY"),
        }),
        (Some(key), _) => inner.iter().find(|(name, _)| *name == key).map(|&(_, dict)| dict).ok_or_else(|| {
            TorchFileError::StateDict {
                problem: match inner[..] {
                    [] => format!("holds no state dict {key:?}, nor any other inside its dict; leave --state-dict out"),
                    _ => format!("holds no state dict {key:?}, but {listed}"),
                },
            }
        }),
    }
}

/// Where a tensor's elements lie in the file; `repeated` counts elements beyond the stored ones.
fn layout(
    pickle: &Pickle<'_>,
    archive: &Archive<'_>,
    tensor: usize,
    repeated: &mut usize,
) -> Result<TensorLayout, String> {
    let tensor = pickle.tensors[tensor];
    let storage = pickle.storages[tensor.storage];
    let shape = sizes(&pickle.sequences[tensor.shape], "size")?;
    let strides = sizes(&pickle.sequences[tensor.strides], "stride")?;
    if shape.len() != strides.len() {
        return Err(format!("has {} sizes and {} strides", shape.len(), strides.len()));
    }
    let element_bytes = storage.dtype.bitsize() / 8;
    let stored = usize::try_from(storage.element_count).map_err(|_| "has a storage of negative length".to_owned())?;
    let range =
        archive.storage(storage.key).ok_or_else(|| format!("needs storage {:?}, which is gone", storage.key))?;
    if stored.checked_mul(element_bytes) != Some(range.len()) {
        return Err(format!(
            "needs {stored} elements of {element_bytes} bytes in storage {:?}, which has {} bytes",
            storage.key,
            range.len()
        ));
    }
    let elements = shape.iter().try_fold(1usize, |product, &size| product.checked_mul(size));
    let elements = elements.ok_or_else(|| format!("has the impossible shape {shape:?}"))?;
    let outside = || format!("of shape {shape:?} and strides {strides:?} reaches beyond the {stored} elements stored");
    let offset = usize::try_from(tensor.offset).map_err(|_| outside())?;
    if elements > 0 {
        let last = shape.iter().zip(&strides).try_fold(offset, |last, (&size, &stride)| {
            (size - 1).checked_mul(stride).and_then(|step| last.checked_add(step))
        });
        if last.is_none_or(|last| last >= stored) {
            return Err(outside());
        }
        *repeated = repeated.saturating_add(elements.saturating_sub(stored));
        if *repeated > MAX_REPEATED_ELEMENTS {
            return Err(format!("has the shape {shape:?}, but only {stored} elements are stored"));
        }
    } else if offset > stored {
        return Err(outside());
    }
    Ok(TensorLayout { dtype: storage.dtype, offset: range.start + offset * element_bytes, shape, strides })
}

fn sizes(values: &[Value], what: &str) -> Result<Vec<usize>, String> {
    if values.len() > MAX_RANK {
        return Err(format!("has {} dimensions, more than {MAX_RANK}", values.len()));
    }
    values
        .iter()
        .map(|value| match value {
            Value::Int(size) => usize::try_from(*size).map_err(|_| format!("has the {what} {size}")),
            _ => Err(format!("has a {what} that is not an integer")),
        })
        .collect()
}
