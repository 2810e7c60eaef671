//! The instructions of a state dict's pickle, carried out on plain data: an opcode that is not listed here ends the reading,
//! and no listed one can call anything. What a global that is not listed makes is an opaque value, of which only the name
//! is known. Values lie in arenas and refer to each other by index, so that neither nesting nor sharing nor cycles cost more
//! than the pickle's own length.

use std::collections::HashMap;

use safetensors::Dtype;

use super::TorchFileError;

/// Values that a pickle may create; a tensor takes about six.
const MAX_VALUES: usize = 1 << 20;
/// Classes and functions of others that a pickle may name.
const MAX_OPAQUE: usize = 1 << 10;
/// Length of a class name in an error message.
const SHOWN_NAME: usize = 100;

/// A value of the pickle; compound ones by their index in [`Pickle`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Value {
    None,
    /// A truth value, an integer.
    Int(i64),
    /// Any other number, such as a learning rate or a seed of more than 64 bits; nothing asks which.
    Number,
    /// Bytes, such as the state of a random generator; nothing asks which.
    Bytes,
    Text(usize),
    /// A tuple or a list.
    Sequence(usize),
    Dict(usize),
    Global(Global),
    Storage(usize),
    Tensor(usize),
    /// Something of a class that is not known, or that class itself.
    Opaque(usize),
}

/// What is known of a value of somebody's own class.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Opaque {
    /// Module and name of the class or function, shortened.
    pub(super) name: String,
    /// Whether it stands in the place of a tensor.
    pub(super) is_tensor: bool,
}

/// What a state dict may name in Python.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Global {
    OrderedDict,
    Size,
    RebuildTensor,
    RebuildTensorV2,
    RebuildParameter,
    Storage(Dtype),
}

/// `('storage', type, key, location, element count)`: a stretch of memory that the archive holds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Storage<'a> {
    pub(super) dtype: Dtype,
    pub(super) key: &'a str,
    pub(super) element_count: i64,
}

/// The arguments of `torch._utils._rebuild_tensor_v2`, not yet checked against the storage.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tensor {
    pub(super) storage: usize,
    pub(super) offset: i64,
    /// Sequence of the sizes.
    pub(super) shape: usize,
    /// Sequence of the strides, in elements.
    pub(super) strides: usize,
}

/// A pickle that was read to its end.
#[derive(Debug)]
pub(super) struct Pickle<'a> {
    pub(super) root: Value,
    pub(super) texts: Vec<&'a str>,
    pub(super) sequences: Vec<Vec<Value>>,
    pub(super) dicts: Vec<Vec<(Value, Value)>>,
    pub(super) storages: Vec<Storage<'a>>,
    pub(super) tensors: Vec<Tensor>,
    /// Each once, in the order in which they are named.
    pub(super) opaques: Vec<Opaque>,
}

impl<'a> Pickle<'a> {
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

struct Machine<'a> {
    bytes: &'a [u8],
    position: usize,
    /// Values pushed so far.
    values: usize,
    stack: Vec<Value>,
    /// Heights of the stack at the open marks.
    marks: Vec<usize>,
    memo: HashMap<u64, Value>,
    pickle: Pickle<'a>,
    opaque_index: HashMap<Opaque, usize>,
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
            _ => return Err(self.broken("items are appended to something that is no list")),
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
            _ => Err(self.broken("pairs are put into something that is no dict")),
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

    fn persistent_id(&mut self) -> Result<(), TorchFileError> {
        let id = self.pop()?;
        if let Value::Sequence(fields) = id
            && let [
                Value::Text(kind),
                Value::Global(Global::Storage(dtype)),
                Value::Text(key),
                _,
                Value::Int(element_count),
            ] = self.pickle.sequences[fields][..]
            && self.pickle.texts[kind] == "storage"
        {
            let key = self.pickle.texts[key];
            self.pickle.storages.push(Storage { dtype, key, element_count });
            return self.push(Value::Storage(self.pickle.storages.len() - 1));
        }
        // A storage of a type that is not known is refused where a tensor of the state dict needs it.
        if let Value::Sequence(fields) = id
            && let [Value::Text(_), Value::Opaque(kind), Value::Text(_), ..] = self.pickle.sequences[fields][..]
        {
            return self.push_opaque_tensor(kind);
        }
        Err(self.broken("a storage is not described as torch.save describes it"))
    }

