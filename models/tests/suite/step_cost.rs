//! The cost of a step against numbers computed by hand from the layers' shapes.

use models::benchmark::{BenchmarkConfig, ProductKind, Roofline, Spread, Work, step_cost};
use models::checkpoint::MANIFEST_FILE;
use models::{ArchitectureConfig, HrmConfig, LstmConfig, Manifest, ModelDims};

const SUDOKU: ModelDims = ModelDims { vocab_size: 11, seq_len: 81, num_puzzle_identifiers: 1, sizes: None };

fn cost(name: &str, batch_size: usize) -> models::benchmark::StepCost {
    let config = BenchmarkConfig::named(name).unwrap();
    step_cost(&config.arch, &config.dims, batch_size).unwrap()
}

#[test]
fn the_small_model_costs_3_35_gflop_per_sample_and_step() {
    // A block: token mixing 81 → 2 · 256 → 81 for 128 columns, gated MLP 128 → 2 · 512 → 128 for 81 tokens.
    let block = 2 * 128 * 81 * (2 * 256 + 256) + 2 * 81 * 128 * (2 * 512 + 512);
    let heads = 2 * 81 * 128 * 11 + 2 * 128 * 2;
    let cost = cost("small", 64);
    // 2 blocks, 6 + 1 applications in each of 3 cycles, of which the last has gradients.
    assert_eq!(cost.without_gradient.flops, 64 * 28 * block);
    assert_eq!(cost.with_gradient.flops, 64 * (14 * block + heads));
    assert_eq!(cost.backward.flops, 2 * cost.with_gradient.flops);
    let gigaflops = cost.training().flops as f64 / 64.0 / 1e9;
    assert!((gigaflops - 3.345).abs() < 0.001, "{gigaflops}");
    assert_eq!(cost.forward().flops, 64 * (42 * block + heads));
    // 2 blocks, embedding and head of 11 tokens, Q head.
    assert_eq!(cost.parameters, 2 * (768 * 81 + 1536 * 128) + 2 * 11 * 128 + 2 * 128 + 2);
    assert_eq!(cost.update_bytes(), 36 * cost.parameters as u64);
}

#[test]
fn the_published_sudoku_model_costs_43_gflop_per_sample_and_step() {
    let block = 2 * 512 * 97 * (2 * 512 + 512) + 2 * 97 * 512 * (2 * 1536 + 1536);
    let heads = 2 * 81 * 512 * 11 + 2 * 512 * 2;
    let cost = cost("sudoku-mlp", 16);
    assert_eq!(cost.training().flops, 16 * (42 * block + 28 * block + 3 * heads));
    let gigaflops = cost.training().flops as f64 / 16.0 / 1e9;
    assert!((gigaflops - 43.0).abs() < 0.5, "{gigaflops}");
}

#[test]
fn attention_counts_projections_scores_and_context() {
    // Heads of 64: queries, keys and values, scores and context over 916 tokens, output; then the gated MLP.
    let tokens = 916;
    let attention = 2 * tokens * 512 * (3 * 512 + 512) + 2 * 2 * 8 * tokens * tokens * 64;
    let block = attention + 2 * tokens * 512 * (2 * 1536 + 1536);
    let heads = 2 * 900 * 512 * 6 + 2 * 512 * 2;
    let cost = cost("maze-attention", 3);
    assert_eq!(cost.forward().flops, 3 * (2 * 3 * 5 * block + heads));
    let scores = cost.products.iter().find(|counted| counted.product.kind == ProductKind::Attention).unwrap();
    assert_eq!((scores.product.matrices, scores.uses), (24, 30));
    let shares: f64 = (0..cost.products.len()).map(|index| cost.share(index)).sum();
    assert!((shares - 1.0).abs() < 1e-12, "{shares}");
    assert!(cost.share(0) > 0.25 && cost.share(0) >= cost.share(1));
}

