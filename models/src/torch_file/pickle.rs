//! The instructions of a pickle, one by one: bytes, stack, marks and memo. An opcode that is not listed here ends the reading.
//! Leaves to `objects` what a name of Python stands for and what a call gives.

use std::collections::HashMap;

use super::TorchFileError;
use super::objects::{Opaque, Pickle, Value};

/// Values that a pickle may create; a tensor takes about six.
const MAX_VALUES: usize = 1 << 20;

impl<'a> Pickle<'a> {
    /// Reads a pickle to its end.
    pub(super) fn load(bytes: &'a [u8]) -> Result<Self, TorchFileError> {
        let mut machine = Machine {
            bytes,
            position: 0,
            values: 0,
            stack: Vec::new(),
            marks: Vec::new(),
            memo: HashMap::new(),
            pickle: Pickle {
                root: Value::None,
                texts: Vec::new(),
                sequences: Vec::new(),
                dicts: Vec::new(),
                storages: Vec::new(),
                tensors: Vec::new(),
                opaques: Vec::new(),
            },
            opaque_index: HashMap::new(),
        };
        while !machine.step()? {}
        Ok(machine.pickle)
    }
}

/// A reader amid a pickle.
pub(super) struct Machine<'a> {
    bytes: &'a [u8],
    position: usize,
    /// Values pushed so far.
    values: usize,
    stack: Vec<Value>,
    /// Heights of the stack at the open marks.
    marks: Vec<usize>,
    memo: HashMap<u64, Value>,
    pub(super) pickle: Pickle<'a>,
    pub(super) opaque_index: HashMap<Opaque, usize>,
}

