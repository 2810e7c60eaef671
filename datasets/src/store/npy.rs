//! One memory-mapped `.npy` array of integers, and the streaming writer of such files.
//! Owns element decoding and size checks; leaves what rows mean to [`super::set`].

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use memmap2::Mmap;

use super::bulk_file::BulkFile;
use super::npy_header::NpyHeader;
use crate::DatasetError;

/// Element types that the reference's builders write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DType {
    /// NumPy `uint8`.
    UInt8,
    /// NumPy `int32`, little-endian.
    Int32,
    /// NumPy `int64`, little-endian.
    Int64,
}

impl DType {
    /// Bytes per element.
    pub const fn size(self) -> usize {
        match self {
            Self::UInt8 => 1,
            Self::Int32 => 4,
            Self::Int64 => 8,
        }
    }

    /// NumPy's name of the type.
    pub const fn name(self) -> &'static str {
        match self {
            Self::UInt8 => "uint8",
            Self::Int32 => "int32",
            Self::Int64 => "int64",
        }
    }

    pub(super) const fn descr(self) -> &'static str {
        match self {
            Self::UInt8 => "|u1",
            Self::Int32 => "<i4",
            Self::Int64 => "<i8",
        }
    }

    pub(super) fn from_descr(descr: &str) -> Option<Self> {
        [Self::UInt8, Self::Int32, Self::Int64].into_iter().find(|dtype| dtype.descr() == descr)
    }
}

/// A read-only integer array backed by its file.
#[derive(Debug)]
pub(super) struct NpyArray {
    path: PathBuf,
    map: Mmap,
    header: NpyHeader,
}

impl NpyArray {
    /// Maps an `.npy` file after checking that its header describes exactly its bytes.
    pub(super) fn open(path: &Path) -> Result<Self, DatasetError> {
        let kind = std::fs::metadata(path).map_err(DatasetError::io("open", path))?;
        if !kind.is_file() {
            return Err(DatasetError::format(path, "a regular file", "something else"));
        }
        let file = File::open(path).map_err(DatasetError::io("open", path))?;
        #[expect(unsafe_code, reason = "mapping a file that others could truncate; datasets are replaced by rename")]
        let map = unsafe { Mmap::map(&file) }.map_err(DatasetError::io("map", path))?;
        let header = NpyHeader::parse(&map).map_err(|(expected, found)| DatasetError::format(path, expected, found))?;
        let elements = header.shape.iter().try_fold(1_usize, |product, &size| product.checked_mul(size));
        let bytes = elements
            .and_then(|elements| elements.checked_mul(header.dtype.size()))
            .and_then(|bytes| bytes.checked_add(header.data_offset));
        if bytes != Some(map.len()) {
            let wanted = bytes.map_or("more than 2^64".to_owned(), |bytes| bytes.to_string());
            let expected = format!("{wanted} bytes for {} of shape {:?}", header.dtype.name(), header.shape);
            return Err(DatasetError::format(path, expected, format!("a file of {} bytes", map.len())));
        }
        Ok(Self { path: path.to_owned(), map, header })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn dtype(&self) -> DType {
        self.header.dtype
    }

    pub(super) fn shape(&self) -> &[usize] {
        &self.header.shape
    }

    /// All elements in C order, converted one by one.
    pub(super) fn to_vec<T>(&self, convert: impl Fn(i64) -> T) -> Vec<T> {
        let data = &self.map[self.header.data_offset..];
        match self.header.dtype {
            DType::UInt8 => data.iter().map(|&byte| convert(i64::from(byte))).collect(),
            DType::Int32 => {
                data.as_chunks().0.iter().map(|&bytes| convert(i64::from(i32::from_le_bytes(bytes)))).collect()
            }
            DType::Int64 => data.as_chunks().0.iter().map(|&bytes| convert(i64::from_le_bytes(bytes))).collect(),
        }
    }

    /// The stored bytes of one row of a 2-D array of `uint8`; `None` for wider elements.
    pub(super) fn byte_row(&self, row: usize) -> Option<&[u8]> {
        if self.header.dtype != DType::UInt8 {
            return None;
        }
        let width = self.header.shape[1];
        Some(&self.map[self.header.data_offset + row * width..][..width])
    }

    /// Appends one row of a 2-D array; 64-bit values outside 32 bits become the nearest 32-bit value.
    pub(super) fn append_row(&self, row: usize, out: &mut Vec<i32>) {
        let width = self.header.shape[1] * self.header.dtype.size();
        let start = self.header.data_offset + row * width;
        let data = &self.map[start..start + width];
        match self.header.dtype {
            DType::UInt8 => out.extend(data.iter().copied().map(i32::from)),
            DType::Int32 => out.extend(data.as_chunks().0.iter().map(|&bytes| i32::from_le_bytes(bytes))),
            DType::Int64 => out.extend(
                data.as_chunks()
                    .0
                    .iter()
                    .map(|&bytes| i64::from_le_bytes(bytes).clamp(i64::from(i32::MIN), i64::from(i32::MAX)) as i32),
            ),
        }
    }
}

/// Writes an array row by row and the header last, when the number of rows is known.
#[derive(Debug)]
pub(super) struct NpyWriter {
    path: PathBuf,
    file: BulkFile,
    dtype: DType,
    /// Shape without the first dimension.
    row_shape: Vec<usize>,
    elements: usize,
}

impl NpyWriter {
    pub(super) fn create(path: &Path, dtype: DType, row_shape: &[usize]) -> Result<Self, DatasetError> {
        let file = BulkFile::create(path).map_err(DatasetError::io("create", path))?;
        let mut writer = Self { path: path.to_owned(), file, dtype, row_shape: row_shape.to_vec(), elements: 0 };
        // Room for the final header, which has the same length.
        let header = writer.header();
        writer.file.write_all(&header).map_err(DatasetError::io("write", path))?;
        Ok(writer)
    }

    /// Appends small values in the array's element type; whole rows must stand by the time of
    /// [`finish`](Self::finish).
    pub(super) fn extend(&mut self, values: &[u8]) -> Result<(), DatasetError> {
        match self.dtype {
            DType::UInt8 => self.file.write_all(values),
            DType::Int32 => values.iter().try_for_each(|&value| self.file.write_all(&i32::from(value).to_le_bytes())),
            DType::Int64 => values.iter().try_for_each(|&value| self.file.write_all(&i64::from(value).to_le_bytes())),
        }
        .map_err(DatasetError::io("write", &self.path))?;
        self.elements += values.len();
        Ok(())
    }

    /// Appends to an `int32` array.
    pub(super) fn extend_i32(&mut self, values: &[i32]) -> Result<(), DatasetError> {
        debug_assert_eq!(self.dtype, DType::Int32);
        self.elements += values.len();
        values
            .iter()
            .try_for_each(|value| self.file.write_all(&value.to_le_bytes()))
            .map_err(DatasetError::io("write", &self.path))
    }

    /// Writes the final header and waits until the file is on disk.
    pub(super) fn finish(self) -> Result<(), DatasetError> {
        let header = self.header();
        self.file.finish(&header).map_err(DatasetError::io("write", &self.path))
    }

    fn header(&self) -> Vec<u8> {
        let rows = self.elements / self.row_shape.iter().product::<usize>().max(1);
        let shape: Vec<usize> = std::iter::once(rows).chain(self.row_shape.iter().copied()).collect();
        NpyHeader::bytes(self.dtype, &shape)
    }
}
