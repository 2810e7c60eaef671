//! What must hold for every file: shared by the targets.

use models::torch_file;

/// Bytes that are gathered, so that an input costs microseconds.
const MAX_GATHERED_BYTES: usize = 1 << 16;

/// Reads `bytes` and everything that they claim to hold.
pub(crate) fn check(bytes: &[u8]) {
    let Ok(read) = torch_file::read(bytes, None) else { return };
    for (_, layout) in &read.tensors {
        assert!(layout.offset <= bytes.len());
        assert!(layout.packed_range().is_none_or(|range| range.end <= bytes.len()));
        if layout.byte_count() <= MAX_GATHERED_BYTES {
            let gathered = layout.gather(bytes);
            assert_eq!(gathered.len(), layout.byte_count());
            if let Some(range) = layout.packed_range() {
                assert_eq!(gathered, bytes[range]);
            }
        }
    }
    for checksum in torch_file::checksums(bytes).expect("it was read a moment ago") {
        assert!(checksum.range.end <= bytes.len());
    }
}