impl Machine<'_> {
    /// Carries out one instruction; true at the end.
    fn step(&mut self) -> Result<bool, TorchFileError> {
        let position = self.position;
        let code = self.take(1)?[0];
        match code {
            // PROTO, FRAME: versions 2 to 5 differ only in the opcodes that they use.
            0x80 => _ = self.take(1)?,
            0x95 => _ = self.take(8)?,
            b'.' => {
                self.pickle.root = self.pop()?;
                return Ok(true);
            }
            b'N' => self.push(Value::None)?,
            0x88 => self.push(Value::Int(1))?,
            0x89 => self.push(Value::Int(0))?,
            b'K' => {
                let value = self.unsigned(1)? as i64;
                self.push(Value::Int(value))?;
            }
            b'M' => {
                let value = self.unsigned(2)? as i64;
                self.push(Value::Int(value))?;
            }
            b'J' => {
                let value = i64::from(self.unsigned(4)? as u32 as i32);
                self.push(Value::Int(value))?;
            }
            // LONG1, LONG4.
            0x8a => self.long(1)?,
            0x8b => self.long(4)?,
            b'G' => {
                self.take(8)?;
                self.push(Value::Number)?;
            }
            // BINBYTES, SHORT_BINBYTES, BINBYTES8, BYTEARRAY8.
            b'B' => self.bytes(4)?,
            b'C' => self.bytes(1)?,
            0x8e | 0x96 => self.bytes(8)?,
            // BINUNICODE, SHORT_BINUNICODE, BINUNICODE8, and the strings of Python 2.
            b'X' | b'T' => self.text(4)?,
            0x8c | b'U' => self.text(1)?,
            0x8d => self.text(8)?,
            b'(' => self.mark()?,
            // EMPTY_TUPLE, EMPTY_LIST, EMPTY_SET.
            b')' | b']' | 0x8f => self.push_sequence(Vec::new())?,
            // TUPLE, FROZENSET.
            b't' | 0x91 => {
                let items = self.pop_to_mark()?;
                self.push_sequence(items)?;
            }
            0x85..=0x87 => {
                let count = usize::from(code - 0x84);
                let items = self.pop_many(count)?;
                self.push_sequence(items)?;
            }
            b'}' => self.push_dict(Vec::new())?,
            b'a' => {
                let item = self.pop()?;
                self.append(vec![item])?;
            }
            // APPENDS, ADDITEMS.
            b'e' | 0x90 => {
                let items = self.pop_to_mark()?;
                self.append(items)?;
            }
            b's' => {
                let pair = self.pop_many(2)?;
                self.set_items(&pair)?;
            }
            b'u' => {
                let pairs = self.pop_to_mark()?;
                self.set_items(&pairs)?;
            }
            // BINPUT, LONG_BINPUT, MEMOIZE; BINGET, LONG_BINGET.
            b'q' | b'r' => {
                let index = self.unsigned(if code == b'q' { 1 } else { 4 })?;
                self.memoize(index)?;
            }
            0x94 => self.memoize(self.memo.len() as u64)?,
            b'h' | b'j' => {
                let index = self.unsigned(if code == b'h' { 1 } else { 4 })?;
                let value = *self.memo.get(&index).ok_or_else(|| self.broken(format!("value {index} is not known")))?;
                self.push(value)?;
            }
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                let found = self.global(module, name)?;
                self.push(found)?;
            }
            0x93 => self.stack_global()?,
            b'Q' => self.persistent_id()?,
            b'R' => self.reduce()?,
            0x81 => self.new_object()?,
            // NEWOBJ_EX, with arguments by name.
            0x92 => {
                self.pop()?;
                self.new_object()?;
            }
            // POP, POP_MARK: what recursive tuples leave behind.
            b'0' => _ = self.pop()?,
            b'1' => _ = self.pop_to_mark()?,
            b'b' => self.build()?,
            code => return Err(TorchFileError::Opcode { code, position }),
        }
        Ok(false)
    }

    /// LONG1 and LONG4: little-endian, two's complement, of any length.
    fn long(&mut self, length_bytes: usize) -> Result<(), TorchFileError> {
        let length = self.unsigned(length_bytes)? as usize;
        let digits = self.take(length)?;
        if length > 8 {
            return self.push(Value::Number);
        }
        let mut bytes = [if digits.last().is_some_and(|&last| last >= 0x80) { 0xff } else { 0 }; 8];
        bytes[..length].copy_from_slice(digits);
        self.push(Value::Int(i64::from_le_bytes(bytes)))
    }

    fn bytes(&mut self, length_bytes: usize) -> Result<(), TorchFileError> {
        let length = self.unsigned(length_bytes)?;
        let length = usize::try_from(length).map_err(|_| self.broken("a string of bytes is longer than the memory"))?;
        self.take(length)?;
        self.push(Value::Bytes)
    }

    fn text(&mut self, length_bytes: usize) -> Result<(), TorchFileError> {
        let length = self.unsigned(length_bytes)?;
        let length = usize::try_from(length).map_err(|_| self.broken("a text is longer than the memory"))?;
        let bytes = self.take(length)?;
        let text = std::str::from_utf8(bytes).map_err(|_| self.broken("a text is not UTF-8"))?;
        self.pickle.texts.push(text);
        self.push(Value::Text(self.pickle.texts.len() - 1))
    }

    fn append(&mut self, items: Vec<Value>) -> Result<(), TorchFileError> {
        match self.stack_top()? {
            Value::Sequence(list) => self.pickle.sequences[list].extend(items),
            Value::Opaque(_) => {}
            _ => return Err(self.broken("items are appended to something that is not a list")),
        }
        Ok(())
    }

    fn set_items(&mut self, pairs: &[Value]) -> Result<(), TorchFileError> {
        let (pairs, rest) = pairs.as_chunks::<2>();
        match self.stack_top()? {
            Value::Dict(dict) if rest.is_empty() => {
                self.pickle.dicts[dict].extend(pairs.iter().map(|&[key, value]| (key, value)));
                Ok(())
            }
            Value::Opaque(_) if rest.is_empty() => Ok(()),
            _ => Err(self.broken("pairs are put into something that is not a dict")),
        }
    }

    fn memoize(&mut self, index: u64) -> Result<(), TorchFileError> {
        let value = self.stack_top()?;
        if self.memo.len() == MAX_VALUES {
            return Err(TorchFileError::Limit { what: "values in its pickle", most: MAX_VALUES });
        }
        self.memo.insert(index, value);
        Ok(())
    }

    fn stack_global(&mut self) -> Result<(), TorchFileError> {
        match self.pop_many(2)?[..] {
            [Value::Text(module), Value::Text(name)] => {
                let found = self.global(self.pickle.texts[module], self.pickle.texts[name])?;
                self.push(found)
            }
            _ => Err(self.broken("a global has no name")),
        }
    }
}

