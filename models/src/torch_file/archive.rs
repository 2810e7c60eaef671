//! The zip archive of a `torch.save` file: which bytes of the file are the pickle, and which are the storages.
//! Compressed entries are refused, for `torch.save` writes none: what is read can therefore never be larger than the
//! file, and overlapping entries are refused too.

use std::collections::HashMap;
use std::ops::Range;

use rawzip::{CompressionMethod, ZipArchive, ZipFileHeaderRecord, ZipSliceArchive};

use super::{Checksum, TorchFileError};

/// Entries of an archive; one per tensor and a few more.
const MAX_ENTRIES: usize = 1 << 17;
/// Size of the pickle, which holds about 130 bytes per tensor.
const MAX_PICKLE_BYTES: usize = 8 << 20;
/// Length of an entry's name.
const MAX_NAME_BYTES: usize = 1024;

const PICKLE: &str = "data.pkl";

/// The entries of an archive in memory or mapped.
pub(super) struct Archive<'a> {
    bytes: &'a [u8],
    pickle: Range<usize>,
    /// By the storage's key, the part of its name after `data/`.
    storages: HashMap<String, Range<usize>>,
    entries: Vec<Entry>,
}

struct Entry {
    name: String,
    range: Range<usize>,
    crc32: u32,
}

impl<'a> Archive<'a> {
    pub(super) fn open(bytes: &'a [u8]) -> Result<Self, TorchFileError> {
        let zip = ZipArchive::from_slice(bytes).map_err(malformed)?;
        let entries = entries(&zip)?;
        refuse_overlaps(&entries, zip.directory_offset())?;
        let root = root(&entries)?;

        let mut storages = HashMap::new();
        let mut pickle = None;
        for Entry { name, range, .. } in &entries {
            match name.strip_prefix(&root) {
                Some(PICKLE) => pickle = Some(range.clone()),
                Some("byteorder") if bytes[range.clone()].trim_ascii() != b"little" => {
                    return Err(TorchFileError::Layout { problem: "its numbers are not little-endian".into() });
                }
                Some(inside) => {
                    if let Some(key) = inside.strip_prefix("data/")
                        && storages.insert(key.to_owned(), range.clone()).is_some()
                    {
                        return Err(TorchFileError::archive(format!("there are two storages {key:?}")));
                    }
                }
                None => {}
            }
        }
        let pickle = pickle.ok_or_else(|| TorchFileError::archive("its pickle is gone"))?;
        if pickle.len() > MAX_PICKLE_BYTES {
            return Err(TorchFileError::Limit { what: "bytes of pickle", most: MAX_PICKLE_BYTES });
        }
        Ok(Self { bytes, pickle, storages, entries })
    }

    pub(super) fn pickle(&self) -> &'a [u8] {
        &self.bytes[self.pickle.clone()]
    }

    /// Where in the file the storage `key` lies.
    pub(super) fn storage(&self, key: &str) -> Option<Range<usize>> {
        self.storages.get(key).cloned()
    }

    /// Zero stands for a checksum that was never computed.
    pub(super) fn checksums(self) -> Vec<Checksum> {
        let known = self.entries.into_iter().filter(|entry| entry.crc32 != 0);
        known.map(|Entry { name: entry, range, crc32 }| Checksum { entry, range, crc32 }).collect()
    }
}

fn entries(zip: &ZipSliceArchive<&[u8]>) -> Result<Vec<Entry>, TorchFileError> {
    let mut found = Vec::new();
    for record in zip.entries() {
        let record = record.map_err(malformed)?;
        if found.len() == MAX_ENTRIES {
            return Err(TorchFileError::Limit { what: "archive entries", most: MAX_ENTRIES });
        }
        found.push(entry(zip, &record)?);
    }
    if found.len() as u64 != zip.entries_hint() {
        let problem = format!("its directory lists {} entries and says {}", found.len(), zip.entries_hint());
        return Err(TorchFileError::archive(problem));
    }
    Ok(found)
}

fn entry(zip: &ZipSliceArchive<&[u8]>, record: &ZipFileHeaderRecord<'_>) -> Result<Entry, TorchFileError> {
    let path = record.file_path();
    let name = match std::str::from_utf8(path.as_bytes()) {
        Ok(name) if name.len() <= MAX_NAME_BYTES => name.to_owned(),
        _ => return Err(TorchFileError::archive("an entry's name is not text of sensible length")),
    };
    let (start, end) = zip.get_entry(record.wayfinder()).map_err(malformed)?.compressed_data_range();
    let range = start as usize..end as usize;
    if record.compression_method() != CompressionMethod::STORE || record.uncompressed_size_hint() != range.len() as u64
    {
        return Err(TorchFileError::Layout {
            problem: format!("its entry {name:?} is compressed, and torch.save compresses nothing"),
        });
    }
    if record.flags().is_encrypted() {
        return Err(TorchFileError::Layout { problem: format!("its entry {name:?} is encrypted") });
    }
    Ok(Entry { name, range, crc32: record.crc32() })
}

fn refuse_overlaps(entries: &[Entry], directory: u64) -> Result<(), TorchFileError> {
    let mut ranges: Vec<_> = entries.iter().map(|entry| &entry.range).filter(|range| !range.is_empty()).collect();
    ranges.sort_by_key(|range| range.start);
    let overlap = ranges.windows(2).any(|pair| pair[1].start < pair[0].end);
    if overlap || ranges.last().is_some_and(|range| range.end as u64 > directory) {
        return Err(TorchFileError::archive("its entries overlap"));
    }
    Ok(())
}

/// The folder of the pickle, with its slash: `torch.save` names it after the file, older releases `archive`.
fn root(entries: &[Entry]) -> Result<String, TorchFileError> {
    let roots: Vec<&str> = entries
        .iter()
        .filter_map(|entry| entry.name.strip_suffix(PICKLE))
        .filter(|root| root.is_empty() || root.ends_with('/'))
        .collect();
    match roots[..] {
        [root] => Ok(root.to_owned()),
        [] => Err(TorchFileError::Layout { problem: "it holds no data.pkl".into() }),
        _ => Err(TorchFileError::Layout { problem: format!("it holds {} files data.pkl", roots.len()) }),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the signature that map_err wants")]
fn malformed(error: rawzip::Error) -> TorchFileError {
    TorchFileError::archive(error.to_string())
}
