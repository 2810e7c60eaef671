//! The NumPy streams against vectors recorded from NumPy 2.4.6 (`numpy_rng.json`).

use datasets::numpy::{LegacyGenerator, PhiloxGenerator};
use serde_json::Value;

fn vectors(prefix: &str) -> Vec<(u64, Value)> {
    let text =
        std::fs::read_to_string(crate::common::fixture("numpy_rng.json")).expect("the vectors are in the repository");
    let all: serde_json::Map<String, Value> = serde_json::from_str(&text).expect("they are JSON");
    let of_prefix: Vec<_> = all
        .into_iter()
        .filter_map(|(name, value)| Some((name.strip_prefix(prefix)?.parse().expect("a seed"), value)))
        .collect();
    assert!(of_prefix.len() >= 3, "{prefix}: found {} seeds", of_prefix.len());
    of_prefix
}

fn numbers(value: &Value) -> Vec<u64> {
    value.as_array().expect("a list").iter().map(|item| item.as_u64().expect("a number")).collect()
}

fn as_u64(order: &[usize]) -> Vec<u64> {
    order.iter().map(|&index| index as u64).collect()
}

/// The recorded values of one seed come from one stream, in this order.
#[test]
fn legacy_stream_matches_numpy() {
    for (seed, expected) in vectors("legacy_seed_") {
        let mut generator = LegacyGenerator::new(u32::try_from(seed).expect("legacy seeds have 32 bits"));
        for value in expected["rand"].as_array().expect("a list") {
            assert_eq!(Some(generator.rand()), value.as_f64(), "rand, seed {seed}");
        }
        for (name, high) in [("randint_0_8", 8), ("randint_0_28", 28), ("randint_0_1", 1)] {
            for value in numbers(&expected[name]) {
                assert_eq!(generator.randint(0..high), value, "{name}, seed {seed}");
            }
        }
        for name in ["permutation_arange_1_10_uint8", "permutation_arange_1_10_int64"] {
            for order in expected[name].as_array().expect("a list") {
                let mut digits: Vec<u64> = (1..10).collect();
                generator.shuffle(&mut digits);
                assert_eq!(digits, numbers(order), "{name}, seed {seed}");
            }
        }
        for order in expected["permutation_3"].as_array().expect("a list") {
            assert_eq!(as_u64(&generator.permutation(3)), numbers(order), "permutation_3, seed {seed}");
        }
        let mut keys: Vec<String> = (0..10).map(|index| format!("k{index}")).collect();
        generator.shuffle(&mut keys);
        assert_eq!(serde_json::json!(keys), expected["shuffle_list10_of_tuples"], "shuffle, seed {seed}");
        for (name, population, size) in
            [("choice_20_8_noreplace", 20, 8), ("choice_1_1_noreplace", 1, 1), ("choice_5_5_noreplace", 5, 5)]
        {
            let chosen = generator.choice_without_replacement(population, size);
            assert_eq!(as_u64(&chosen), numbers(&expected[name]), "{name}, seed {seed}");
        }
        assert_eq!(Some(generator.rand()), expected["tail_rand"].as_f64(), "stream position, seed {seed}");
    }
}

#[test]
fn philox_stream_matches_numpy() {
    for (seed, expected) in vectors("philox_seed_") {
        let mut generator = PhiloxGenerator::new(seed);
        assert_eq!(as_u64(&generator.permutation(10)), numbers(&expected["permutation_10"]), "seed {seed}");
        assert_eq!(as_u64(&generator.permutation(33)), numbers(&expected["permutation_33"]), "seed {seed}");
        for draw in expected["integers"].as_array().expect("a list") {
            let [low, high, value] = numbers(draw)[..] else { panic!("[low, high, value] expected: {draw}") };
            assert_eq!(generator.integers(low..high), value, "integers({low}, {high}), seed {seed}");
        }
        let order = as_u64(&generator.permutation(1000));
        assert_eq!(order[..20], numbers(&expected["permutation_1000_head"]), "seed {seed}");
        for value in numbers(&expected["integers2"]) {
            assert_eq!(generator.integers(0..1001), value, "integers2, seed {seed}");
        }
    }
}

#[test]
fn a_range_of_one_draws_nothing() {
    let (mut with, mut without) = (PhiloxGenerator::new(9), PhiloxGenerator::new(9));
    assert_eq!(with.integers(5..6), 5);
    assert_eq!(with.permutation(50), without.permutation(50));
    let (mut with, mut without) = (LegacyGenerator::new(9), LegacyGenerator::new(9));
    assert_eq!(with.randint(5..6), 5);
    assert_eq!(with.permutation(50), without.permutation(50));
}
