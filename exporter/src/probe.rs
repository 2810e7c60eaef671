//! Graphs of one operation, which benchmarks measure the machine with: products at the shapes of a model, as the nodes
//! that its graph has, and a sum of long vectors.

use models::Mixer;
use models::benchmark::{Product, ProductKind};
use prost::Message;

use crate::emitter::Emitter;
use crate::graph::{MICROSOFT, Symbol};
use crate::parameter::Parameter;
use crate::proto::{ModelProto, OperatorSetIdProto};
use crate::{ElementType, Flavor, IR_VERSION, MICROSOFT_OPSET, OPSET, Precision, TensorInfo, operators};

/// An ONNX file in memory that computes one operation on float32 inputs.
#[derive(Debug, Clone)]
pub struct Probe {
    /// The file.
    pub bytes: Vec<u8>,
    /// Inputs, in order; the first dimension of each is `batch`.
    pub inputs: Vec<TensorInfo>,
    /// Size of that dimension.
    pub batch: usize,
}

/// A product as the fastest graphs of that precision have it, the quantisation of its activations included.
pub fn product(product: &Product, precision: Precision) -> Probe {
    let Product { kind, matrices, rows, inner, columns } = *product;
    let emitter = Emitter::new(Flavor::fastest(Mixer::Attention, precision), precision);
    let input = |name: &str, row_shape: &[usize]| emitter.graph().input(name, ElementType::Float32, row_shape);
    // Of values that differ: the measurement must not depend on zeros.
    let weight = |rows: usize, columns: usize| Parameter {
        name: "weight".to_owned(),
        shape: vec![rows, columns],
        values: (0..rows * columns).map(|index| ((index * 7919) % 1021) as f32 / 510.0 - 1.0).collect(),
    };
    let output = match (kind, precision) {
        (ProductKind::Linear, _) => {
            emitter.project(&input("x", &[rows, inner]), "weight", &weight(columns, inner), 0, columns)
        }
        (ProductKind::TokenMixing, Precision::Float32) => {
            emitter.mix(&input("x", &[inner, columns]), "weight", &weight(rows, inner), 0, rows)
        }
        (ProductKind::TokenMixing, Precision::Int8) => {
            emitter.project(&input("x", &[columns, inner]), "weight", &weight(rows, inner), 0, rows)
        }
        (ProductKind::Attention, _) => {
            let (left, right) = (input("x", &[rows, inner]), input("y", &[inner, columns]));
            Symbol { name: emitter.plain("MatMul", &[&left.name, &right.name]), row_shape: vec![rows, columns] }
        }
    };
    finish(emitter, output, matrices)
}

/// `x + y` of vectors of `length`: two arrays are read and one is written.
pub fn sum(length: usize) -> Probe {
    let emitter = Emitter::new(Flavor::Fused, Precision::Float32);
    let [x, y] = ["x", "y"].map(|name| emitter.graph().input(name, ElementType::Float32, &[length]));
    let output = Symbol { name: emitter.plain("Add", &[&x.name, &y.name]), row_shape: vec![length] };
    finish(emitter, output, 1)
}

fn finish(emitter: Emitter, output: Symbol, batch: usize) -> Probe {
    let info = TensorInfo::new("result", ElementType::Float32, &output.row_shape);
    let graph = emitter.into_graph();
    let inputs = graph.inputs().to_vec();
    let opset = |domain: &str, version| OperatorSetIdProto { domain: domain.to_owned(), version };
    let file = ModelProto {
        ir_version: IR_VERSION,
        producer_name: env!("CARGO_PKG_NAME").to_owned(),
        producer_version: env!("CARGO_PKG_VERSION").to_owned(),
        graph: Some(graph.finish("probe", &[(info, output)])),
        opset_import: vec![
            opset("", OPSET),
            opset(MICROSOFT, MICROSOFT_OPSET),
            opset(operators::DOMAIN, operators::VERSION),
        ],
        metadata_props: Vec::new(),
    };
    Probe { bytes: file.encode_to_vec(), inputs, batch }
}
