//! Where one tensor lies in a mapped file, and how its elements are read in row-major order.
//! Leaves the checks against the file's length to the readers of the two formats.

use std::ops::Range;

use safetensors::Dtype;

/// A tensor inside the bytes of a file, contiguous or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorLayout {
    /// Type of an element, little-endian.
    pub dtype: Dtype,
    /// Size of each dimension, outermost first; empty for a scalar.
    pub shape: Vec<usize>,
    /// Elements between neighbours along each dimension.
    pub strides: Vec<usize>,
    /// Byte of the file at which the first element begins.
    pub offset: usize,
}

impl TensorLayout {
    /// Row-major elements without gaps from `offset` on.
    pub fn contiguous(dtype: Dtype, shape: &[usize], offset: usize) -> Self {
        let mut strides = vec![1; shape.len()];
        for dimension in (1..shape.len()).rev() {
            strides[dimension - 1] = strides[dimension] * shape[dimension].max(1);
        }
        Self { dtype, shape: shape.to_vec(), strides, offset }
    }

    /// Number of elements.
    pub fn element_count(&self) -> usize {
        self.shape.iter().product()
    }

    /// Bytes of all elements, packed.
    pub fn byte_count(&self) -> usize {
        self.element_count() * self.element_bytes()
    }

    /// The tensor's bytes in the file, if they lie there in row-major order.
    pub fn packed_range(&self) -> Option<Range<usize>> {
        let mut expected = 1;
        for (&size, &stride) in self.shape.iter().zip(&self.strides).rev() {
            // A dimension of one element is never stepped along.
            if size != 1 && stride != expected {
                return (self.element_count() == 0).then_some(self.offset..self.offset);
            }
            expected *= size;
        }
        Some(self.offset..self.offset + self.byte_count())
    }

    /// The rows `range` of the outermost dimension; a scalar is its own and only row.
    pub(super) fn rows(&self, range: Range<usize>) -> Self {
        let mut rows = self.clone();
        if let (Some(size), Some(stride)) = (rows.shape.first_mut(), self.strides.first()) {
            *size = range.len();
            rows.offset += range.start * stride * self.element_bytes();
        }
        rows
    }

    /// Bytes of all elements in row-major order, out of the file `bytes` that the layout belongs to.
    ///
    /// # Panics
    /// When `bytes` is shorter than the file that was looked at.
    pub fn gather(&self, bytes: &[u8]) -> Vec<u8> {
        let mut packed = Vec::with_capacity(self.byte_count());
        self.for_each_run(|offset, count, stride| {
            let size = self.element_bytes();
            if stride == 1 {
                packed.extend_from_slice(&bytes[offset..offset + count * size]);
            } else {
                for element in 0..count {
                    let start = offset + element * stride * size;
                    packed.extend_from_slice(&bytes[start..start + size]);
                }
            }
        });
        packed
    }

    /// Calls `visit(byte offset, elements, stride)` for every run along the innermost dimension, in row-major order.
    fn for_each_run(&self, mut visit: impl FnMut(usize, usize, usize)) {
        if self.element_count() == 0 {
            return;
        }
        let Some((&count, outer)) = self.shape.split_last() else {
            return visit(self.offset, 1, 1);
        };
        let stride = self.strides[outer.len()];
        let mut index = vec![0; outer.len()];
        loop {
            let start: usize = index.iter().zip(&self.strides).map(|(index, stride)| index * stride).sum();
            visit(self.offset + start * self.element_bytes(), count, stride);
            // The next index, as an odometer counts.
            let Some(wheel) = (0..outer.len()).rev().find(|&wheel| index[wheel] + 1 < outer[wheel]) else {
                return;
            };
            index[wheel] += 1;
            index[wheel + 1..].fill(0);
        }
    }

    fn element_bytes(&self) -> usize {
        self.dtype.bitsize() / 8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(count: u8) -> Vec<u8> {
        (0..count).collect()
    }

    #[test]
    fn a_transposed_view_is_gathered_by_columns() {
        // A stored 2x3 matrix [[0, 1, 2], [3, 4, 5]] seen as its transpose.
        let transposed = TensorLayout { dtype: Dtype::U8, shape: vec![3, 2], strides: vec![1, 3], offset: 0 };
        assert_eq!(transposed.packed_range(), None);
        assert_eq!(transposed.gather(&numbers(6)), [0, 3, 1, 4, 2, 5]);
        assert_eq!(transposed.rows(2..3).gather(&numbers(6)), [2, 5]);
    }

    #[test]
    fn steps_offsets_and_repeats_are_honoured() {
        // x[1::2, ::3] of a 4x6 matrix that begins at byte 2, each element one byte.
        let sliced = TensorLayout { dtype: Dtype::U8, shape: vec![2, 2], strides: vec![12, 3], offset: 2 + 6 };
        assert_eq!(sliced.gather(&numbers(26)), [8, 11, 20, 23]);
        let repeated = TensorLayout { dtype: Dtype::U8, shape: vec![2, 3], strides: vec![0, 1], offset: 1 };
        assert_eq!(repeated.gather(&numbers(4)), [1, 2, 3, 1, 2, 3]);
        assert_eq!(repeated.packed_range(), None);
    }

    #[test]
    fn strides_of_single_elements_do_not_matter() {
        let row = TensorLayout { dtype: Dtype::F32, shape: vec![1, 4], strides: vec![77, 1], offset: 8 };
        assert_eq!(row.packed_range(), Some(8..24));
        let scalar = TensorLayout::contiguous(Dtype::F32, &[], 4);
        assert_eq!((scalar.packed_range(), scalar.gather(&numbers(8))), (Some(4..8), vec![4, 5, 6, 7]));
        let empty = TensorLayout { dtype: Dtype::F32, shape: vec![0, 4], strides: vec![9, 9], offset: 4 };
        assert_eq!((empty.packed_range(), empty.gather(&numbers(8))), (Some(4..4), vec![]));
    }
}
