//! What an exported graph promises besides its numbers: rows are independent, unrolling is iterating, bytes are
//! reproducible, metadata comes back, and unfit input is refused by name.

use std::collections::BTreeMap;
use std::path::Path;

use crate::common::{Case, case_names, slice_step};
use exporter::runtime::{self, Optimization, SessionOptions};
use exporter::{ExportError, ExportOptions, Flavor, GraphKind, Precision, check, export, metadata, providers};
use models::checkpoint::{HostTensor, WeightFile, WeightsKind};
use models::{ArchitectureConfig, Checkpoint, Manifest, Mixer, QHeadInput};

const STEP: ExportOptions =
    ExportOptions { graph: GraphKind::Step, flavor: Flavor::Fused, precision: Precision::Float32, logits: true };

/// The shape under which a test stores tensor `name`, or none to leave it out.
type ShapeChange = dyn Fn(&str, &[usize]) -> Option<Vec<usize>>;

fn one_thread(optimization: Optimization) -> SessionOptions {
    SessionOptions { threads: 1, optimization, ..SessionOptions::default() }
}

#[test]
fn unrolled_is_the_step_iterated_to_the_last_bit() {
    for name in [
        "trm_att_rope_pel16",
        "trm_att_learned_noemb",
        "trm_mlpt_none_pel16",
        "trm_mlpt_none_noemb",
        "trm_singlez_mlpt",
        "trm_hier6_att_rope",
        "hrm_att_learned_l2",
        "transformers_baseline_rope",
    ] {
        let case = Case::load(name);
        for flavor in [Flavor::Fused, Flavor::Portable] {
            let iterated = case.graph(GraphKind::Step, flavor).run_steps(&case, 0..case.batch, 3);
            let unrolled = case.graph(GraphKind::Unrolled { halt_steps: 3 }, flavor).run(&case, 0..case.batch, None);
            for (index, mut iterated) in iterated.into_iter().enumerate() {
                iterated.state.clear();
                assert_eq!(slice_step(&unrolled, case.batch, 3, index), iterated, "{name}, step {}", index + 1);
            }
        }
    }
}

#[test]
fn rows_do_not_depend_on_the_batch_around_them() {
    for name in ["trm_att_rope_pel16", "trm_mlpt_none_pel16"] {
        let case = Case::load(name);
        // Kernels tile differently for other batch sizes, so rounding may differ: the bound of one step's rounding.
        let tolerance = 5.0 * case.error_floor[0][0];
        let mut graph = case.graph(GraphKind::Step, Flavor::Fused);
        let whole = graph.run_steps(&case, 0..4, 1).swap_remove(0);
        for rows in [0..1, 3..4, 0..3, 2..4] {
            let part = graph.run_steps(&case, rows.clone(), 1).swap_remove(0);
            let width = whole.logits.len() / 4;
            let expected = &whole.logits[rows.start * width..rows.end * width];
            let largest = part
                .logits
                .iter()
                .zip(expected)
                .map(|(found, expected)| f64::from((found - expected).abs()))
                .fold(0.0, f64::max);
            assert_eq!(part.logits.len(), expected.len());
            assert!(largest <= tolerance, "{name} rows {rows:?}: {largest:.2e}, allowed {tolerance:.2e}");
        }
    }
}

/// The reference has no such head, so the product is done by hand from the state that comes out.
#[test]
fn the_q_head_may_read_the_mean_over_the_tokens() {
    for flavor in [Flavor::Fused, Flavor::Portable] {
        let mut case = Case::load("trm_mlpt_none_pel16");
        let ArchitectureConfig::Trm(config) = &mut case.checkpoint.manifest.arch else { panic!("no TRM") };
        config.q_head_input = QHeadInput::Mean;
        let outputs = case.graph(GraphKind::Step, flavor).run_steps(&case, 0..4, 1).swap_remove(0);

        let manifest = &case.checkpoint.manifest;
        let specs = manifest.arch.parameter_specs(&manifest.dims).unwrap();
        let values = |name: &str| {
            let spec = specs.iter().find(|spec| spec.name == name).unwrap();
            case.checkpoint.values(spec).unwrap()
        };
        let (weight, bias) = (values("inner.q_head.weight"), values("inner.q_head.bias"));
        let hidden_size = manifest.arch.hidden_size();
        for (row, state) in outputs.state[0].chunks(case.state_width()).enumerate() {
            let tokens = state.len() / hidden_size;
            let product: f64 = state
                .iter()
                .zip(weight[..hidden_size].iter().cycle())
                .map(|(z, w)| f64::from(*z) * f64::from(*w))
                .sum();
            let expected = product / tokens as f64 + f64::from(bias[0]);
            assert!((f64::from(outputs.q_halt[row]) - expected).abs() < 1e-5, "{} {expected}", outputs.q_halt[row]);
        }
    }
}

