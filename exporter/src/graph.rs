//! Grows an ONNX graph node by node: constants are stored once, equal nodes are shared, dead ones dropped.
//! Owns names and structure; leaves which nodes a model operation becomes to `emitter`.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use prost::Message;

use crate::proto::{self, AttributeProto, GraphProto, NodeProto, TensorProto, ValueInfoProto};

/// Domain of ONNX Runtime's own operators.
pub(crate) const MICROSOFT: &str = "com.microsoft";
/// Name of the one dynamic dimension.
pub(crate) const BATCH: &str = "batch";

/// Element type of a graph's input or output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ElementType {
    /// IEEE single precision.
    Float32,
    /// 64-bit signed integer.
    Int64,
    /// Truth value, one byte.
    Bool,
}

impl ElementType {
    fn code(self) -> i32 {
        match self {
            Self::Float32 => proto::FLOAT,
            Self::Int64 => proto::INT64,
            Self::Bool => proto::BOOL,
        }
    }
}

/// An input or output of a graph. The first dimension is always `batch`, and dynamic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorInfo {
    /// Name.
    pub name: String,
    /// Element type.
    pub element_type: ElementType,
    /// Dimensions after `batch`; where one has a symbol, its size on the largest board that the model was trained on.
    pub row_shape: Vec<usize>,
    /// Names of dimensions that follow the size of the board, in the order of `row_shape`: `None` where it is fixed, and
    /// where the list ends.
    pub symbols: Vec<Option<&'static str>>,
}

impl TensorInfo {
    /// An input or output of fixed dimensions.
    pub fn new(name: &str, element_type: ElementType, row_shape: &[usize]) -> Self {
        Self { name: name.to_owned(), element_type, row_shape: row_shape.to_vec(), symbols: Vec::new() }
    }

    /// Each dimension after `batch`, with its symbol where it has one.
    pub fn dimensions(&self) -> impl Iterator<Item = (usize, Option<&'static str>)> {
        let symbols = self.symbols.iter().copied().chain(std::iter::repeat(None));
        self.row_shape.iter().copied().zip(symbols)
    }
}

impl std::fmt::Display for TensorInfo {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = match self.element_type {
            ElementType::Float32 => "float32",
            ElementType::Int64 => "int64",
            ElementType::Bool => "bool",
        };
        write!(formatter, "{} {kind} [{BATCH}", self.name)?;
        self.dimensions().try_for_each(|(size, symbol)| match symbol {
            Some(symbol) => write!(formatter, ", {symbol}"),
            None => write!(formatter, ", {size}"),
        })?;
        formatter.write_str("]")
    }
}

/// A value inside the graph: its name and its dimensions after `batch`.
#[derive(Debug, Clone)]
pub(crate) struct Symbol {
    pub(crate) name: String,
    pub(crate) row_shape: Vec<usize>,
}

impl Symbol {
    /// Size of the last dimension.
    pub(crate) fn width(&self) -> usize {
        *self.row_shape.last().expect("an activation has at least one dimension besides the batch")
    }
}

/// A graph under construction.
#[derive(Debug, Default)]
pub(crate) struct GraphBuilder {
    nodes: Vec<NodeProto>,
    initializers: BTreeMap<String, TensorProto>,
    inputs: Vec<TensorInfo>,
    declared: BTreeMap<String, TensorInfo>,
    /// Outputs by what computes them: a node equal but for its name would compute the same.
    computed: HashMap<Vec<u8>, Vec<String>>,
}

impl GraphBuilder {
    /// Declares an input.
    pub(crate) fn input(&mut self, name: &str, element_type: ElementType, row_shape: &[usize]) -> Symbol {
        self.declared_input(&TensorInfo::new(name, element_type, row_shape))
    }

    /// Declares an input that may have symbolic dimensions.
    pub(crate) fn declared_input(&mut self, info: &TensorInfo) -> Symbol {
        self.inputs.push(info.clone());
        Symbol { name: info.name.clone(), row_shape: info.row_shape.clone() }
    }

    /// The declared inputs, in order.
    pub(crate) fn inputs(&self) -> &[TensorInfo] {
        &self.inputs
    }

    /// States the shape of the float value `name`, for runtimes that cannot infer it.
    pub(crate) fn declare(&mut self, name: &str, row_shape: &[usize]) {
        let info = TensorInfo::new(name, ElementType::Float32, row_shape);
        self.declared.insert(name.to_owned(), info);
    }

    /// The float constant `name`, whose values are asked for only when it is new.
    pub(crate) fn float_constant(
        &mut self,
        name: impl Into<String>,
        shape: &[usize],
        values: impl FnOnce() -> Vec<f32>,
    ) -> String {
        let name = name.into();
        self.initializers.entry(name.clone()).or_insert_with(|| TensorProto {
            dims: shape.iter().map(|&size| size as i64).collect(),
            data_type: proto::FLOAT,
            name: name.clone(),
            raw_data: values().into_iter().flat_map(f32::to_le_bytes).collect(),
        });
        name
    }