    /// The calls that may stand in a state dict, each with a fixed meaning.
    fn reduce(&mut self) -> Result<(), TorchFileError> {
        let arguments = self.pop()?;
        let function = match self.pop()? {
            Value::Global(function) => function,
            Value::Opaque(class) => return self.push(Value::Opaque(class)),
            _ => return Err(self.broken("something is called that is no function")),
        };
        let Value::Sequence(arguments) = arguments else {
            return Err(self.broken("a function is called without arguments"));
        };
        let arguments = &self.pickle.sequences[arguments][..];
        match (function, arguments) {
            (Global::OrderedDict, []) => self.push_dict(Vec::new()),
            (Global::OrderedDict, &[Value::Sequence(pairs)]) => {
                let pairs = self.pairs(pairs)?;
                self.push_dict(pairs)
            }
            (Global::Size, &[Value::Sequence(sizes)]) => self.push(Value::Sequence(sizes)),
            (Global::RebuildParameter, &[Value::Tensor(tensor), ..]) => self.push(Value::Tensor(tensor)),
            (
                Global::RebuildTensor | Global::RebuildTensorV2,
                &[Value::Storage(storage), Value::Int(offset), Value::Sequence(shape), Value::Sequence(strides), ..],
            ) => {
                self.pickle.tensors.push(Tensor { storage, offset, shape, strides });
                self.push(Value::Tensor(self.pickle.tensors.len() - 1))
            }
            (
                Global::RebuildTensor | Global::RebuildTensorV2 | Global::RebuildParameter,
                &[Value::Opaque(storage), ..],
            ) => self.push_opaque_tensor(storage),
            (_, arguments) => Err(match arguments.iter().find_map(opaque_of) {
                Some(opaque) => TorchFileError::Global { name: self.pickle.opaques[opaque].name.clone() },
                None => self.broken("a function is called with other arguments than torch.save writes"),
            }),
        }
    }

    /// NEWOBJ: an object of a class that is not known, or an empty `OrderedDict`.
    fn new_object(&mut self) -> Result<(), TorchFileError> {
        self.pop()?;
        match self.pop()? {
            Value::Opaque(class) => self.push(Value::Opaque(class)),
            Value::Global(Global::OrderedDict) => self.push_dict(Vec::new()),
            _ => Err(self.broken("an object is made of something that is no class")),
        }
    }

    /// What a name of Python stands for: one of the known ones, or something opaque.
    fn global(&mut self, module: &str, name: &str) -> Result<Value, TorchFileError> {
        if let Some(known) = global(module, name) {
            return Ok(Value::Global(known));
        }
        // Quantised, sparse and other tensors are put together by functions of these modules.
        let is_tensor = matches!(module, "torch._utils" | "torch._tensor") && name.starts_with("_rebuild");
        let name: String = format!("{module}.{name}").chars().take(SHOWN_NAME).collect();
        self.opaque(Opaque { name, is_tensor }).map(Value::Opaque)
    }

    fn opaque(&mut self, opaque: Opaque) -> Result<usize, TorchFileError> {
        if let Some(&known) = self.opaque_index.get(&opaque) {
            return Ok(known);
        }
        if self.pickle.opaques.len() == MAX_OPAQUE {
            return Err(TorchFileError::Limit { what: "classes of others in its pickle", most: MAX_OPAQUE });
        }
        self.pickle.opaques.push(opaque.clone());
        self.opaque_index.insert(opaque, self.pickle.opaques.len() - 1);
        Ok(self.pickle.opaques.len() - 1)
    }