#[test]
fn reset_concerns_single_rows() {
    let case = Case::load("trm_mlpt_none_noemb");
    let mut graph = case.graph(GraphKind::Step, Flavor::Fused);
    let first = graph.run_steps(&case, 0..4, 1).swap_remove(0);
    let mut state = first.state.clone();
    let going_on = graph.run(&case, 0..4, Some((&[false; 4], &state)));
    let width = case.state_width();
    // Whatever stood in row 2 before must not shine through.
    for state in &mut state {
        state[2 * width..3 * width].fill(f32::INFINITY);
    }
    let mixed = graph.run(&case, 0..4, Some((&[false, false, true, false], &state)));
    for row in 0..4 {
        let expected = if row == 2 { &first } else { &going_on };
        let tokens = case.seq_len();
        let part = row * tokens..(row + 1) * tokens;
        assert_eq!(mixed.preds[part.clone()], expected.preds[part], "row {row}");
        assert_eq!(mixed.q_halt[row].to_bits(), expected.q_halt[row].to_bits(), "row {row}");
    }
    assert_ne!(first.logits, going_on.logits);
}

#[test]
fn the_same_checkpoint_gives_the_same_bytes() {
    for name in case_names() {
        for graph in [GraphKind::Step, GraphKind::Unrolled { halt_steps: 2 }] {
            for flavor in [Flavor::Fused, Flavor::Portable] {
                let options = ExportOptions { graph, flavor, precision: Precision::Float32, logits: false };
                let [first, second] = [(); 2].map(|()| export(&Case::load(&name).checkpoint, &options).unwrap());
                assert!(first.bytes == second.bytes, "{name} {options:?}");
                assert_eq!(first.summary, second.summary);
                assert_eq!(first.summary.bytes, first.bytes.len());
            }
        }
    }
}

#[test]
fn metadata_comes_back_and_graphs_pass_their_check() {
    let folder = tempfile::tempdir().unwrap();
    for (name, graph, flavor, logits) in [
        ("trm_att_rope_pel16", GraphKind::Step, Flavor::Fused, true),
        ("trm_mlpt_none_noemb", GraphKind::Unrolled { halt_steps: 2 }, Flavor::Portable, false),
    ] {
        let mut checkpoint = Case::load(name).checkpoint;
        let manifest = &mut checkpoint.manifest;
        manifest.task = "sudoku".into();
        manifest.dataset = "generated ünïcode".into();
        manifest.step = 39_060;
        manifest.weights = WeightsKind::Ema;
        manifest.git_commit = Some("0123abc".into());
        manifest.metrics = BTreeMap::from([("exact_accuracy".to_owned(), 0.875), ("steps".to_owned(), 1e-9)]);
        let exported =
            export(&checkpoint, &ExportOptions { graph, flavor, precision: Precision::Float32, logits }).unwrap();
        let path = folder.path().join(format!("{name}.onnx"));
        files::write(&path, &exported.bytes).unwrap();

        let mut session = runtime::open(&path, &one_thread(Optimization::All)).unwrap();
        let found = check::run_once(&mut session).unwrap();
        assert_eq!(found, metadata::read(&session).unwrap());
        assert_eq!((found.graph, found.flavor, found.logits), (graph, flavor, logits));
        assert_eq!(found.checkpoint_sha256, checkpoint.sha256().unwrap());
        assert_eq!(found.inputs(), exported.summary.inputs);
        assert_eq!(found.outputs(), exported.summary.outputs);
        let returned = Manifest {
            format_version: checkpoint.manifest.format_version,
            arch: found.arch,
            dims: found.dims,
            task: found.task,
            dataset: found.dataset,
            step: found.step,
            weights: found.weights,
            git_commit: found.git_commit,
            metrics: found.metrics,
            // Graphs name the checkpoint by its hash; where that came from stands in the checkpoint.
            import: None,
            inference: None,
        };
        assert_eq!(returned, checkpoint.manifest);
    }
}

#[test]
fn portable_graphs_use_standard_operators_only() {
    for name in case_names() {
        let case = Case::load(&name);
        let kernels = |flavor| export(&case.checkpoint, &ExportOptions { flavor, ..STEP }).unwrap().summary.kernels;
        let fused = kernels(Flavor::Fused);
        assert!(fused.keys().any(|kernel| kernel.starts_with("com.microsoft.")), "{name}: {fused:?}");
        let portable = kernels(Flavor::Portable);
        assert!(portable.keys().all(|kernel| !kernel.contains('.')), "{name}: {portable:?}");
    }
}