    /// The int8 constant `name`, whose values are asked for only when it is new.
    pub(crate) fn int8_constant(
        &mut self,
        name: impl Into<String>,
        shape: &[usize],
        values: impl FnOnce() -> Vec<i8>,
    ) -> String {
        let name = name.into();
        self.initializers.entry(name.clone()).or_insert_with(|| TensorProto {
            dims: shape.iter().map(|&size| size as i64).collect(),
            data_type: proto::INT8,
            name: name.clone(),
            raw_data: values().into_iter().map(i8::cast_unsigned).collect(),
        });
        name
    }

    /// A vector of integers, as operators take axes and shapes.
    pub(crate) fn int_constant(&mut self, values: &[i64]) -> String {
        self.integers(format!("int64{values:?}"), vec![values.len() as i64], values)
    }

    /// An integer without dimensions.
    pub(crate) fn int_scalar(&mut self, value: i64) -> String {
        self.integers(format!("int64({value})"), Vec::new(), &[value])
    }

    fn integers(&mut self, name: String, dims: Vec<i64>, values: &[i64]) -> String {
        self.initializers.entry(name.clone()).or_insert_with(|| TensorProto {
            dims,
            data_type: proto::INT64,
            name: name.clone(),
            raw_data: values.iter().copied().flat_map(i64::to_le_bytes).collect(),
        });
        name
    }

    /// Appends a node of one output and returns the output's name.
    pub(crate) fn node(
        &mut self,
        domain: &str,
        op_type: &str,
        inputs: &[&str],
        attributes: Vec<AttributeProto>,
    ) -> String {
        self.node_with_outputs(domain, op_type, inputs, attributes, 1).swap_remove(0)
    }

    /// Appends a node of `outputs` outputs and returns their names; an equal node that exists already is shared.
    pub(crate) fn node_with_outputs(
        &mut self,
        domain: &str,
        op_type: &str,
        inputs: &[&str],
        attributes: Vec<AttributeProto>,
        outputs: usize,
    ) -> Vec<String> {
        let mut node = NodeProto {
            input: inputs.iter().map(|&input| input.to_owned()).collect(),
            output: Vec::new(),
            name: String::new(),
            op_type: op_type.to_owned(),
            attribute: attributes,
            domain: domain.to_owned(),
        };
        let key = node.encode_to_vec();
        if let Some(outputs) = self.computed.get(&key) {
            return outputs.clone();
        }
        node.name = format!("{op_type}_{}", self.nodes.len());
        node.output = match outputs {
            1 => vec![node.name.clone()],
            count => (0..count).map(|index| format!("{}.{index}", node.name)).collect(),
        };
        self.computed.insert(key, node.output.clone());
        self.nodes.push(node);
        self.nodes.last().expect("a node was just pushed").output.clone()
    }

    /// Closes the graph: gives `outputs` their public names and drops what none of them needs.
    pub(crate) fn finish(mut self, name: &str, outputs: &[(TensorInfo, Symbol)]) -> GraphProto {
        self.name_outputs(outputs);
        self.drop_dead_nodes(outputs);
        let read: BTreeSet<&String> = self.nodes.iter().flat_map(|node| &node.input).collect();
        self.initializers.retain(|name, _| read.contains(name));
        GraphProto {
            node: self.nodes,
            name: name.to_owned(),
            initializer: self.initializers.into_values().collect(),
            input: self.inputs.iter().map(value_info).collect(),
            output: outputs.iter().map(|(info, _)| value_info(info)).collect(),
            value_info: self.declared.values().map(value_info).collect(),
        }
    }

    fn name_outputs(&mut self, outputs: &[(TensorInfo, Symbol)]) {
        let produced: BTreeSet<String> = self.nodes.iter().flat_map(|node| node.output.clone()).collect();
        let mut renamed: HashMap<&str, &str> = HashMap::new();
        let mut copied = Vec::new();
        for (info, symbol) in outputs {
            // An input, or a value that is an output already, cannot take a second name.
            if !produced.contains(&symbol.name) || renamed.contains_key(symbol.name.as_str()) {
                copied.push((info, symbol));
            } else {
                renamed.insert(&symbol.name, &info.name);
            }
        }
        for value in self.nodes.iter_mut().flat_map(|node| node.input.iter_mut().chain(&mut node.output)) {
            if let Some(&public) = renamed.get(value.as_str()) {
                public.clone_into(value);
            }
        }
        for (info, symbol) in copied {
            let source = renamed.get(symbol.name.as_str()).copied().unwrap_or(&symbol.name);
            self.nodes.push(NodeProto {
                input: vec![source.to_owned()],
                output: vec![info.name.clone()],
                name: format!("Identity_{}", self.nodes.len()),
                op_type: "Identity".to_owned(),
                attribute: Vec::new(),
                domain: String::new(),
            });
        }
    }

