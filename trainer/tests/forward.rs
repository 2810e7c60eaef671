//! `trainer forward`, and training from a checkpoint for other data: weights arrive, whatever the number of puzzles.

#![allow(clippy::missing_panics_doc, clippy::unwrap_used, reason = "a panic is a failed test")]

mod process;

use std::collections::BTreeMap;
use std::path::Path;

use datasets::sudoku::SudokuShape;
use models::checkpoint::{HostTensor, write, write_tensors};
use models::{ArchitectureConfig, Checkpoint, Initializer, Manifest, ModelDims, ParameterKind, TrmConfig};
use process::{refuse, succeed, tiny_model, words, write_data};
use tch::{Kind, Tensor};

/// Rows of the table of [`write_checkpoint`], `[3, 40]`, in steps that float32 holds exactly.
fn table() -> Vec<f32> {
    (0..120).map(|index| ((index * 37 % 41) as f32 - 20.0) / 8.0).collect()
}

/// `{folder}/start`: the model of [`tiny_model`] with a puzzle embedding that fills a position and a quarter.
fn write_checkpoint(folder: &Path) {
    let config = TrmConfig {
        hidden_size: 32,
        num_heads: 2,
        L_layers: 1,
        H_cycles: 2,
        L_cycles: 2,
        halt_max_steps: 4,
        puzzle_emb_ndim: 40,
        puzzle_emb_len: 2,
        ..TrmConfig::default()
    };
    let arch = ArchitectureConfig::Trm(config);
    let dims = ModelDims { vocab_size: 6, seq_len: 16, num_puzzle_identifiers: 3, sizes: None };
    let tensors: BTreeMap<String, HostTensor> = arch
        .parameter_specs(&dims)
        .unwrap()
        .into_iter()
        .map(|spec| {
            let mut values = Initializer::new(5).draw(&spec);
            if spec.kind == ParameterKind::PuzzleTable {
                values = table();
            } else if spec.name.contains("q_head") {
                // Zeros would hide differences.
                values.iter_mut().enumerate().for_each(|(index, value)| *value = (index % 7) as f32 * 0.3 - 1.0);
            }
            (spec.name.clone(), HostTensor::float32(&spec.shape, &values))
        })
        .collect();
    write(&folder.join("start"), &Manifest::new(arch, dims, "sudoku-4x4"), &tensors, |_| Ok(())).unwrap();
}

fn write_inputs(path: &Path, tokens: &[i32], identifiers: &[i32]) {
    let rows = identifiers.len();
    let tensors = BTreeMap::from([
        ("inputs".to_owned(), HostTensor::int32(&[rows, tokens.len() / rows], tokens)),
        ("puzzle_identifiers".to_owned(), HostTensor::int32(&[rows], identifiers)),
    ]);
    write_tensors(path, &tensors).unwrap();
}

fn outputs(folder: &Path, arguments: &str) -> BTreeMap<String, Tensor> {
    succeed(folder, &words(&format!("forward --checkpoint start --out out.safetensors --threads 1 {arguments}")));
    Tensor::read_safetensors(folder.join("out.safetensors")).unwrap().into_iter().collect()
}

fn largest_difference(left: &Tensor, right: &Tensor) -> f64 {
    (left.to_kind(Kind::Double) - right.to_kind(Kind::Double)).abs().max().double_value(&[])
}

#[test]
fn every_precision_gives_the_same_model_to_within_its_rounding() {
    let folder = tempfile::tempdir().unwrap();
    write_checkpoint(folder.path());
    let exact = outputs(folder.path(), "--rows 20 --precision float64 --states 17");
    assert_eq!(exact["step4.logits"].size(), [20, 16, 6]);
    assert_eq!(exact["step4.logits"].kind(), Kind::Double);
    assert_eq!((exact["step1.z_H"].size(), exact["step4.z_L"].size()), (vec![17, 18, 32], vec![17, 18, 32]));
    assert!(!exact.contains_key("step5.logits"));
    let preds = exact["step3.logits"].argmax(-1, false);
    assert!(preds.equal(&exact["step3.preds"]));

    let scale = exact["step1.logits"].abs().max().double_value(&[]);
    // Rounding of the type, amplified by the some tens of operations of a step of an untrained attention model.
    for (options, unit) in
        [("float32", 2_f64.powi(-24)), ("bfloat16", 2_f64.powi(-8)), ("bfloat16 --plain", 2_f64.powi(-8))]
    {
        let found = outputs(folder.path(), &format!("--rows 20 --precision {options}"));
        let difference = largest_difference(&found["step1.logits"], &exact["step1.logits"]);
        assert!(difference > 0.0 && difference < 60.0 * unit * scale, "{options}: {difference} of {scale}");
        assert!(found["inputs"].equal(&exact["inputs"]));
    }
}

