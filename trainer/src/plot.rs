//! Learning curves as SVG from a run's `metrics.csv`: accuracies against optimizer steps, in training and evaluation.
//! Leaves writing the metrics to the run.

use std::collections::BTreeMap;
use std::path::Path;

use datasets::picture::{ChartLine, LineChart, Rgb, Scale};

use crate::TrainError;

/// What is drawn: phase, metric, colour.
const CURVES: [(&str, &str, Rgb); 3] = [
    ("eval", "exact_accuracy", [200, 60, 40]),
    ("train", "exact_accuracy", [60, 110, 190]),
    ("train", "accuracy", [150, 160, 170]),
];

/// Points of one curve: step and value.
type Curve = Vec<(f64, f64)>;

/// Reads `metrics` and gives the picture as SVG text.
///
/// # Errors
/// When the file cannot be read, is not a `metrics.csv`, or holds no accuracy yet.
pub fn learning_curve(metrics: &Path, title: &str) -> Result<String, TrainError> {
    let curves = read(metrics)?;
    let last_step = curves.values().flatten().map(|point| point.0).fold(0.0, f64::max);
    if last_step == 0.0 {
        return Err(TrainError::state(metrics, "holds no accuracy yet; train for at least one log_interval"));
    }
    let line = |(phase, metric, colour): (&str, &str, Rgb)| {
        let points = curves.get(&(phase.to_owned(), metric.to_owned()))?.clone();
        Some(ChartLine { label: format!("{phase}/{metric}"), colour, points })
    };
    let chart = LineChart {
        title: title.to_owned(),
        x_label: "optimizer steps".to_owned(),
        x_scale: Scale::Linear,
        lines: CURVES.into_iter().filter_map(line).collect(),
    };
    chart.to_svg().map_err(|error| TrainError::state(metrics, format!("cannot be drawn: {error}")))
}

fn read(path: &Path) -> Result<BTreeMap<(String, String), Curve>, TrainError> {
    let problem = |error: csv::Error| TrainError::state(path, error.to_string());
    let mut curves: BTreeMap<(String, String), Curve> = BTreeMap::new();
    for record in csv::Reader::from_path(path).map_err(problem)?.deserialize() {
        let (step, phase, metric, value): (u64, String, String, f64) = record.map_err(problem)?;
        if CURVES.iter().any(|curve| curve.0 == phase && curve.1 == metric) {
            curves.entry((phase, metric)).or_default().push((step as f64, value));
        }
    }
    Ok(curves)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_has_its_lines_and_labels() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.csv");
        std::fs::write(&path, "step,phase,metric,value\n50,train,exact_accuracy,0.25\n100,train,exact_accuracy,0.5\n100,eval,exact_accuracy,0.75\n100,train,lr,0.001\n").unwrap();
        let svg = learning_curve(&path, "a run").unwrap();
        assert!(svg.starts_with("<svg") && svg.contains("a run"));
        assert!(svg.contains("train/exact_accuracy") && svg.contains("eval/exact_accuracy"));
        assert!(!svg.contains("train/accuracy"));
        assert!(svg.matches("<polyline").count() >= 2);
        std::fs::write(&path, "step,phase,metric,value\n").unwrap();
        assert!(learning_curve(&path, "").unwrap_err().to_string().contains("no accuracy yet"));
    }
}
