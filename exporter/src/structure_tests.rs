//! What the bytes of an exported file contain: read back as protobuf, without ONNX Runtime.

use std::collections::{BTreeMap, BTreeSet};

use models::checkpoint::{self, HostTensor};
use models::{
    ArchitectureConfig, Checkpoint, HrmConfig, Initializer, LstmConfig, Manifest, ModelDims, ParameterKind,
    PosEncodings, TransformerConfig, TransformersBaselineConfig, TrmConfig,
};
use ort::value::ValueType;
use prost::Message;

use crate::graph::BATCH;
use crate::proto::{FLOAT, GraphProto, ModelProto, ValueInfoProto};
use crate::runtime::{self, Optimization, SessionOptions};
use crate::{ExportOptions, Flavor, GraphKind, Precision, export};

/// The published Sudoku models' structure, smaller, and every other architecture, with all the ways that each can go.
fn architectures() -> Vec<ArchitectureConfig> {
    let trm =
        TrmConfig { hidden_size: 32, num_heads: 4, puzzle_emb_ndim: 32, puzzle_emb_len: 2, ..TrmConfig::default() };
    let mlp = TrmConfig { mlp_t: true, pos_encodings: PosEncodings::None, ..trm.clone() };
    let learned = TrmConfig { pos_encodings: PosEncodings::Learned, no_ACT_continue: false, ..trm.clone() };
    let hrm = HrmConfig { hidden_size: 32, num_heads: 4, puzzle_emb_ndim: 32, ..HrmConfig::default() };
    // Heads that do not fill the activations, as those of the reference's own config.
    let baseline = TransformersBaselineConfig {
        hidden_size: 32,
        num_heads: 5,
        H_layers: 2,
        puzzle_emb_ndim: 32,
        ..TransformersBaselineConfig::default()
    };
    let lstm = LstmConfig { hidden_size: 32, ..LstmConfig::default() };
    vec![
        ArchitectureConfig::Trm(mlp.clone()),
        ArchitectureConfig::Trm(trm.clone()),
        ArchitectureConfig::TrmSinglez(mlp),
        ArchitectureConfig::TrmHier6(learned),
        ArchitectureConfig::Hrm(hrm),
        ArchitectureConfig::TransformersBaseline(baseline),
        ArchitectureConfig::Lstm(LstmConfig { residual: true, puzzle_emb_ndim: 40, ..lstm.clone() }),
        ArchitectureConfig::Lstm(LstmConfig { bidirectional: false, num_layers: 2, ..lstm.clone() }),
        ArchitectureConfig::Lstm(lstm),
        ArchitectureConfig::Transformer(TransformerConfig { hidden_size: 32, ..TransformerConfig::default() }),
    ]
}

fn checkpoint(folder: &std::path::Path, arch: ArchitectureConfig) -> Checkpoint {
    let dims = ModelDims { vocab_size: 11, seq_len: 81, num_puzzle_identifiers: 3, sizes: None };
    let tensors: BTreeMap<String, HostTensor> = arch
        .parameter_specs(&dims)
        .unwrap()
        .iter()
        .map(|spec| (spec.name.clone(), HostTensor::float32(&spec.shape, &Initializer::new(1).draw(spec))))
        .collect();
    let folder = folder.join("checkpoint");
    checkpoint::write(&folder, &Manifest::new(arch, dims, "sudoku"), &tensors, |_| Ok(())).unwrap();
    Checkpoint::open(&folder).unwrap()
}

fn graph(checkpoint: &Checkpoint, graph: GraphKind, flavor: Flavor) -> GraphProto {
    let exported =
        export(checkpoint, &ExportOptions { graph, flavor, precision: Precision::Float32, logits: false }).unwrap();
    let model = ModelProto::decode(exported.bytes.as_slice()).unwrap();
    assert_eq!(model.encode_to_vec(), exported.bytes);
    assert_eq!((model.ir_version, model.opset_import[0].version), (8, 17));
    assert_eq!(model.opset_import.len(), if flavor == Flavor::Fused { 2 } else { 1 });
    model.graph.unwrap()
}

