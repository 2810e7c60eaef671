//! Tensors of integers as a request brings them: JSON numbers in nested or flat lists, or bytes in little-endian order.
//! Pure functions of untrusted bytes, which allocate in proportion to the body. Leaves what a tensor means to the model.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::http::Problem;

/// Dimensions that a tensor may have.
const MAX_DIMENSIONS: usize = 4;

/// The protocol's names for the element types that are read or written here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
#[schema(as = InferenceDatatype)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Datatype {
    Bool,
    Int8,
    Int16,
    Int32,
    Int64,
    Uint8,
    Uint16,
    Uint32,
    Uint64,
    Fp32,
}

/// A tensor of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputTensor {
    /// Its name.
    pub name: String,
    /// Its dimensions, rows first.
    pub shape: Vec<usize>,
    /// Its elements, row by row: as many as the dimensions say.
    pub values: Vec<i64>,
}

impl Datatype {
    /// Bytes of an element; `None` where tensors of the type are not an input.
    fn width(self) -> Option<usize> {
        match self {
            Self::Int8 | Self::Uint8 => Some(1),
            Self::Int16 | Self::Uint16 => Some(2),
            Self::Int32 | Self::Uint32 => Some(4),
            Self::Int64 | Self::Uint64 => Some(8),
            Self::Bool | Self::Fp32 => None,
        }
    }

    fn is_signed(self) -> bool {
        matches!(self, Self::Int8 | Self::Int16 | Self::Int32 | Self::Int64)
    }
}

/// Elements of a tensor of `shape`.
///
/// # Errors
/// When there are none or too many dimensions, or more elements than a `usize` counts.
pub(super) fn element_count(name: &str, shape: &[usize]) -> Result<usize, Problem> {
    let count = shape.iter().try_fold(1_usize, |count, &side| count.checked_mul(side));
    count.filter(|_| (1..=MAX_DIMENSIONS).contains(&shape.len())).ok_or_else(|| {
        Problem::Malformed(format!("input {name:?}: expected 1 to {MAX_DIMENSIONS} dimensions of fitting size"))
    })
}

/// Reads `count` elements out of bytes that are theirs alone.
///
/// # Errors
/// When the type is not one of integers, or the bytes are not as many as the elements need.
pub(super) fn from_bytes(name: &str, datatype: Datatype, count: usize, bytes: &[u8]) -> Result<Vec<i64>, Problem> {
    let width = width_of(name, datatype)?;
    if count.checked_mul(width) != Some(bytes.len()) {
        return Err(Problem::Malformed(format!(
            "input {name:?}: {count} elements of {width} bytes do not fill binary_data_size {}",
            bytes.len()
        )));
    }
    let element = |chunk: &[u8]| {
        let mut wide = [0; 8];
        wide[..chunk.len()].copy_from_slice(chunk);
        let found = i64::from_le_bytes(wide);
        // Shifted up and down again, the sign fills the upper bytes.
        let unused = 64 - 8 * chunk.len() as u32;
        if datatype.is_signed() { (found << unused) >> unused } else { found }
    };
    Ok(bytes.chunks_exact(width).map(element).collect())
}

/// Reads `count` elements out of JSON, flat or nested.
///
/// # Errors
/// When the type is not one of integers, something else than an integer is found, or other than `count` elements.
pub(super) fn from_json(name: &str, datatype: Datatype, count: usize, data: &Value) -> Result<Vec<i64>, Problem> {
    width_of(name, datatype)?;
    let mut values = Vec::new();
    flatten(data, MAX_DIMENSIONS, &mut values)
        .map_err(|found| Problem::Malformed(format!("input {name:?}: expected integers in \"data\", found {found}")))?;
    if values.len() != count {
        let found = values.len();
        return Err(Problem::Malformed(format!(
            "input {name:?}: the shape has {count} elements, \"data\" has {found}"
        )));
    }
    Ok(values)
}

/// # Errors
/// The value that is neither an integer nor a list of them, `depth` lists deep at most.
fn flatten(value: &Value, depth: usize, into: &mut Vec<i64>) -> Result<(), String> {
    match value {
        Value::Array(items) if depth > 0 => items.iter().try_for_each(|item| flatten(item, depth - 1, into)),
        _ => {
            let found = || value.to_string().chars().take(40).collect::<String>();
            into.push(value.as_i64().ok_or_else(found)?);
            Ok(())
        }
    }
}

fn width_of(name: &str, datatype: Datatype) -> Result<usize, Problem> {
    datatype.width().ok_or_else(|| {
        Problem::Malformed(format!(
            "input {name:?}: expected a datatype of integers, such as INT64, found {datatype:?}"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_of_every_width_are_integers() {
        let read = |datatype, bytes: &[u8]| from_bytes("x", datatype, 1, bytes).unwrap()[0];
        assert_eq!(read(Datatype::Int8, &[0xfe]), -2);
        assert_eq!(read(Datatype::Uint8, &[0xfe]), 254);
        assert_eq!(read(Datatype::Int16, &[0xfe, 0xff]), -2);
        assert_eq!(read(Datatype::Uint16, &[0xfe, 0xff]), 65534);
        assert_eq!(read(Datatype::Int32, &(-7_i32).to_le_bytes()), -7);
        assert_eq!(read(Datatype::Uint32, &u32::MAX.to_le_bytes()), i64::from(u32::MAX));
        assert_eq!(read(Datatype::Int64, &i64::MIN.to_le_bytes()), i64::MIN);
        assert_eq!(from_bytes("x", Datatype::Int16, 2, &[1, 0, 2, 0]).unwrap(), [1, 2]);
    }

    #[test]
    fn bytes_and_numbers_must_be_as_many_as_the_shape_says() {
        for (count, bytes) in [(1, 7), (1, 9), (0, 8), (usize::MAX, 8)] {
            assert!(from_bytes("x", Datatype::Int64, count, &vec![0; bytes]).is_err(), "{count} of {bytes} bytes");
        }
        let data = serde_json::json!([[1, 2], [3, 4]]);
        assert_eq!(from_json("x", Datatype::Int64, 4, &data).unwrap(), [1, 2, 3, 4]);
        for count in [0, 3, 5, usize::MAX] {
            assert!(from_json("x", Datatype::Int64, count, &data).is_err(), "{count}");
        }
    }

    #[test]
    fn what_is_no_integer_is_refused() {
        for data in [serde_json::json!([1.5]), serde_json::json!(["1"]), serde_json::json!([[[[[1]]]]]), Value::Null] {
            assert!(from_json("x", Datatype::Int64, 1, &data).is_err(), "{data}");
        }
        for datatype in [Datatype::Fp32, Datatype::Bool] {
            assert!(from_json("x", datatype, 1, &serde_json::json!([1])).is_err());
            assert!(from_bytes("x", datatype, 1, &[0; 4]).is_err());
        }
    }

    #[test]
    fn shapes_are_bounded() {
        assert_eq!(element_count("x", &[2, 9, 9]).unwrap(), 162);
        assert_eq!(element_count("x", &[0, usize::MAX]).unwrap(), 0);
        for shape in [&[][..], &[1; 5], &[usize::MAX, 2]] {
            assert!(element_count("x", shape).is_err(), "{shape:?}");
        }
    }
}