#[test]
fn quantised_graphs_multiply_integers_and_say_so() {
    for (name, products) in [("trm_mlpt_none_noemb", 6), ("trm_att_rope_noemb", 7)] {
        let case = Case::load(name);
        for (flavor, kernel) in
            [(Flavor::Fused, "com.microsoft.MatMulIntegerToFloat"), (Flavor::Portable, "MatMulInteger")]
        {
            let exported = |precision| export(&case.checkpoint, &ExportOptions { flavor, precision, ..STEP }).unwrap();
            let (float, quantised) = (exported(Precision::Float32), exported(Precision::Int8));
            assert!(quantised.summary.bytes < float.summary.bytes * 2 / 3, "{name}: {:?}", quantised.summary);
            let kernels = &quantised.summary.kernels;
            // Of the products with weights, the heads alone stay as they are; attention's have none.
            let blocks = kernels[kernel] / products;
            assert!(blocks > 1 && kernels[kernel] == blocks * products, "{name}: {kernels:?}");
            let heads = kernels.get("MatMul").copied().unwrap_or(0);
            let within_attention = if products == 7 && flavor == Flavor::Portable { 2 * blocks } else { 0 };
            assert_eq!(heads, 2 + within_attention, "{name}: {kernels:?}");
            // Products of the same activations share their quantisation.
            assert_eq!(kernels["DynamicQuantizeLinear"], 4 * blocks, "{name}: {kernels:?}");

            let mut session = runtime::open_bytes(&quantised.bytes, &one_thread(Optimization::All)).unwrap();
            assert_eq!(check::run_once(&mut session).unwrap().precision, Precision::Int8);
        }
    }
}

#[test]
fn halves_of_blocks_are_operators_of_this_project_where_they_fit() {
    let shipped = |name: &str| Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/shipped").join(name);
    let mixes = [("ChannelMixing", 16), ("TokenMixing", 16)];
    let attends = [("ChannelMixing", 16), ("Linear", 64)];
    for (name, expected) in [("sudoku-9x9", mixes), ("maze-10x10", attends)] {
        let checkpoint = Checkpoint::open(shipped(name)).unwrap();
        let options = ExportOptions { flavor: Flavor::Kernels, precision: Precision::Int8, ..STEP };
        let exported = export(&checkpoint, &options).unwrap();
        let found: BTreeMap<_, _> = exported
            .summary
            .kernels
            .iter()
            .filter_map(|(kernel, &count)| Some((kernel.strip_prefix("kernels.")?, count)))
            .collect();
        assert_eq!(found, BTreeMap::from(expected), "{name}: {:?}", exported.summary.kernels);
        assert!(!exported.summary.kernels.contains_key("com.microsoft.MatMulIntegerToFloat"), "{name}");
        if Flavor::fastest(Mixer::Mlp, Precision::Int8) == Flavor::Kernels {
            let mut session = runtime::open_bytes(&exported.bytes, &one_thread(Optimization::All)).unwrap();
            assert_eq!(check::run_once(&mut session).unwrap().flavor, Flavor::Kernels);
        } else {
            let error = runtime::open_bytes(&exported.bytes, &one_thread(Optimization::All)).unwrap_err().to_string();
            assert!(error.contains("AVX-512"), "{error}");
        }
    }
    // Sizes that the kernels do not take stay with ONNX Runtime's own operator.
    let small = Case::load("trm_att_rope_noemb");
    let options = ExportOptions { flavor: Flavor::Kernels, precision: Precision::Int8, ..STEP };
    let kernels = export(&small.checkpoint, &options).unwrap().summary.kernels;
    assert!(kernels.contains_key("com.microsoft.MatMulIntegerToFloat"), "{kernels:?}");
    assert!(!kernels.contains_key("kernels.ChannelMixing"), "{kernels:?}");
}

#[test]
fn unfit_step_counts_are_refused() {
    let checkpoint = Case::load("trm_att_rope_noemb").checkpoint;
    for halt_steps in [0, 1025, usize::MAX] {
        let options = ExportOptions { graph: GraphKind::Unrolled { halt_steps }, ..STEP };
        let error = export(&checkpoint, &options).unwrap_err();
        assert!(matches!(error, ExportError::HaltSteps { found } if found == halt_steps), "{error}");
        assert!(error.to_string().contains("1..=1024"), "{error}");
    }
}

