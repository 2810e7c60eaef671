//! The header of an `.npy` file: bounded parsing of untrusted bytes, and the bytes that `np.save` writes.
//! Owns the format (NumPy NEP 1, versions 1 to 3); leaves the data behind it to [`super::npy`].
//!
//! Own code because the published parsers accept nested literals of any depth and overflow on large shapes.

use super::npy::DType;

pub(super) const MAGIC: &[u8; 6] = b"\x93NUMPY";
/// NumPy's own limit for headers of files it does not trust.
const MAX_HEADER_BYTES: usize = 10_000;
const MAX_DIMENSIONS: usize = 32;
const ALIGNMENT: usize = 64;
/// Room that `np.save` leaves for the first dimension to grow in place.
const GROWTH_DIGITS: usize = 21;

/// What a header says of an array of any element type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ArrayHeader {
    /// NumPy's type string, as `<i4`.
    pub(crate) descr: String,
    pub(crate) shape: Vec<usize>,
    /// Bytes from the start of the file to the first element.
    pub(crate) data_offset: usize,
}

impl ArrayHeader {
    /// More bytes than any header that is accepted.
    pub(crate) const MAX_BYTES: usize = 12 + MAX_HEADER_BYTES;

    /// Parses the start of a file; the error says what was expected and what was found.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, (String, String)> {
        if !bytes.starts_with(MAGIC) {
            let found = format!("{:02x?}", &bytes[..bytes.len().min(MAGIC.len())]);
            return Err(("an .npy file (starting with \\x93NUMPY)".into(), found));
        }
        let truncated = || ("a complete .npy header".to_owned(), format!("a file of {} bytes", bytes.len()));
        let (length, prefix) = match bytes.get(6) {
            Some(1) => (bytes.get(8..10).map(|size| usize::from(u16::from_le_bytes([size[0], size[1]]))), 10),
            Some(2 | 3) => {
                let size = bytes.get(8..12).map(|size| u32::from_le_bytes([size[0], size[1], size[2], size[3]]));
                (size.map(|size| size as usize), 12)
            }
            Some(version) => return Err((".npy format version 1, 2 or 3".into(), format!("version {version}"))),
            None => return Err(truncated()),
        };
        let length = length.ok_or_else(truncated)?;
        if length > MAX_HEADER_BYTES {
            return Err((format!("an .npy header of at most {MAX_HEADER_BYTES} bytes"), format!("{length} bytes")));
        }
        let text = bytes.get(prefix..prefix + length).ok_or_else(truncated)?;
        let (descr, shape) = Cursor { rest: text }.header()?;
        Ok(Self { descr, shape, data_offset: prefix + length })
    }
}

/// What the header of a dataset's array says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NpyHeader {
    pub(super) dtype: DType,
    pub(super) shape: Vec<usize>,
    /// Bytes from the start of the file to the first element.
    pub(super) data_offset: usize,
}

impl NpyHeader {
    /// Parses the start of a file; the error says what was expected and what was found.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, (String, String)> {
        let ArrayHeader { descr, shape, data_offset } = ArrayHeader::parse(bytes)?;
        let expected = "dtype uint8 ('|u1'), int32 ('<i4') or int64 ('<i8')";
        let dtype = DType::from_descr(&descr).ok_or_else(|| (expected.to_owned(), format!("{descr:?}")))?;
        Ok(Self { dtype, shape, data_offset })
    }

    /// The header that `np.save` writes for a C-order array; its length does not depend on the first dimension.
    pub(super) fn bytes(dtype: DType, shape: &[usize]) -> Vec<u8> {
        let dimensions: Vec<String> = shape.iter().map(ToString::to_string).collect();
        let comma = if shape.len() == 1 { "," } else { "" };
        let mut text = format!(
            "{{'descr': '{}', 'fortran_order': False, 'shape': ({}{comma}), }}",
            dtype.descr(),
            dimensions.join(", ")
        );
        let growth = dimensions.first().map_or(0, |rows| GROWTH_DIGITS - rows.len());
        text.extend(std::iter::repeat_n(' ', growth));
        let unpadded = MAGIC.len() + 4 + text.len() + 1;
        text.extend(std::iter::repeat_n(' ', ALIGNMENT - unpadded % ALIGNMENT));
        text.push('\n');
        let length = u16::try_from(text.len()).expect("a dict of one dtype and a shape stays below 64 KiB");
        [&MAGIC[..], &[1, 0], &length.to_le_bytes(), text.as_bytes()].concat()
    }
}

/// Reads the dict literal `{'descr': …, 'fortran_order': …, 'shape': …}` from the front.
struct Cursor<'a> {
    rest: &'a [u8],
}

type Failure = (String, String);

