//! Votes on ARC against every recorded run of the reference's evaluator: metrics, rankings and submissions.

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::common::fixture;
use datasets::arc::grid_hash;
use datasets::scoring::predictions::prediction_passes;
use datasets::scoring::predictions::{PredictionPass, PredictionRows, PredictionSource, PredictionWriter};
use datasets::scoring::{ArcScorer, ReportOptions, Scorer, Unit, VoteRule, halting_probability};
use safetensors::SafeTensors;
use serde_json::Value;

const SEQ_LEN: usize = 900;
/// Means of at most 18 probabilities that another library computed: its `exp` may differ in the last bits.
const MEAN_Q_TOLERANCE: f64 = 1e-15;

/// The recorded runs, by name.
fn recorded() -> Value {
    let text = fs::read(fixture("arc_eval/results.json")).expect("readable");
    let results: Value = serde_json::from_slice(&text).expect("JSON");
    results["results"].clone()
}

/// All 54 rows that the runs were made of.
fn all_rows() -> PredictionRows {
    let bytes = fs::read(fixture("arc_eval/rows.safetensors")).expect("readable");
    let tensors = SafeTensors::deserialize(&bytes).expect("safetensors");
    let words = |name: &str| tensors.tensor(name).expect("recorded").data().as_chunks().0.to_vec();
    let integers = |name: &str| words(name).into_iter().map(i32::from_le_bytes).collect::<Vec<_>>();
    let tokens = |name: &str| integers(name).into_iter().map(|token| u8::try_from(token).expect("a token")).collect();
    PredictionRows {
        seq_len: SEQ_LEN,
        first_row: 0,
        inputs: tokens("inputs"),
        preds: tokens("preds"),
        puzzle_identifiers: integers("puzzle_identifiers").into_iter().map(i32::cast_unsigned).collect(),
        q_halt_logits: words("q_halt_logits").into_iter().map(|word| f64::from(f32::from_le_bytes(word))).collect(),
    }
}

fn picked(rows: &PredictionRows, order: &[usize]) -> PredictionRows {
    PredictionRows {
        seq_len: SEQ_LEN,
        first_row: 0,
        inputs: order.iter().flat_map(|&row| rows.input(row)).copied().collect(),
        preds: order.iter().flat_map(|&row| rows.pred(row)).copied().collect(),
        puzzle_identifiers: order.iter().map(|&row| rows.puzzle_identifiers[row]).collect(),
        q_halt_logits: order.iter().map(|&row| rows.q_halt_logits[row]).collect(),
    }
}

/// A batch's padding as the evaluation loop makes it: blank identifiers and whatever the model says to that.
fn padding(count: usize) -> PredictionRows {
    PredictionRows {
        seq_len: SEQ_LEN,
        first_row: 0,
        inputs: vec![0; count * SEQ_LEN],
        preds: vec![3; count * SEQ_LEN],
        puzzle_identifiers: vec![0; count],
        q_halt_logits: vec![9.0; count],
    }
}

/// Writes a rank's rows in batches of `batch`, the last one padded at its end.
fn write(path: &Path, rows: &PredictionRows, batch: usize) {
    let missing = rows.len().next_multiple_of(batch) - rows.len();
    let mut writer = PredictionWriter::create(path, rows.len() + missing, SEQ_LEN, 1).expect("a new file");
    for start in (0..rows.len()).step_by(batch) {
        let order: Vec<usize> = (start..rows.len().min(start + batch)).collect();
        writer.append(&picked(rows, &order)).expect("written");
    }
    writer.append(&padding(missing)).expect("written");
    writer.finish().expect("complete");
}

/// The rows of a rank among `world_size`, cut from global batches of 8.
fn rows_of_rank(total: usize, world_size: usize, rank: usize) -> Vec<usize> {
    let local = 8 / world_size;
    let slice = |start: usize| -> Range<usize> {
        let first = start + rank * local;
        first.min(total)..(first + local).min(total)
    };
    (0..total).step_by(8).flat_map(slice).collect()
}

/// The prediction files of a run: a folder per pass, a file per rank.
fn passes(folder: &Path, run: &Value) -> Vec<PredictionPass> {
    let rows = match run["row_order"].as_array() {
        None => all_rows(),
        Some(order) => {
            let order: Vec<usize> = order.iter().map(|row| row.as_u64().expect("a row") as usize).collect();
            picked(&all_rows(), &order)
        }
    };
    let world_size = run["world_size"].as_u64().expect("recorded") as usize;
    let paths: Vec<PathBuf> = (0..run["repetitions"].as_u64().expect("recorded"))
        .map(|pass| {
            let path = folder.join(format!("pass_{pass}"));
            fs::create_dir(&path).expect("a folder");
            for rank in 0..world_size {
                let rows = picked(&rows, &rows_of_rank(rows.len(), world_size, rank));
                write(&path.join(format!("step_0_all_preds.{rank}")), &rows, 8 / world_size);
            }
            path
        })
        .collect();
    prediction_passes(&paths).expect("they exist")
}