#[test]
fn rows_see_their_own_puzzle_embedding_wherever_it_lies_in_the_table() {
    let folder = tempfile::tempdir().unwrap();
    write_checkpoint(folder.path());
    let file = folder.path().join("in.safetensors");
    let tokens: Vec<i32> = (0..16).map(|cell| 1 + cell % 5).collect();
    write_inputs(&file, &tokens.repeat(4), &[2, 0, 2, 1]);
    let together = outputs(folder.path(), "--inputs in.safetensors --precision float64 --steps 2");
    for (row, identifier) in [2, 0, 2, 1].into_iter().enumerate() {
        write_inputs(&file, &tokens, &[identifier]);
        let alone = outputs(folder.path(), "--inputs in.safetensors --precision float64 --steps 2");
        let difference = largest_difference(&together["step2.logits"].get(row as i64), &alone["step2.logits"].get(0));
        // Only the order of sums can differ.
        assert!(difference < 1e-9, "row {row}: {difference}");
    }
    let of = |row: i64| together["step1.logits"].get(row);
    assert!(largest_difference(&of(0), &of(1)) > 1e-3 && largest_difference(&of(1), &of(3)) > 1e-3);
}

#[test]
fn inputs_that_do_not_fit_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    write_checkpoint(folder.path());
    let file = folder.path().join("in.safetensors");
    for (tokens, identifiers, says) in [
        (vec![1; 15], vec![0], "`inputs` holds 15 tokens for 1 rows, the model takes 16 each"),
        (vec![6; 16], vec![0], "token 6 is none of the model's 0..6"),
        (vec![-1; 16], vec![0], "token -1"),
        (vec![1; 16], vec![3], "puzzle identifier 3 is none of the model's 0..3"),
    ] {
        write_inputs(&file, &tokens, &identifiers);
        let message =
            refuse(folder.path(), &words("forward --checkpoint start --inputs in.safetensors --out never.safetensors"));
        assert!(message.contains("in.safetensors") && message.contains(says), "{message}");
    }
    std::fs::write(&file, b"junk").unwrap();
    let message =
        refuse(folder.path(), &words("forward --checkpoint start --inputs in.safetensors --out never.safetensors"));
    assert!(message.contains("in.safetensors"), "{message}");
    assert!(!folder.path().join("never.safetensors").exists());
}

#[test]
fn training_goes_on_from_a_checkpoint_for_another_number_of_puzzles() {
    let folder = tempfile::tempdir().unwrap();
    write_checkpoint(folder.path());
    // Its puzzles share one identifier, the checkpoint has three.
    write_data(&folder.path().join("data"), 32, 8, SudokuShape::FOUR);
    let settings = "pretrain data_paths=[data] load_checkpoint=start checkpoint_path=run max_steps=1 \
                    arch.puzzle_emb_ndim=40 arch.puzzle_emb_len=2 lr=0 puzzle_emb_lr=0";
    let said = succeed(folder.path(), &[words(settings), tiny_model()].concat());
    assert!(said.contains("warning: start: the puzzle table has 3 rows, 1 are needed"), "{said}");
    let (start, tuned) = (
        Checkpoint::open(folder.path().join("start")).unwrap(),
        Checkpoint::open(folder.path().join("run/last")).unwrap(),
    );
    assert_eq!(tuned.manifest.dims.num_puzzle_identifiers, 1);
    let mean: Vec<f32> = (0..40)
        .map(|column| (0..3).map(|row| f64::from(table()[row * 40 + column])).sum::<f64>() / 3.0)
        .map(|mean| mean as f32)
        .collect();
    assert_eq!(tuned.rows(tuned.puzzle_table().unwrap(), &[0]).unwrap(), mean);
    let weight = |checkpoint: &Checkpoint| {
        let specs = checkpoint.manifest.arch.parameter_specs(&checkpoint.manifest.dims).unwrap();
        let spec = specs.into_iter().find(|spec| spec.name.ends_with("qkv_proj.weight")).unwrap();
        checkpoint.values(&spec).unwrap()
    };
    assert_eq!(weight(&tuned), weight(&start));
}
