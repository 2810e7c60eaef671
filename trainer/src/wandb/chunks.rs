//! The framing of a Weights & Biases run file: records in chunks that do not cross a block's end, each with its checksum (the
//! layout of `LevelDB`'s log). Knows nothing of what the records say.

use std::io::{self, Write};

/// Bytes of a block.
pub(crate) const BLOCK: usize = 32_768;
/// Checksum, length, kind.
pub(crate) const CHUNK_HEADER: usize = 7;
/// First bytes of a file; they count in the first block.
pub(crate) const FILE_HEADER: [u8; 7] = [b':', b'W', b'&', b'B', 0xE1, 0xBE, 0];

/// A chunk that holds a whole record; its first, a middle and its last part.
const KINDS: [u8; 4] = [1, 2, 3, 4];

/// Appends records to a file.
#[derive(Debug)]
pub(crate) struct ChunkWriter<W> {
    target: W,
    /// Bytes of the last block that are in use.
    used: usize,
}

impl<W: Write> ChunkWriter<W> {
    /// Begins a file.
    pub(crate) fn begin(mut target: W) -> io::Result<Self> {
        target.write_all(&FILE_HEADER)?;
        Ok(Self { target, used: FILE_HEADER.len() })
    }

    /// Appends a record and flushes it.
    pub(crate) fn append(&mut self, record: &[u8]) -> io::Result<()> {
        let [whole, first, middle, last] = KINDS;
        let (mut left, mut is_first) = (record, true);
        loop {
            if BLOCK - self.used < CHUNK_HEADER {
                self.target.write_all(&[0; CHUNK_HEADER][..BLOCK - self.used])?;
                self.used = 0;
            }
            let (part, rest) = left.split_at(left.len().min(BLOCK - self.used - CHUNK_HEADER));
            let kind = match (is_first, rest.is_empty()) {
                (true, true) => whole,
                (true, false) => first,
                (false, false) => middle,
                (false, true) => last,
            };
            let mut checksum = crc32fast::Hasher::new();
            checksum.update(&[kind]);
            checksum.update(part);
            self.target.write_all(&checksum.finalize().to_le_bytes())?;
            // A part is shorter than a block, so its length fits.
            self.target.write_all(&(part.len() as u16).to_le_bytes())?;
            self.target.write_all(&[kind])?;
            self.target.write_all(part)?;
            self.used = (self.used + CHUNK_HEADER + part.len()) % BLOCK;
            (left, is_first) = (rest, false);
            if left.is_empty() {
                return self.target.flush();
            }
        }
    }
}

/// The records of a file, or what is wrong with it.
#[cfg(test)]
pub(crate) fn read_records(bytes: &[u8]) -> Result<Vec<Vec<u8>>, String> {
    let mut at = FILE_HEADER.len();
    if bytes.get(..at) != Some(&FILE_HEADER[..]) {
        return Err("no file header".into());
    }
    let (mut records, mut open): (Vec<Vec<u8>>, Option<Vec<u8>>) = (Vec::new(), None);
    while at < bytes.len() {
        let left = BLOCK - at % BLOCK;
        if left < CHUNK_HEADER {
            at += left;
            continue;
        }
        let header: [u8; CHUNK_HEADER] = bytes[at..].first_chunk().copied().ok_or("a header is cut short")?;
        let length = usize::from(u16::from_le_bytes([header[4], header[5]]));
        let part = bytes.get(at + CHUNK_HEADER..at + CHUNK_HEADER + length).ok_or("a chunk is cut short")?;
        let checksum = crc32fast::hash(&[&header[6..], part].concat());
        if checksum.to_le_bytes() != header[..4] {
            return Err(format!("wrong checksum at byte {at}"));
        }
        match (header[6], open.take()) {
            (1, None) => records.push(part.to_vec()),
            (2, None) => open = Some(part.to_vec()),
            (3, Some(record)) => open = Some([&record[..], part].concat()),
            (4, Some(record)) => records.push([&record[..], part].concat()),
            (kind, _) => return Err(format!("a chunk of kind {kind} out of order at byte {at}")),
        }
        at += CHUNK_HEADER + length;
    }
    if open.is_some() { Err("the last record is cut short".into()) } else { Ok(records) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_of_every_length_around_a_block_come_back() {
        let lengths = [0, 1, BLOCK - 14, 1, 5, BLOCK - 7, BLOCK, 3 * BLOCK + 11, 2, BLOCK - 13, BLOCK - 12, 0, 9];
        let records: Vec<Vec<u8>> = lengths.iter().zip(1..).map(|(&length, byte)| vec![byte; length]).collect();
        let mut file = Vec::new();
        let mut writer = ChunkWriter::begin(&mut file).unwrap();
        for record in &records {
            writer.append(record).unwrap();
        }
        assert_eq!(read_records(&file), Ok(records));
        file[10] ^= 1;
        assert_eq!(read_records(&file), Err("wrong checksum at byte 7".into()));
    }
}