impl Cursor<'_> {
    fn header(mut self) -> Result<(String, Vec<usize>), Failure> {
        let (mut descr, mut shape, mut c_order) = (None, None, None);
        self.expect(b'{')?;
        while !self.accept(b'}') {
            match self.quoted()?.as_str() {
                "descr" if descr.is_none() => descr = Some(self.descr()?),
                "fortran_order" if c_order.is_none() => c_order = Some(self.c_order()?),
                "shape" if shape.is_none() => shape = Some(self.shape()?),
                key => return Err(("the keys descr, fortran_order and shape once each".into(), format!("{key:?}"))),
            }
            if !self.accept(b',') {
                self.expect(b'}')?;
                break;
            }
        }
        match (descr, shape, c_order) {
            (Some(descr), Some(shape), Some(())) => Ok((descr, shape)),
            _ => Err(("the header keys descr, fortran_order and shape".into(), "only some of them".into())),
        }
    }

    fn descr(&mut self) -> Result<String, Failure> {
        self.expect(b':')?;
        if self.accept(b'[') {
            return Err(("a dtype of plain numbers".into(), "a structured dtype".into()));
        }
        self.quoted()
    }

    fn c_order(&mut self) -> Result<(), Failure> {
        self.expect(b':')?;
        self.skip_space();
        match self.rest {
            [b'F', b'a', b'l', b's', b'e', rest @ ..] => {
                self.rest = rest;
                Ok(())
            }
            _ => Err((
                "a C-order array ('fortran_order': False); save it with np.ascontiguousarray".into(),
                self.shown(),
            )),
        }
    }

    fn shape(&mut self) -> Result<Vec<usize>, Failure> {
        self.expect(b':')?;
        self.expect(b'(')?;
        let mut shape = Vec::new();
        while !self.accept(b')') {
            self.skip_space();
            let digits = self.rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
            let number = std::str::from_utf8(&self.rest[..digits]).ok().and_then(|digits| digits.parse().ok());
            let Some(number) = number else {
                return Err(("a dimension below 2^64".into(), self.shown()));
            };
            if shape.len() == MAX_DIMENSIONS {
                return Err((format!("at most {MAX_DIMENSIONS} dimensions"), "more".into()));
            }
            shape.push(number);
            self.rest = &self.rest[digits..];
            if !self.accept(b',') {
                self.expect(b')')?;
                break;
            }
        }
        Ok(shape)
    }

    fn quoted(&mut self) -> Result<String, Failure> {
        self.skip_space();
        if let [quote @ (b'\'' | b'"'), rest @ ..] = self.rest
            && let Some(end) = rest.iter().position(|byte| byte == quote)
        {
            self.rest = &rest[end + 1..];
            return Ok(String::from_utf8_lossy(&rest[..end]).into_owned());
        }
        Err(("a quoted string in the .npy header".into(), self.shown()))
    }

    fn expect(&mut self, byte: u8) -> Result<(), Failure> {
        if self.accept(byte) {
            return Ok(());
        }
        Err((format!("'{}' in the .npy header", char::from(byte)), self.shown()))
    }

    fn accept(&mut self, byte: u8) -> bool {
        self.skip_space();
        let accepted = self.rest.first() == Some(&byte);
        if accepted {
            self.rest = &self.rest[1..];
        }
        accepted
    }

    fn skip_space(&mut self) {
        self.rest = self.rest.trim_ascii_start();
    }

    fn shown(&self) -> String {
        match self.rest {
            [] => "the end of the header".into(),
            rest => format!("{:?}", String::from_utf8_lossy(&rest[..rest.len().min(24)])),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_text(text: &str) -> Vec<u8> {
        [&MAGIC[..], &[1, 0], &(text.len() as u16).to_le_bytes(), text.as_bytes()].concat()
    }

    #[test]
    fn written_headers_are_parsed_back() {
        for (dtype, shape) in [
            (DType::UInt8, vec![0, 81]),
            (DType::Int64, vec![1_001_000, 81]),
            (DType::Int32, vec![7]),
            (DType::UInt8, vec![usize::MAX, 1]),
        ] {
            let bytes = NpyHeader::bytes(dtype, &shape);
            assert_eq!(bytes.len(), 128);
            let header = NpyHeader::parse(&bytes).expect("our own header");
            assert_eq!(header, NpyHeader { dtype, shape, data_offset: 128 });
        }
    }

    #[test]
    fn malformed_headers_say_what_is_wrong() {
        let nested = format!("{{'descr': '|u1', 'fortran_order': False, 'shape': {}", "(".repeat(9000));
        let cases = [
            (b"PK\x03\x04".to_vec(), "[50, 4b, 03, 04]"),
            (b"\x93NUMPY".to_vec(), "a file of 6 bytes"),
            (b"\x93NUMPY\x09\x00".to_vec(), "version 9"),
            (b"\x93NUMPY\x02\x00\xff\xff\xff\xff".to_vec(), "4294967295 bytes"),
            (b"\x93NUMPY\x01\x00\xff\x00{'descr'".to_vec(), "a file of 18 bytes"),
            (with_text("{'descr': '<f4', 'fortran_order': False, 'shape': (3,)}"), "<f4"),
            (with_text("{'descr': '>i4', 'fortran_order': False, 'shape': (3,)}"), ">i4"),
            (with_text("{'descr': [('a', '<i4')], 'fortran_order': False, 'shape': (3,)}"), "structured"),
            (with_text("{'descr': '|u1', 'fortran_order': True, 'shape': (3,)}"), "True"),
            (with_text("{'descr': '|u1', 'fortran_order': False, 'shape': (-3,)}"), "-3"),
            (with_text("{'descr': '|u1', 'fortran_order': False, 'shape': (99999999999999999999999,)}"), "9999"),
            (with_text("{'descr': '|u1', 'fortran_order': False}"), "only some"),
            (with_text("{'descr': '|u1', 'descr': '|u1'}"), "descr"),
            (with_text(&nested), "(((("),
            (with_text(""), "the end of the header"),
        ];
        for (bytes, hint) in cases {
            let (_, found) = NpyHeader::parse(&bytes).expect_err(hint);
            assert!(found.contains(hint), "{found:?} should mention {hint:?}");
        }
    }
}