#[test]
fn every_weight_is_stored_once_however_often_it_is_used() {
    let folder = tempfile::tempdir().unwrap();
    for arch in architectures() {
        let checkpoint = checkpoint(folder.path(), arch);
        let manifest = &checkpoint.manifest;
        let specs = manifest.arch.parameter_specs(&manifest.dims).unwrap();
        let trained: usize = specs
            .iter()
            .filter(|spec| spec.kind != ParameterKind::PuzzleTable)
            .map(models::ParameterSpec::element_count)
            .sum();
        for flavor in [Flavor::Fused, Flavor::Portable] {
            let step = graph(&checkpoint, GraphKind::Step, flavor);
            let unrolled = graph(&checkpoint, GraphKind::Unrolled { halt_steps: 16 }, flavor);
            assert!(unrolled.node.len() > 10 * step.node.len(), "{} {}", unrolled.node.len(), step.node.len());
            for graph in [&step, &unrolled] {
                let model_values: usize = graph
                    .initializer
                    .iter()
                    .filter(|tensor| tensor.name.starts_with("inner."))
                    .map(|tensor| {
                        assert_eq!(tensor.data_type, FLOAT);
                        tensor.raw_data.len() / 4
                    })
                    .sum();
                assert_eq!(model_values, trained, "{:?}, {flavor:?}", manifest.arch);
                check_well_formed(graph);
            }
        }
    }
}

/// Where the batch size loses its name, ONNX Runtime recognizes no buffer as reusable, and loading takes time in the
/// square of the nodes.
#[test]
fn onnx_runtime_infers_every_shape() {
    let folder = tempfile::tempdir().unwrap();
    for arch in architectures() {
        let checkpoint = checkpoint(folder.path(), arch);
        for graph in [GraphKind::Step, GraphKind::Unrolled { halt_steps: 2 }] {
            for flavor in [Flavor::Fused, Flavor::Portable] {
                let exported =
                    export(&checkpoint, &ExportOptions { graph, flavor, precision: Precision::Float32, logits: true })
                        .unwrap();
                let mut model = ModelProto::decode(exported.bytes.as_slice()).unwrap();
                let graph_proto = model.graph.as_mut().unwrap();
                // ONNX Runtime tells the shapes of outputs only, so every value becomes one, without saying its shape.
                let promised = graph_proto.output.len();
                let values = graph_proto.node.iter().flat_map(|node| node.output.clone());
                let hidden: Vec<String> =
                    values.filter(|value| graph_proto.output.iter().all(|output| output.name != *value)).collect();
                graph_proto.output.extend(hidden.into_iter().map(|name| ValueInfoProto { name, r#type: None }));

                let options = SessionOptions { optimization: Optimization::None, ..SessionOptions::default() };
                let session = runtime::open_bytes(&model.encode_to_vec(), &options).unwrap();
                assert!(session.outputs().len() > promised + 20);
                for output in session.outputs() {
                    let ValueType::Tensor { shape, dimension_symbols, .. } = output.dtype() else {
                        panic!("{} is not a tensor", output.name());
                    };
                    let known =
                        shape.iter().zip(dimension_symbols.iter()).all(|(&size, name)| size >= 0 || name == BATCH);
                    // A value of unknown rank is reported without dimensions; the graphs hold no scalar.
                    assert!(
                        known && !shape.is_empty(),
                        "{} {}, {:?}, {graph:?}, {flavor:?}",
                        output.name(),
                        output.dtype(),
                        checkpoint.manifest.arch
                    );
                }
            }
        }
    }
}

/// Names are unique, values are computed before they are read, and no constant lies idle.
fn check_well_formed(graph: &GraphProto) {
    let mut defined: BTreeSet<&str> = graph.input.iter().map(|input| input.name.as_str()).collect();
    for tensor in &graph.initializer {
        assert!(defined.insert(&tensor.name), "{} is defined twice", tensor.name);
        let elements: i64 = tensor.dims.iter().product();
        let width = if tensor.data_type == FLOAT { 4 } else { 8 };
        assert_eq!(tensor.raw_data.len(), elements as usize * width, "{}", tensor.name);
    }
    let mut node_names = BTreeSet::new();
    for node in &graph.node {
        assert!(node_names.insert(node.name.as_str()), "{} occurs twice", node.name);
        for input in &node.input {
            assert!(defined.contains(input.as_str()), "{} reads {input} too early", node.name);
        }
        for output in &node.output {
            assert!(defined.insert(output), "{output} is defined twice");
        }
    }
    assert!(graph.output.iter().all(|output| defined.contains(output.name.as_str())));
    let read: BTreeSet<&String> = graph.node.iter().flat_map(|node| &node.input).collect();
    assert!(graph.initializer.iter().all(|tensor| read.contains(&tensor.name)));
}