    /// A tensor, or the storage of one, that depends on `opaque`.
    fn push_opaque_tensor(&mut self, opaque: usize) -> Result<(), TorchFileError> {
        let name = self.pickle.opaques[opaque].name.clone();
        let tensor = self.opaque(Opaque { name, is_tensor: true })?;
        self.push(Value::Opaque(tensor))
    }

    /// The pairs of an `OrderedDict` as Python 2 wrote them.
    fn pairs(&self, sequence: usize) -> Result<Vec<(Value, Value)>, TorchFileError> {
        let pair = |item: &Value| match *item {
            Value::Sequence(pair) => match self.pickle.sequences[pair][..] {
                [key, value] => Some((key, value)),
                _ => None,
            },
            _ => None,
        };
        let pairs: Option<Vec<_>> = self.pickle.sequences[sequence].iter().map(pair).collect();
        pairs.ok_or_else(|| self.broken("a dict is not made of pairs"))
    }

    /// The attributes of an `OrderedDict` (`_metadata`: versions of modules) and of opaque objects say nothing about tensors.
    fn build(&mut self) -> Result<(), TorchFileError> {
        self.pop()?;
        match self.stack_top()? {
            Value::Dict(_) | Value::Opaque(_) => Ok(()),
            _ => Err(self.broken("attributes are set on something that is no dict")),
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

    fn push(&mut self, value: Value) -> Result<(), TorchFileError> {
        self.values += 1;
        if self.values > MAX_VALUES {
            return Err(TorchFileError::Limit { what: "values in its pickle", most: MAX_VALUES });
        }
        self.stack.push(value);
        Ok(())
    }

    fn push_sequence(&mut self, items: Vec<Value>) -> Result<(), TorchFileError> {
        self.pickle.sequences.push(items);
        self.push(Value::Sequence(self.pickle.sequences.len() - 1))
    }

    fn push_dict(&mut self, pairs: Vec<(Value, Value)>) -> Result<(), TorchFileError> {
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

    fn stack_top(&self) -> Result<Value, TorchFileError> {
        match self.stack.last() {
            Some(&top) if self.stack.len() > self.floor() => Ok(top),
            _ => Err(self.broken("a value is missing")),
        }
    }

    fn pop(&mut self) -> Result<Value, TorchFileError> {
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

    fn broken(&self, problem: impl Into<String>) -> TorchFileError {
        TorchFileError::Pickle { problem: problem.into(), position: self.position }
    }
}

fn opaque_of(value: &Value) -> Option<usize> {
    match value {
        Value::Opaque(opaque) => Some(*opaque),
        _ => None,
    }
}

fn global(module: &str, name: &str) -> Option<Global> {
    Some(match (module, name) {
        ("collections", "OrderedDict") => Global::OrderedDict,
        ("torch", "Size") => Global::Size,
        ("torch._utils", "_rebuild_tensor") => Global::RebuildTensor,
        ("torch._utils", "_rebuild_tensor_v2") => Global::RebuildTensorV2,
        ("torch._utils", "_rebuild_parameter") => Global::RebuildParameter,
        ("torch", "FloatStorage") => Global::Storage(Dtype::F32),
        ("torch", "BFloat16Storage") => Global::Storage(Dtype::BF16),
        ("torch", "HalfStorage") => Global::Storage(Dtype::F16),
        ("torch", "DoubleStorage") => Global::Storage(Dtype::F64),
        ("torch", "LongStorage") => Global::Storage(Dtype::I64),
        ("torch", "IntStorage") => Global::Storage(Dtype::I32),
        ("torch", "ShortStorage") => Global::Storage(Dtype::I16),
        ("torch", "CharStorage") => Global::Storage(Dtype::I8),
        ("torch", "ByteStorage") => Global::Storage(Dtype::U8),
        ("torch", "BoolStorage") => Global::Storage(Dtype::BOOL),
        _ => return None,
    })
}
