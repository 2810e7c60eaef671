//! The reference's recorded evaluation, through the engine: a model that gives the recorded predictions must get the
//! recorded figures and submission.

use std::collections::{HashMap, VecDeque};
use std::fs;
use std::path::{Path, PathBuf};

use datasets::arc::SEQ_LEN;
use datasets::scoring::predictions::PredictionSource;
use datasets::scoring::{ArcScorer, DEFAULT_PASS_KS};
use engine::arc::{TaskIndex, held_out};
use engine::{EngineError, Policy};
use evaluation::arc_figures::{ArcRecord, figures};
use safetensors::SafeTensors;
use serde_json::Value;

use crate::arc_world::Scripted;
use crate::golden::unpack;

fn fixture(parent: &Path, name: &str) -> PathBuf {
    let target = parent.join(name);
    unpack(&crate::golden::packed().join(name), &target);
    target
}

/// Recorded predictions and q by (identifier, input), in the order of the rows.
type Recorded = HashMap<(usize, Vec<i64>), VecDeque<(Vec<i64>, f32)>>;

fn recorded(path: &Path) -> Recorded {
    let bytes = fs::read(path).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let words = |name: &str| tensors.tensor(name).unwrap().data().as_chunks().0.to_vec();
    let integers = |name: &str| words(name).into_iter().map(|word| i64::from(i32::from_le_bytes(word)));
    let rows = |name: &str| integers(name).collect::<Vec<_>>().chunks(SEQ_LEN).map(<[i64]>::to_vec).collect::<Vec<_>>();
    let q = words("q_halt_logits").into_iter().map(f32::from_le_bytes);
    let mut recorded = Recorded::new();
    let keys = integers("puzzle_identifiers").map(|identifier| identifier as usize).zip(rows("inputs"));
    for (key, answer) in keys.zip(rows("preds").into_iter().zip(q)) {
        recorded.entry(key).or_default().push_back(answer);
    }
    recorded
}

#[test]
fn recorded_predictions_get_the_recorded_figures() {
    let folder = tempfile::tempdir().unwrap();
    let data = fixture(folder.path(), "arc_aug8");
    let results = fixture(folder.path(), "arc_eval");
    let mut predictions = recorded(&results.join("rows.safetensors"));
    let index = TaskIndex::open(&data).unwrap();
    assert_eq!(index.test_row_count(usize::MAX), predictions.values().map(VecDeque::len).sum::<usize>());
    let model = Scripted::new(move |identifier, tokens, _| {
        predictions.get_mut(&(identifier, tokens.to_vec())).unwrap().pop_front().unwrap()
    });
    let model = model.with_rows(index.num_puzzle_identifiers()).served();

    let mut scorer = ArcScorer::open(&data).unwrap();
    let source = PredictionSource { path: "memory".into(), augmentations: 1 };
    let mut curve = Vec::new();
    let mut records = Vec::new();
    let policy = Policy { max_steps: 1, ..model.engine.options().default_policy };
    let rows = index.test_rows(usize::MAX);
    held_out::predict(&model.engine, &index, rows, policy, 7, |prediction| {
        let rank = prediction.row.rank;
        records.push(ArcRecord::of(records.len() as u64, &prediction));
        scorer.add(&held_out::rows_of(&[prediction], 0), &source).unwrap();
        curve.resize(rank + 1, 0.0);
        let report = scorer.report(&["engine".into()], &DEFAULT_PASS_KS).unwrap();
        curve[rank] = report.accuracy("ARC/pass@2").unwrap().share.accuracy;
        Ok::<_, EngineError>(())
    })
    .unwrap();
    let report = scorer.report(&["engine".into()], &DEFAULT_PASS_KS).unwrap();
    assert_eq!((report.coverage.rows, report.coverage.unmatched_rows), (54, 0));

    let results: Value = serde_json::from_slice(&fs::read(results.join("results.json")).unwrap()).unwrap();
    let run = &results["results"]["ws1"];
    let mut compared = 0;
    for (metric, value) in run["metrics"].as_object().unwrap() {
        if let Some(found) = report.accuracy(metric) {
            assert_eq!(found.share.accuracy.to_bits(), value.as_f64().unwrap().to_bits(), "{metric}");
            compared += 1;
        }
    }
    assert!(compared >= DEFAULT_PASS_KS.len(), "{compared} metrics");
    let path = folder.path().join("submission.json");
    scorer.write_submission(&path, 2).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), run["submission"].as_str().unwrap());
    assert_eq!(curve.len(), 9, "the tasks themselves and eight augmentations");
    assert_eq!(curve.last().copied(), report.accuracy("ARC/pass@2").map(|accuracy| accuracy.share.accuracy));

    // The same out of a log that was written in pieces.
    let text = serde_json::to_string(&records).unwrap();
    let mut read: Vec<ArcRecord> = serde_json::from_str(&text).unwrap();
    read.rotate_left(20);
    let (figures, votes) = figures(&data, &index, usize::MAX, read.clone(), &DEFAULT_PASS_KS).unwrap();
    assert_eq!(figures.report.accuracies, report.accuracies);
    assert_eq!(votes.submission(2), scorer.submission(2));
    let points: Vec<(usize, f64)> =
        figures.curve.iter().map(|point| (point.augmentations, point.pass_at_2.accuracy)).collect();
    assert_eq!(points, [1, 2, 4, 8, 9].map(|count| (count, curve[count - 1])));
    assert_eq!(figures.steps, 54);
    read.pop();
    assert!(evaluation::arc_figures::figures(&data, &index, usize::MAX, read.clone(), &[1]).is_err(), "one is missing");
    read.push(read[0].clone());
    assert!(evaluation::arc_figures::figures(&data, &index, usize::MAX, read, &[1]).is_err(), "one is there twice");
}
