//! Every architecture through the program: it learns, is evaluated, and survives being killed to the same bytes.

#![allow(clippy::missing_panics_doc, clippy::unwrap_used, reason = "a panic is a failed test")]

mod process;

use process::kills::assert_kills_leave_no_trace;
use process::{succeed, words};

const STEPS: u64 = 50;
const KILLS: usize = 2;
/// Rows of the log, one for two steps, that a mean is taken over.
const ROWS: usize = 8;

/// 4×4 puzzles, a model 32 wide, and evaluations and checkpoints at steps of their own.
const RUN: &str = "generator.size=4 generator.extra_clues=[0,5] optimizer=adamw lr=3e-3 lr_warmup_steps=5 ema=True \
     eval_count=16 global_batch_size=16 threads=1 eval_interval_steps=20 checkpoint_interval=6 log_interval=2 \
     arch.hidden_size=32 arch.halt_max_steps=4";

fn check(settings: &str) {
    let settings = [words(settings), words(RUN), vec![format!("max_steps={STEPS}")]].concat();
    let rows = assert_kills_leave_no_trace(&settings, STEPS, KILLS);
    let losses = |name: &str| -> Vec<f64> {
        let of_training = rows.iter().filter(|(_, phase, metric, _)| phase == "train" && metric == name);
        of_training.map(|(.., value)| *value).collect()
    };
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let lm_loss = losses("lm_loss");
    assert_eq!(lm_loss.len(), (STEPS / 2) as usize);
    let (first, last) = (mean(&lm_loss[..ROWS]), mean(&lm_loss[lm_loss.len() - ROWS..]));
    println!("{}: lm_loss {first:.3} -> {last:.3}", settings[0]);
    assert!(last < 0.95 * first, "{}: lm_loss went from {first} to {last}", settings[0]);
    let learns_q_continue = settings.iter().any(|word| word == "arch=hrm" || word == "arch.no_ACT_continue=False");
    assert_eq!(losses("q_continue_loss").len(), if learns_q_continue { lm_loss.len() } else { 0 });
}

#[test]
fn trm_with_q_continue() {
    check(
        "arch=trm arch.no_ACT_continue=False arch.forward_dtype=float32 arch.L_layers=1 arch.H_cycles=2 arch.L_cycles=2 arch.num_heads=2",
    );
}

#[test]
fn trm_singlez() {
    check(
        "arch=trm_singlez arch.forward_dtype=float32 arch.L_layers=1 arch.H_cycles=2 arch.L_cycles=2 arch.mlp_t=True arch.pos_encodings=none",
    );
}

#[test]
fn trm_hier6() {
    check(
        "arch=trm_hier6 arch.forward_dtype=float32 arch.L_layers=1 arch.H_cycles=2 arch.L_cycles=3 arch.num_heads=2 arch.puzzle_emb_len=2",
    );
}

#[test]
fn hrm() {
    check("arch=hrm arch.H_layers=1 arch.forward_dtype=float32 arch.L_layers=1 arch.num_heads=2");
}

#[test]
fn transformers_baseline() {
    check(
        "arch=transformers_baseline arch.forward_dtype=float32 arch.H_layers=2 arch.num_heads=5 arch.puzzle_emb_ndim=0",
    );
}

#[test]
fn lstm() {
    check("arch=lstm arch.num_layers=1 arch.num_passes=2");
}

#[test]
fn lstm_residual() {
    check("arch=lstm arch.residual=True arch.num_layers=2 arch.num_passes=1 arch.forward_dtype=float32");
}

#[test]
fn transformer() {
    check("arch=transformer arch.num_layers=2 arch.num_heads=2 arch.intermediate_size=64");
}

#[test]
fn show_config_lists_the_keys_of_the_architecture() {
    let folder = tempfile::tempdir().unwrap();
    let shown = succeed(folder.path(), &words("pretrain --show-config arch=hrm data_paths=[x]"));
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    assert_eq!((&shown["arch"]["name"], &shown["arch"]["H_layers"]), (&"hrm".into(), &4.into()));
}