#[test]
fn bytes_are_those_of_operands_and_results() {
    let arch = ArchitectureConfig::Lstm(LstmConfig {
        hidden_size: 8,
        num_layers: 1,
        num_passes: 1,
        bidirectional: false,
        residual: true,
        pos_encodings: models::PosEncodings::None,
        ..LstmConfig::default()
    });
    let cost = step_cost(&arch, &SUDOKU, 2).unwrap();
    // All of [2, 81, 8]: reset 2, embedding 2, its scale 2, state + question 3, LSTM 2, residual 3, norm 2, reading of
    // the head and of the mean; then logits [2, 81, 11], the mean and its reading, Q values.
    let x = 2 * 81 * 8;
    assert_eq!(cost.forward().activation_values, 18 * x + 2 * 81 * 11 + 2 * 2 * 8 + 2 * 2);
    // Initial state; LSTM, of which the recurrent weights are read for each token; norm; head; Q head.
    assert_eq!(cost.forward().weight_values, 8 + (32 * 8 + 81 * 32 * 8 + 64) + 16 + 11 * 8 + (16 + 2));
    assert_eq!(cost.without_gradient, Work::default());
    assert_eq!(Work { flops: 0, weight_values: 3, activation_values: 5 }.bytes(1, 4), 23);
}

#[test]
fn only_the_last_updates_of_hrm_have_gradients() {
    let arch = ArchitectureConfig::Hrm(HrmConfig::default());
    let cost = step_cost(&arch, &SUDOKU, 1).unwrap();
    // 2 cycles of 2 updates of L and one of H, 4 blocks each; one of L and one of H are differentiated.
    let tokens = 82;
    let block = 2 * tokens * 512 * (4 * 512 + 3 * 1536) + 2 * 2 * tokens * tokens * 512;
    assert_eq!(cost.without_gradient.flops, 4 * 4 * block);
    assert_eq!(cost.with_gradient.flops, 2 * 4 * block + 2 * 81 * 512 * 11 + 2 * 512 * 2);
}

#[test]
fn every_name_is_a_valid_configuration_and_every_shipped_model_is_among_them() {
    for name in BenchmarkConfig::NAMES {
        let config = BenchmarkConfig::named(name).unwrap();
        assert_eq!(config.name, name);
        config.arch.validate(&config.dims).unwrap();
    }
    let unknown = BenchmarkConfig::named("big").unwrap_err().to_string();
    assert!(unknown.contains("`big`") && unknown.contains("sudoku-mlp"), "{unknown}");
    let shipped = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("shipped");
    for folder in std::fs::read_dir(shipped).unwrap() {
        let manifest = Manifest::read(&folder.unwrap().path().join(MANIFEST_FILE)).unwrap();
        let is_this = |name: &&str| BenchmarkConfig::named(name).is_ok_and(|config| config.arch == manifest.arch);
        assert!(BenchmarkConfig::NAMES.iter().any(is_this), "{}", manifest.task);
    }
}

#[test]
fn rates_are_compared_with_the_fastest_product_and_with_their_mixture() {
    let cost = cost("small", 1);
    let seconds = Spread::of(&[4.0, 1.0, 2.0, 3.0]).unwrap();
    assert_eq!((seconds.median, seconds.lower, seconds.upper, seconds.count), (2.5, 1.75, 3.25, 4));
    let rate = seconds.rate_of(13.0);
    assert_eq!((rate.median, rate.lower, rate.upper), (5.2, 4.0, 13.0 / 1.75));
    assert_eq!(Spread::of(&[]), None);

    let rates: Vec<Spread> =
        (0..cost.products.len()).map(|index| Spread::of(&[if index == 0 { 100.0 } else { 50.0 }]).unwrap()).collect();
    let roofline = Roofline::new("float32", &cost, &rates);
    assert!((roofline.peak_flops_per_second - 100.0).abs() < 1e-9);
    let share = cost.share(0);
    assert!((roofline.mixed_flops_per_second - 1.0 / (share / 100.0 + (1.0 - share) / 50.0)).abs() < 1e-9);
    assert!((roofline.utilisation(60.0) - 0.6).abs() < 1e-12);
}

#[test]
fn configurations_are_selected_by_name_by_default_or_all() {
    let names = |named: &[&str], default: &[&str]| -> Vec<&str> {
        let named: Vec<String> = named.iter().map(ToString::to_string).collect();
        BenchmarkConfig::selected(&named, default).unwrap().iter().map(|config| config.name).collect()
    };
    assert_eq!(names(&["sudoku-mlp", "small"], &["sudoku-4x4"]), ["sudoku-mlp", "small"]);
    assert_eq!(names(&[], &["sudoku-4x4"]), ["sudoku-4x4"]);
    assert_eq!(names(&["small", "all"], &[]), BenchmarkConfig::NAMES);
    let error = BenchmarkConfig::selected(&["large".into()], &[]).unwrap_err().to_string();
    assert!(error.contains("`large`") && error.contains("maze-attention"), "{error}");
}