/// The votes of a run, aggregated over its passes or those of the last one.
fn scorer_of(run: &Value) -> ArcScorer {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut scorer = Scorer::open(&fixture("arc_aug8")).expect("an ARC dataset");
    for pass in passes(folder.path(), run) {
        if run["aggregated_voting"] == Value::Bool(false) {
            scorer.clear();
        }
        scorer.add_pass(&pass, |_| ()).expect("usable predictions");
    }
    match scorer {
        Scorer::Arc(scorer) => *scorer,
        Scorer::Board(_) => panic!("arc_aug8 is ARC"),
    }
}

fn runs() -> Vec<(String, Value)> {
    let runs = recorded();
    let runs = runs.as_object().expect("runs by name").clone();
    let runs: Vec<_> = runs.into_iter().filter(|(_, run)| run.get("metrics").is_some()).collect();
    assert_eq!(runs.len(), 10, "every recorded run takes part");
    runs
}

#[test]
fn metrics_are_the_references_to_the_last_bit() {
    for (name, run) in runs() {
        let metrics = run["metrics"].as_object().expect("metrics");
        let numbers = |key: &str| -> Vec<usize> {
            run["kwargs"][key].as_array().into_iter().flatten().map(|k| k.as_u64().expect("K") as usize).collect()
        };
        let mut options = ReportOptions::default();
        if run["kwargs"].get("pass_Ks").is_some() {
            options.pass_ks = numbers("pass_Ks");
        }
        let report = scorer_of(&run).report(std::slice::from_ref(&name), &options.pass_ks).expect("votes");
        assert_eq!(report.coverage.unmatched_rows, 0);
        let mut compared = 0;
        for (metric, value) in metrics {
            let value = value.as_f64().expect("a number");
            let Some(found) = report.accuracy(metric) else {
                assert_eq!(metric, "ARC/example_N");
                let pooled = report.accuracy("ARC/example_pass@1").expect("always there");
                assert_eq!((pooled.trials, pooled.unit), (value as u64, Unit::Pair));
                continue;
            };
            assert_eq!(found.share.accuracy.to_bits(), value.to_bits(), "{name}: {metric}");
            compared += 1;
        }
        assert!(compared >= options.pass_ks.len(), "{name}: {compared} metrics");
    }
}

#[test]
fn rankings_are_the_references() {
    for (name, run) in runs() {
        let scorer = scorer_of(&run);
        for (pair, recorded) in run["ranking"].as_object().expect("rankings") {
            let (task, number) = pair.split_once('#').expect("task#pair");
            let number: usize = number.parse().expect("a number");
            let ranking = scorer.ranking(task, number, VoteRule::CountThenMeanQ).expect("a pair of the dataset");
            let recorded = recorded["ranking"].as_array().expect("candidates");
            assert_eq!(ranking.len(), recorded.len(), "{name}: {pair}");
            for (place, (found, recorded)) in ranking.iter().zip(recorded).enumerate() {
                let hash = grid_hash(&found.grid).to_string();
                assert_eq!(Some(hash.as_str()), recorded[0].as_str(), "{name}: {pair}, place {place}");
                assert_eq!(Some(u64::from(found.votes)), recorded[1].as_u64(), "{name}: {pair}, place {place}");
                let mean_q = recorded[2].as_f64().expect("a mean");
                assert!((found.mean_q - mean_q).abs() <= MEAN_Q_TOLERANCE, "{name}: {pair}, place {place}");
            }
        }
    }
}

/// Byte for byte, except that a pair without predictions keeps its place: the reference drops it, so that the attempts
/// of the pairs behind it move forward.
#[test]
fn submissions_are_the_references_but_for_pairs_without_predictions() {
    let mut placeholders = 0;
    for (name, run) in runs() {
        let scorer = scorer_of(&run);
        let attempts = run["kwargs"].get("submission_K").and_then(Value::as_u64).unwrap_or(2) as usize;
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("submission.json");
        scorer.write_submission(&path, attempts).expect("written");
        let ours = fs::read_to_string(&path).expect("readable");
        let reference = run["submission"].as_str().expect("recorded");

        let mut answered = scorer.submission(attempts);
        let mut dropped = 0;
        for (task, pairs) in &mut answered {
            let mut number = 0;
            pairs.retain(|attempts| {
                let ranking = scorer.ranking(task, number, VoteRule::CountThenMeanQ).expect("a pair");
                number += 1;
                if ranking.is_empty() {
                    dropped += 1;
                    assert!(attempts.values().all(|grid| *grid == [[0, 0], [0, 0]]), "{name}: a placeholder");
                }
                !ranking.is_empty()
            });
        }
        let recorded: Value = serde_json::from_str(reference).expect("JSON");
        assert_eq!(serde_json::to_value(&answered).expect("JSON"), recorded, "{name}");
        assert_eq!(ours == reference, dropped == 0, "{name}");
        placeholders += dropped;
        for (task, pairs) in scorer.tasks() {
            let submitted: Value = serde_json::from_str(&ours).expect("JSON");
            assert_eq!(submitted[task].as_array().map(Vec::len), Some(pairs), "{name}: every pair of {task} is there");
        }
    }
    assert_eq!(placeholders, 3, "one pair in one run, a task of one pair in two");
}