    fn drop_dead_nodes(&mut self, outputs: &[(TensorInfo, Symbol)]) {
        let mut needed: BTreeSet<String> = outputs.iter().map(|(info, _)| info.name.clone()).collect();
        let mut live = vec![false; self.nodes.len()];
        for (node, live) in self.nodes.iter().zip(&mut live).rev() {
            if node.output.iter().any(|output| needed.contains(output)) {
                *live = true;
                needed.extend(node.input.iter().cloned());
            }
        }
        let mut live = live.into_iter();
        self.nodes.retain(|_| live.next().expect("there is a flag per node"));
    }
}

/// Attribute `name` of float type.
pub(crate) fn float_attribute(name: &str, value: f32) -> AttributeProto {
    AttributeProto {
        name: name.to_owned(),
        f: Some(value),
        r#type: proto::ATTRIBUTE_FLOAT,
        ..AttributeProto::default()
    }
}

/// Attribute `name` of integer type.
pub(crate) fn int_attribute(name: &str, value: i64) -> AttributeProto {
    AttributeProto { name: name.to_owned(), i: Some(value), r#type: proto::ATTRIBUTE_INT, ..AttributeProto::default() }
}

/// Attribute `name` of string type.
pub(crate) fn string_attribute(name: &str, value: &str) -> AttributeProto {
    AttributeProto {
        name: name.to_owned(),
        s: Some(value.as_bytes().to_vec()),
        r#type: proto::ATTRIBUTE_STRING,
        ..AttributeProto::default()
    }
}

/// Attribute `name` of integer list type.
pub(crate) fn ints_attribute(name: &str, values: &[i64]) -> AttributeProto {
    AttributeProto {
        name: name.to_owned(),
        ints: values.to_vec(),
        r#type: proto::ATTRIBUTE_INTS,
        ..AttributeProto::default()
    }
}

fn value_info(info: &TensorInfo) -> ValueInfoProto {
    let batch = proto::DimensionProto { dim_value: None, dim_param: Some(BATCH.to_owned()) };
    let dimension = |(size, symbol): (usize, Option<&str>)| match symbol {
        Some(symbol) => proto::DimensionProto { dim_value: None, dim_param: Some(symbol.to_owned()) },
        None => proto::DimensionProto { dim_value: Some(size as i64), dim_param: None },
    };
    let shape =
        proto::TensorShapeProto { dim: std::iter::once(batch).chain(info.dimensions().map(dimension)).collect() };
    let tensor_type = proto::TensorTypeProto { elem_type: info.element_type.code(), shape: Some(shape) };
    ValueInfoProto { name: info.name.clone(), r#type: Some(proto::TypeProto { tensor_type: Some(tensor_type) }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_nodes_are_shared_dead_ones_dropped_and_outputs_named() {
        let mut graph = GraphBuilder::default();
        let x = graph.input("x", ElementType::Float32, &[3]);
        let one = graph.float_constant("one", &[], || vec![1.0]);
        assert_eq!(graph.float_constant("one", &[], || unreachable!("the constant exists")), one);
        let sum = graph.node("", "Add", &[&x.name, &one], Vec::new());
        assert_eq!(graph.node("", "Add", &[&x.name, &one], Vec::new()), sum);
        assert_ne!(graph.node("", "Add", &[&one, &x.name], Vec::new()), sum);
        assert_ne!(graph.node(MICROSOFT, "Add", &[&x.name, &one], Vec::new()), sum);
        let unused = graph.int_constant(&[7]);
        graph.node("", "Reshape", &[&sum, &unused], Vec::new());
        let twice = graph.node("", "Add", &[&sum, &sum], Vec::new());

        let output = |name: &str, value: &str| {
            let info = TensorInfo::new(name, ElementType::Float32, &[3]);
            (info, Symbol { name: value.into(), row_shape: vec![3] })
        };
        // One value under two names, one input as an output, and one value that is used inside as well.
        let outputs = [output("a", &sum), output("b", &sum), output("c", "x"), output("d", &twice)];
        let graph = graph.finish("test", &outputs);
        let nodes: Vec<(&str, Vec<&str>, &str)> = graph
            .node
            .iter()
            .map(|node| (&*node.op_type, node.input.iter().map(String::as_str).collect(), &*node.output[0]))
            .collect();
        let expected = [
            ("Add", vec!["x", "one"], "a"),
            ("Add", vec!["a", "a"], "d"),
            ("Identity", vec!["a"], "b"),
            ("Identity", vec!["x"], "c"),
        ];
        assert_eq!(nodes, expected);
        assert_eq!(graph.initializer.len(), 1);
        assert_eq!(graph.initializer[0].raw_data, 1.0_f32.to_le_bytes());
    }
}
