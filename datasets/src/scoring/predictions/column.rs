//! One array of a prediction file, read front to back in chunks of rows.
//! Owns element types and their conversion; leaves where an array lies in its file to the formats.

use std::io::Read;
use std::path::Path;

use half::{bf16, f16};
use safetensors::Dtype;

use crate::DatasetError;

/// Element types in which predictions are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Element {
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    U64,
    I64,
    F16,
    BF16,
    F32,
    F64,
}

impl Element {
    /// The element of a safetensors type.
    pub(super) fn of_safetensors(dtype: Dtype) -> Option<Self> {
        Some(match dtype {
            Dtype::U8 => Self::U8,
            Dtype::I8 => Self::I8,
            Dtype::U16 => Self::U16,
            Dtype::I16 => Self::I16,
            Dtype::U32 => Self::U32,
            Dtype::I32 => Self::I32,
            Dtype::U64 => Self::U64,
            Dtype::I64 => Self::I64,
            Dtype::F16 => Self::F16,
            Dtype::BF16 => Self::BF16,
            Dtype::F32 => Self::F32,
            Dtype::F64 => Self::F64,
            _ => return None,
        })
    }

    /// The element of a NumPy type string.
    pub(super) fn of_descr(descr: &str) -> Option<Self> {
        Some(match descr {
            "|u1" => Self::U8,
            "|i1" => Self::I8,
            "<u2" => Self::U16,
            "<i2" => Self::I16,
            "<u4" => Self::U32,
            "<i4" => Self::I32,
            "<u8" => Self::U64,
            "<i8" => Self::I64,
            "<f2" => Self::F16,
            "<f4" => Self::F32,
            "<f8" => Self::F64,
            _ => return None,
        })
    }

    pub(super) const fn size(self) -> usize {
        match self {
            Self::U8 | Self::I8 => 1,
            Self::U16 | Self::I16 | Self::F16 | Self::BF16 => 2,
            Self::U32 | Self::I32 | Self::F32 => 4,
            Self::U64 | Self::I64 | Self::F64 => 8,
        }
    }

    const fn is_integer(self) -> bool {
        !matches!(self, Self::F16 | Self::BF16 | Self::F32 | Self::F64)
    }
}

/// An array of `rows` rows, of which some have been read.
pub(super) struct Column {
    name: &'static str,
    element: Element,
    /// Elements of a row.
    width: usize,
    /// The bytes that have not been read yet.
    reader: Box<dyn Read + Send>,
    bytes: Vec<u8>,
}

impl Column {
    /// A column whose bytes `reader` yields; integers are asked for tokens and identifiers, anything for logits.
    ///
    /// # Errors
    /// `(expected, found)` when the elements are of the wrong kind.
    pub(super) fn new(
        name: &'static str,
        element: Element,
        width: usize,
        reader: Box<dyn Read + Send>,
    ) -> Result<Self, (String, String)> {
        if name != super::Q_HALT_LOGITS && !element.is_integer() {
            return Err((format!("{name} of integers"), format!("{element:?}")));
        }
        Ok(Self { name, element, width, reader, bytes: Vec::new() })
    }

    /// Reads `rows` rows of tokens below `vocab_size` (at most 256); `first_row` is for messages.
    pub(super) fn tokens(
        &mut self,
        path: &Path,
        rows: usize,
        first_row: usize,
        vocab_size: usize,
    ) -> Result<Vec<u8>, DatasetError> {
        self.fill(path, rows)?;
        if self.element == Element::U8 && self.bytes.iter().all(|&token| usize::from(token) < vocab_size) {
            return Ok(self.bytes.clone());
        }
        let mut tokens = Vec::with_capacity(rows * self.width);
        for (index, value) in self.integers().enumerate() {
            match u8::try_from(value) {
                Ok(token) if usize::from(token) < vocab_size => tokens.push(token),
                _ => {
                    let (row, column) = (first_row + index / self.width, index % self.width);
                    let expected = format!("{} below vocab_size {vocab_size}", self.name);
                    return Err(DatasetError::format(path, expected, format!("{value} in row {row}, column {column}")));
                }
            }
        }
        Ok(tokens)
    }