/// The reference masks padding out of predictions but not out of Q: with padding in front every row gets its
/// predecessor's Q. Here each row keeps its own.
#[test]
fn q_stays_with_its_row_wherever_padding_lies() {
    let runs = recorded();
    let quirk = &runs["pad_in_front_misaligns_q"];
    let truth: Vec<f64> =
        quirk["true_q_sigmoid"].as_array().expect("8").iter().map(|q| q.as_f64().expect("a number")).collect();
    let misaligned: Vec<f64> =
        quirk["recorded"].as_array().expect("7").iter().map(|vote| vote[1].as_f64().expect("a number")).collect();
    assert_eq!(misaligned, truth[..7], "what the reference does");

    let rows = all_rows();
    let mut batch = picked(&rows, &[0, 1, 2, 3, 4, 5, 6, 7]);
    for (row, &q) in truth.iter().enumerate() {
        assert!((halting_probability(batch.q_halt_logits[row]) - q).abs() <= MEAN_Q_TOLERANCE);
    }
    batch.puzzle_identifiers[0] = 0;
    let mut scorer = ArcScorer::open(&fixture("arc_aug8")).expect("an ARC dataset");
    let source = PredictionSource { path: "memory".into(), augmentations: 1 };
    scorer.add(&batch, &source).expect("usable");
    // Rows 1 to 3 give the same grid, 4 and 5 another one, 6 and 7 a third.
    let ranking = scorer.ranking("syn00e05", 0, VoteRule::CountThenMeanQ).expect("a pair");
    let found: Vec<(u32, f64)> = ranking.iter().map(|ranked| (ranked.votes, ranked.mean_q)).collect();
    let mean = |rows: Range<usize>| rows.clone().map(|row| truth[row]).sum::<f64>() / rows.len() as f64;
    let expected = [(3, mean(1..4)), (2, mean(6..8)), (2, mean(4..6))];
    for ((votes, mean_q), (expected_votes, expected_q)) in found.into_iter().zip(expected) {
        assert_eq!(votes, expected_votes);
        assert!((mean_q - expected_q).abs() <= MEAN_Q_TOLERANCE, "{mean_q} {expected_q}");
    }
    let report = scorer.report(&["memory".into()], &[1]).expect("votes");
    assert_eq!((report.coverage.rows, report.coverage.padding_rows), (7, 1));
}

#[test]
fn other_rules_rank_otherwise_and_are_named() {
    let (_, run) = runs().into_iter().find(|(name, _)| name == "ws1").expect("recorded");
    let scorer = scorer_of(&run);
    let report = scorer.report(&["ws1".into()], &[1, 2]).expect("votes");
    let value = |name: &str| report.accuracy(name).map(|accuracy| accuracy.share.accuracy);
    assert_eq!(value("ARC/pass@1"), Some(0.4));
    for rule in ["count", "mean_q", "q_weighted"] {
        for metric in ["ARC/pass@1", "ARC/pass@2", "ARC/example_pass@1", "ARC/example_pass@2"] {
            let accuracy = report.accuracy(&format!("{metric}/{rule}")).expect("reported apart");
            assert_eq!(accuracy.vote, rule);
        }
    }
    // Recounted from the recorded votes of all rows: which candidate of each pair leads under each rule.
    for (pair, recorded) in run["ranking"].as_object().expect("rankings") {
        let candidates: Vec<(&str, f64, f64)> = recorded["ranking"]
            .as_array()
            .expect("candidates")
            .iter()
            .map(|one| (one[0].as_str().expect("a hash"), one[1].as_f64().expect("votes"), one[2].as_f64().expect("q")))
            .collect();
        let (task, number) = pair.split_once('#').expect("task#pair");
        for (rule, key) in [
            (VoteRule::MeanQ, &(|c: &(&str, f64, f64)| c.2) as &dyn Fn(&(&str, f64, f64)) -> f64),
            (VoteRule::QWeighted, &|c| c.1 * c.2),
            (VoteRule::Count, &|c| c.1),
        ] {
            let best = candidates.iter().map(key).fold(f64::MIN, f64::max);
            let ranking = scorer.ranking(task, number.parse().expect("a number"), rule).expect("a pair");
            let leader = grid_hash(&ranking[0].grid).to_string();
            let leading = candidates.iter().find(|candidate| candidate.0 == leader).expect("a recorded candidate");
            assert!((key(leading) - best).abs() < 1e-12, "{pair} under {rule}");
        }
    }
}