impl<'a> Machine<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], TorchFileError> {
        let taken = self.position.checked_add(count).and_then(|end| self.bytes.get(self.position..end));
        let taken = taken.ok_or_else(|| self.broken("it ends in the middle"))?;
        self.position += count;
        Ok(taken)
    }

    fn unsigned(&mut self, count: usize) -> Result<u64, TorchFileError> {
        let mut bytes = [0; 8];
        bytes[..count].copy_from_slice(self.take(count)?);
        Ok(u64::from_le_bytes(bytes))
    }

    fn line(&mut self) -> Result<&'a str, TorchFileError> {
        let rest = &self.bytes[self.position..];
        let length = rest.iter().position(|&byte| byte == b'\n');
        let length = length.ok_or_else(|| self.broken("it ends in the middle of a name"))?;
        let line = std::str::from_utf8(&self.take(length + 1)?[..length]);
        line.map_err(|_| self.broken("a name is not UTF-8"))
    }

    pub(super) fn push(&mut self, value: Value) -> Result<(), TorchFileError> {
        self.values += 1;
        if self.values > MAX_VALUES {
            return Err(TorchFileError::Limit { what: "values in its pickle", most: MAX_VALUES });
        }
        self.stack.push(value);
        Ok(())
    }

    pub(super) fn push_sequence(&mut self, items: Vec<Value>) -> Result<(), TorchFileError> {
        self.pickle.sequences.push(items);
        self.push(Value::Sequence(self.pickle.sequences.len() - 1))
    }

    pub(super) fn push_dict(&mut self, pairs: Vec<(Value, Value)>) -> Result<(), TorchFileError> {
        self.pickle.dicts.push(pairs);
        self.push(Value::Dict(self.pickle.dicts.len() - 1))
    }

    fn mark(&mut self) -> Result<(), TorchFileError> {
        if self.marks.len() == MAX_VALUES {
            return Err(TorchFileError::Limit { what: "marks in its pickle", most: MAX_VALUES });
        }
        self.marks.push(self.stack.len());
        Ok(())
    }

    /// Height of the stack below which nothing may be taken before its mark is.
    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    pub(super) fn stack_top(&self) -> Result<Value, TorchFileError> {
        match self.stack.last() {
            Some(&top) if self.stack.len() > self.floor() => Ok(top),
            _ => Err(self.broken("a value is missing")),
        }
    }

    pub(super) fn pop(&mut self) -> Result<Value, TorchFileError> {
        let top = self.stack_top()?;
        self.stack.pop();
        Ok(top)
    }

    fn pop_many(&mut self, count: usize) -> Result<Vec<Value>, TorchFileError> {
        let start = self.stack.len().checked_sub(count).filter(|&start| start >= self.floor());
        let start = start.ok_or_else(|| self.broken("a value is missing"))?;
        Ok(self.stack.split_off(start))
    }

    fn pop_to_mark(&mut self) -> Result<Vec<Value>, TorchFileError> {
        let mark = self.marks.pop().ok_or_else(|| self.broken("a mark is missing"))?;
        Ok(self.stack.split_off(mark))
    }

    pub(super) fn broken(&self, problem: impl Into<String>) -> TorchFileError {
        TorchFileError::Pickle { problem: problem.into(), position: self.position }
    }
}
