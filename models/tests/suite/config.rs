//! Configs that cannot be built are refused with the field and what to change; the rest has the reference's sizes.

use models::{
    ArchitectureConfig, HaltingRule, HrmConfig, LstmConfig, ModelDims, ParameterKind, PosEncodings, TransformerConfig,
    TrmConfig,
};
use serde_json::json;

const SUDOKU: ModelDims = ModelDims { vocab_size: 11, seq_len: 81, num_puzzle_identifiers: 1, sizes: None };

fn refused(config: TrmConfig) -> String {
    ArchitectureConfig::Trm(config).validate(&SUDOKU).unwrap_err().to_string()
}

/// Trained parameters, as `num_params` of the reference counts them.
fn parameter_count(arch: &ArchitectureConfig, dims: &ModelDims) -> usize {
    let specs = arch.parameter_specs(dims).unwrap();
    specs.iter().filter(|spec| spec.kind == ParameterKind::Weight).map(models::ParameterSpec::element_count).sum()
}

/// Those that `docs/architectures.md` tells; the reference's models are counted in `state_dict.rs` as well.
#[test]
fn parameter_counts_are_the_published_ones() {
    let by_default = |name: &str| parameter_count(&ArchitectureConfig::default_of(name).unwrap(), &SUDOKU);
    let counts = ArchitectureConfig::NAMES.map(|name| (name, by_default(name)));
    let expected = [
        ("trm", 6_828_034),
        ("trm_singlez", 6_828_034),
        ("trm_hier6", 6_828_034),
        ("hrm", 27_275_266),
        ("transformers_baseline", 27_144_194),
        ("lstm", 1_101_058),
        ("transformer", 808_322),
    ];
    assert_eq!(counts, expected);
    let mlp = TrmConfig { mlp_t: true, pos_encodings: PosEncodings::None, ..TrmConfig::default() };
    assert_eq!(parameter_count(&ArchitectureConfig::Trm(mlp.clone()), &SUDOKU), 5_028_866);
    let small = TrmConfig { hidden_size: 128, num_heads: 4, puzzle_emb_ndim: 0, puzzle_emb_len: 0, ..mlp };
    assert_eq!(parameter_count(&ArchitectureConfig::Trm(small), &SUDOKU), 520_706);
    let deep = LstmConfig { residual: true, num_layers: 6, hidden_size: 256, ..LstmConfig::default() };
    assert_eq!(parameter_count(&ArchitectureConfig::Lstm(deep), &SUDOKU), 2_401_538);
}

#[test]
fn impossible_configs_say_what_to_change() {
    let defaults = TrmConfig::default;
    assert!(refused(TrmConfig { num_heads: 0, ..defaults() }).contains("must lie in 1..=512"));
    assert!(refused(TrmConfig { num_heads: 513, ..defaults() }).contains("must lie in 1..=512"));
    assert!(refused(TrmConfig { num_heads: 7, ..defaults() }).contains("odd width 73"));
    assert!(refused(TrmConfig { num_heads: 512, ..defaults() }).contains("odd width 1"));
    assert!(refused(TrmConfig { puzzle_emb_ndim: 10_000, ..defaults() }).contains("raise puzzle_emb_len"));
    assert!(refused(TrmConfig { H_cycles: 0, ..defaults() }).contains("H_cycles: is 0"));
    assert!(refused(TrmConfig { expansion: f64::NAN, ..defaults() }).contains("expansion"));
    assert!(refused(TrmConfig { halt_exploration_prob: 1.5, ..defaults() }).contains("halt_exploration_prob"));
}

#[test]
fn the_other_architectures_say_what_to_change_too() {
    let refused = |arch: ArchitectureConfig| arch.validate(&SUDOKU).unwrap_err().to_string();
    let lstm = LstmConfig { pos_encodings: PosEncodings::Rope, ..LstmConfig::default() };
    assert!(refused(ArchitectureConfig::Lstm(lstm)).contains("set it to learned or none"));
    let odd = LstmConfig { residual: true, hidden_size: 33, ..LstmConfig::default() };
    assert!(refused(ArchitectureConfig::Lstm(odd.clone())).contains("make it even"));
    ArchitectureConfig::Lstm(LstmConfig { bidirectional: false, ..odd }).validate(&SUDOKU).unwrap();
    let blind = TransformerConfig { pos_encodings: PosEncodings::None, ..TransformerConfig::default() };
    assert!(refused(ArchitectureConfig::Transformer(blind)).contains("set it to learned or rope"));
    let hrm = HrmConfig { L_cycles: 0, ..HrmConfig::default() };
    assert!(refused(ArchitectureConfig::Hrm(hrm)).contains("L_cycles: is 0"));
    let message = ArchitectureConfig::default_of("gpt").unwrap_err().to_string();
    assert!(message.contains("unknown architecture `gpt`; expected one of trm, trm_singlez"), "{message}");
}

/// The reference's HRM knows no `no_ACT_continue` and no `puzzle_emb_len`, whatever its config file says.
#[test]
fn the_references_configs_are_read_as_it_reads_them() {
    let fields = json!({
        "hidden_size": 64, "num_heads": 2, "puzzle_emb_ndim": 96, "puzzle_emb_len": 16, "no_ACT_continue": true,
        "causal": false, "batch_size": 4, "loss": {"loss_type": "stablemax_cross_entropy"}
    });
    let read = |name: &str| ArchitectureConfig::from_reference(name, fields.as_object().unwrap()).unwrap();
    let (trm, hrm) = (read("trm"), read("hrm"));
    assert_eq!((trm.puzzle_emb_len(), trm.halting_rule(), trm.learns_q_continue()), (16, HaltingRule::QHalt, false));
    assert_eq!(
        (hrm.puzzle_emb_len(), hrm.halting_rule(), hrm.learns_q_continue()),
        (2, HaltingRule::QHaltOverContinue, true)
    );
    let baseline = read("transformers_baseline");
    assert_eq!((baseline.halting_rule(), baseline.learns_q_continue()), (HaltingRule::QHaltOverContinue, false));
    assert!(baseline.uses_q_continue() && hrm.uses_q_continue() && !trm.uses_q_continue());
    // The classes' own default.
    let without = ArchitectureConfig::from_reference("trm", json!({"hidden_size": 64}).as_object().unwrap()).unwrap();
    assert_eq!(without.puzzle_emb_ndim(), 0);
    let wide = json!({"hidden_size": "wide"});
    assert!(ArchitectureConfig::from_reference("trm", wide.as_object().unwrap()).is_err());
    assert!(ArchitectureConfig::from_reference("gpt", fields.as_object().unwrap()).is_err());
}

/// The reference crashes on `puzzle_emb_ndim=0` with its own default `puzzle_emb_len=16`; evidently no position is meant.
#[test]
fn without_puzzle_embedding_there_are_no_puzzle_positions() {
    let config = TrmConfig { puzzle_emb_ndim: 0, ..TrmConfig::default() };
    assert_eq!(config.puzzle_positions(), 0);
    ArchitectureConfig::Trm(config).validate(&SUDOKU).unwrap();
    assert_eq!(TrmConfig { puzzle_emb_ndim: 1000, puzzle_emb_len: 0, ..TrmConfig::default() }.puzzle_positions(), 2);
}