    /// Reads `rows` identifiers below `limit`.
    pub(super) fn identifiers(
        &mut self,
        path: &Path,
        rows: usize,
        first_row: usize,
        limit: usize,
    ) -> Result<Vec<u32>, DatasetError> {
        self.fill(path, rows)?;
        let check = |(index, value): (usize, i128)| match u32::try_from(value) {
            Ok(identifier) if (identifier as usize) < limit => Ok(identifier),
            _ => {
                let expected = format!("{} below the dataset's num_puzzle_identifiers {limit}", self.name);
                Err(DatasetError::format(path, expected, format!("{value} in row {}", first_row + index)))
            }
        };
        self.integers().enumerate().map(check).collect()
    }

    /// Reads `rows` logits; NaN is an error.
    pub(super) fn logits(&mut self, path: &Path, rows: usize, first_row: usize) -> Result<Vec<f64>, DatasetError> {
        self.fill(path, rows)?;
        let logits: Vec<f64> = match self.element {
            Element::F16 => self.values(|bytes| f16::from_le_bytes(bytes).to_f64()),
            Element::BF16 => self.values(|bytes| bf16::from_le_bytes(bytes).to_f64()),
            Element::F32 => self.values(|bytes| f64::from(f32::from_le_bytes(bytes))),
            Element::F64 => self.values(f64::from_le_bytes),
            _ => self.integers().map(|value| value as f64).collect(),
        };
        match logits.iter().position(|logit| logit.is_nan()) {
            None => Ok(logits),
            Some(index) => {
                let found = format!("NaN in row {}", first_row + index);
                Err(DatasetError::format(path, format!("numbers in {}", self.name), found))
            }
        }
    }

    fn fill(&mut self, path: &Path, rows: usize) -> Result<(), DatasetError> {
        self.bytes.resize(rows * self.width * self.element.size(), 0);
        self.reader.read_exact(&mut self.bytes).map_err(|error| match error.kind() {
            std::io::ErrorKind::UnexpectedEof => {
                DatasetError::format(path, format!("all rows of {}", self.name), "the end of the file (truncated?)")
            }
            _ => DatasetError::io("read", path)(error),
        })
    }

    fn integers(&self) -> Box<dyn Iterator<Item = i128> + '_> {
        match self.element {
            Element::U8 => Box::new(self.bytes.iter().map(|&byte| i128::from(byte))),
            Element::I8 => Box::new(self.bytes.iter().map(|&byte| i128::from(byte.cast_signed()))),
            Element::U16 => self.each(|bytes| i128::from(u16::from_le_bytes(bytes))),
            Element::I16 => self.each(|bytes| i128::from(i16::from_le_bytes(bytes))),
            Element::U32 => self.each(|bytes| i128::from(u32::from_le_bytes(bytes))),
            Element::I32 => self.each(|bytes| i128::from(i32::from_le_bytes(bytes))),
            Element::U64 => self.each(|bytes| i128::from(u64::from_le_bytes(bytes))),
            Element::I64 => self.each(|bytes| i128::from(i64::from_le_bytes(bytes))),
            Element::F16 | Element::BF16 | Element::F32 | Element::F64 => Box::new(std::iter::empty()),
        }
    }

    fn each<const N: usize>(&self, decode: impl Fn([u8; N]) -> i128 + 'static) -> Box<dyn Iterator<Item = i128> + '_> {
        Box::new(self.bytes.as_chunks().0.iter().map(move |&bytes| decode(bytes)))
    }

    fn values<const N: usize>(&self, decode: impl Fn([u8; N]) -> f64) -> Vec<f64> {
        self.bytes.as_chunks().0.iter().map(|&bytes| decode(bytes)).collect()
    }
}
