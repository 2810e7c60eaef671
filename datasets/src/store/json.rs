//! JSON exactly as Python's `json.dump` prints it, and bounded reading of JSON files.
//! Owns bytes and limits; leaves field meaning to [`super::metadata`].

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Serializer;
use serde_json::ser::Formatter;

use crate::DatasetError;

/// Parses a JSON file of at most `max_bytes`.
pub(super) fn read<T: DeserializeOwned>(path: &Path, max_bytes: u64) -> Result<T, DatasetError> {
    let text = read_bounded(path, max_bytes)?;
    serde_json::from_slice(&text).map_err(|error| DatasetError::format(path, "valid JSON", error.to_string()))
}

/// The bytes of a JSON file of at most `max_bytes`; what lies beyond is never read.
pub(crate) fn read_bounded(path: &Path, max_bytes: u64) -> Result<Vec<u8>, DatasetError> {
    let file = File::open(path).map_err(DatasetError::io("open", path))?;
    let mut text = Vec::new();
    file.take(max_bytes + 1).read_to_end(&mut text).map_err(DatasetError::io("read", path))?;
    if text.len() as u64 > max_bytes {
        return Err(DatasetError::format(path, format!("JSON of at most {max_bytes} bytes"), "a larger file"));
    }
    Ok(text)
}

/// Writes a value as indented JSON, whole or not at all.
///
/// # Errors
/// When the file cannot be written.
pub fn write_json<T: Serialize>(path: &Path, value: &T) -> Result<(), DatasetError> {
    files::write_with(path, |out| {
        let failed = |error: serde_json::Error| DatasetError::io("write", path)(error.into());
        serde_json::to_writer_pretty(&mut *out, value).map_err(failed)?;
        out.write_all(b"\n").map_err(DatasetError::io("write", path))
    })
}

/// The bytes of `json.dumps(value)`: ", " and ": " between items, ASCII only, floats as `repr` prints them.
pub(crate) fn to_python_bytes<T: Serialize>(value: &T) -> Vec<u8> {
    let mut bytes = Vec::new();
    write_python(&mut bytes, value).expect("plain structs and lists always serialize into memory");
    bytes
}

/// `json.dump(value, out)`.
pub(super) fn write_python<T: Serialize + ?Sized>(out: impl Write, value: &T) -> io::Result<()> {
    value.serialize(&mut Serializer::with_formatter(out, PythonFormatter)).map_err(io::Error::from)
}

/// `json.dump(list(items), out)` of items that need not lie in memory together.
pub(super) fn write_python_list<T: Serialize>(out: impl Write, items: impl IntoIterator<Item = T>) -> io::Result<()> {
    use serde::Serializer as _;
    Serializer::with_formatter(out, PythonFormatter).collect_seq(items).map_err(io::Error::from)
}

/// `json.dump(dict(entries), out)`.
pub(super) fn write_python_map<K: Serialize, V: Serialize>(
    out: impl Write,
    entries: impl IntoIterator<Item = (K, V)>,
) -> io::Result<()> {
    use serde::Serializer as _;
    Serializer::with_formatter(out, PythonFormatter).collect_map(entries).map_err(io::Error::from)
}

struct PythonFormatter;

impl Formatter for PythonFormatter {
    fn write_f64<W: ?Sized + Write>(&mut self, writer: &mut W, value: f64) -> io::Result<()> {
        writer.write_all(python_float(value).as_bytes())
    }

    fn begin_array_value<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        writer.write_all(if first { b"" } else { b", " })
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        writer.write_all(if first { b"" } else { b", " })
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b": ")
    }

    fn write_string_fragment<W: ?Sized + Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        if fragment.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            return writer.write_all(fragment.as_bytes());
        }
        for character in fragment.chars() {
            if matches!(character, ' '..='~') {
                writer.write_all(&[character as u8])?;
            } else {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    write!(writer, "\\u{unit:04x}")?;
                }
            }
        }
        Ok(())
    }
}

/// `repr(value)` of Python: the shortest digits that round-trip, positional for exponents -4 to 15.
fn python_float(value: f64) -> String {
    let scientific = format!("{value:e}");
    let Some((mantissa, exponent)) = scientific.split_once('e') else {
        return scientific;
    };
    match exponent.parse::<i32>() {
        Ok(-4..=15) | Err(_) => format!("{value:?}"),
        Ok(exponent) => {
            let sign = if exponent < 0 { '-' } else { '+' };
            format!("{mantissa}e{sign}{:02}", exponent.abs())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_and_strings_are_printed_as_python_prints_them() {
        let cases = [
            (1.0, "1.0"),
            (3.327_272_727_272_727, "3.327272727272727"),
            (0.1, "0.1"),
            (1e15, "1000000000000000.0"),
            (1e16, "1e+16"),
            (1.5e300, "1.5e+300"),
            (0.0001, "0.0001"),
            (0.000_012_5, "1.25e-05"),
            (-0.0, "-0.0"),
        ];
        for (value, text) in cases {
            assert_eq!(python_float(value), text);
        }
        let bytes = to_python_bytes(&vec!["<blank>", "é\n\"\\", "😀\u{7f}"]);
        assert_eq!(String::from_utf8(bytes).unwrap(), r#"["<blank>", "\u00e9\n\"\\", "\ud83d\ude00\u007f"]"#);
    }
}
