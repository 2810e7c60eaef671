//! What a state dict's pickle describes, as plain data: tensors, storages and the values around them, which names of Python
//! stand for what, and what the few calls that may occur give. Nothing can be called: what another name makes is an opaque
//! value, of which only the name is known. Values lie in arenas and refer to each other by index, so that neither nesting
//! nor sharing nor cycles cost more than the pickle's own length.

use safetensors::Dtype;

use super::TorchFileError;
use super::pickle::Machine;

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

impl Machine<'_> {
    pub(super) fn persistent_id(&mut self) -> Result<(), TorchFileError> {
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
    pub(super) fn reduce(&mut self) -> Result<(), TorchFileError> {
        let arguments = self.pop()?;
        let function = match self.pop()? {
            Value::Global(function) => function,
            Value::Opaque(class) => return self.push(Value::Opaque(class)),
            _ => return Err(self.broken("something is called that is not a function")),
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
    pub(super) fn new_object(&mut self) -> Result<(), TorchFileError> {
        self.pop()?;
        match self.pop()? {
            Value::Opaque(class) => self.push(Value::Opaque(class)),
            Value::Global(Global::OrderedDict) => self.push_dict(Vec::new()),
            _ => Err(self.broken("an object is made of something that is not a class")),
        }
    }

    /// What a name of Python stands for: one of the known ones, or something opaque.
    pub(super) fn global(&mut self, module: &str, name: &str) -> Result<Value, TorchFileError> {
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
    pub(super) fn build(&mut self) -> Result<(), TorchFileError> {
        self.pop()?;
        match self.stack_top()? {
            Value::Dict(_) | Value::Opaque(_) => Ok(()),
            _ => Err(self.broken("attributes are set on something that is not a dict")),
        }
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