#[test]
fn unfit_checkpoints_are_refused_by_name() {
    const VICTIM: &str = "inner.L_level.layers.1.mlp.down_proj.weight";
    let case = Case::load("trm_mlpt_none_noemb");
    let manifest = &case.checkpoint.manifest;
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, change: &ShapeChange| {
        let tensors: BTreeMap<String, HostTensor> = manifest
            .arch
            .parameter_specs(&manifest.dims)
            .unwrap()
            .iter()
            .filter_map(|spec| Some((spec.name.clone(), change(&spec.name, &spec.shape)?)))
            .map(|(name, shape)| (name, HostTensor::float32(&shape, &vec![0.5; shape.iter().product()])))
            .collect();
        let path = folder.path().join(name);
        safetensors::serialize_to_file(&tensors, None, &path).unwrap();
        Checkpoint::from_parts(manifest.clone(), WeightFile::open(&path).unwrap(), folder.path())
    };
    let missing = write("missing", &|name, shape| (name != VICTIM).then(|| shape.to_vec())).unwrap_err().to_string();
    assert!(missing.contains(VICTIM) && missing.contains("missing"), "{missing}");
    let turned = |name: &str, shape: &[usize]| {
        let mut shape = shape.to_vec();
        if name == VICTIM {
            shape.reverse();
        }
        Some(shape)
    };
    let misshapen = write("misshapen", &turned).unwrap_err().to_string();
    assert!(misshapen.contains(VICTIM) && misshapen.contains("shape"), "{misshapen}");

    // A manifest that is changed after opening is not a way around the checks.
    let mut checkpoint = write("whole", &|_, shape| Some(shape.to_vec())).unwrap();
    checkpoint.manifest.dims.seq_len += 1;
    let error = export(&checkpoint, &STEP).unwrap_err().to_string();
    assert!(error.contains("mlp_t.gate_up_proj.weight") && error.contains("shape"), "{error}");
}

#[test]
fn unfit_graphs_are_refused() {
    let options = one_thread(Optimization::None);
    let error = runtime::open_bytes(b"no graph at all", &options).unwrap_err().to_string();
    assert!(error.contains("cannot load the graph"), "{error}");
    let error = runtime::open(Path::new("absent.onnx"), &options).unwrap_err().to_string();
    assert!(error.contains("absent.onnx"), "{error}");

    let bytes = export(&Case::load("trm_att_rope_noemb").checkpoint, &STEP).unwrap().bytes;
    for length in [bytes.len() - 1, bytes.len() / 2, 10] {
        assert!(runtime::open_bytes(&bytes[..length], &options).is_err(), "the first {length} bytes were accepted");
    }
    // Another file's metadata: one letter of the key is enough.
    let position = bytes.windows(4).rposition(|window| window == b"arch").unwrap();
    let mut renamed = bytes.clone();
    renamed[position] = b'x';
    let session = runtime::open_bytes(&renamed, &options).unwrap();
    let error = metadata::read(&session).unwrap_err();
    assert!(matches!(error, ExportError::Metadata { key: "arch", .. }), "{error}");
    // Metadata that promises another interface than the graph has.
    let position = bytes.windows(12).rposition(|window| window == b"\"seq_len\":16").unwrap();
    let mut promised = bytes;
    promised[position + 11] = b'7';
    let session = runtime::open_bytes(&promised, &options).unwrap();
    let error = metadata::read(&session).unwrap_err();
    assert!(matches!(error, ExportError::Interface { what: "inputs", .. }), "{error}");
}

#[test]
#[cfg(not(feature = "cuda"))]
fn a_missing_provider_is_an_error() {
    let bytes = export(&Case::load("trm_att_rope_noemb").checkpoint, &STEP).unwrap().bytes;
    let options = SessionOptions { provider: runtime::Provider::Cuda { device: 0 }, ..SessionOptions::default() };
    let error = runtime::open_bytes(&bytes, &options).unwrap_err().to_string();
    assert!(error.contains("CUDA") && error.contains("--features cuda"), "{error}");
}

/// The record is ONNX Runtime's own: on the processor every node of the optimized graph is in it, under one name.
#[test]
fn a_session_tells_where_its_nodes_run() {
    let bytes = export(&Case::load("trm_att_rope_noemb").checkpoint, &STEP).unwrap().bytes;
    for optimization in [Optimization::None, Optimization::All] {
        let options = SessionOptions { optimization, ..SessionOptions::default() };
        let session = runtime::open_bytes(&bytes, &options).unwrap();
        let assigned = providers::assigned_nodes(&session).unwrap();
        assert_eq!(assigned.keys().collect::<Vec<_>>(), [providers::CPU_PROVIDER]);
        assert!(assigned[providers::CPU_PROVIDER] > 50, "{assigned:?}");
        assert_eq!(providers::main_provider(&session).unwrap(), providers::CPU_PROVIDER);
    }
}
