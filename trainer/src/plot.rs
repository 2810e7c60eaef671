//! Learning curves as SVG from a run's `metrics.csv`: accuracies against optimizer steps, in training and evaluation.
//! Leaves writing the metrics to the run.

use std::collections::BTreeMap;
use std::path::Path;

use plotters::prelude::*;

use crate::TrainError;

/// Width and height in pixels.
const SIZE: (u32, u32) = (900, 480);
/// What is drawn: phase, metric, colour.
const CURVES: [(&str, &str, RGBColor); 3] = [
    ("eval", "exact_accuracy", RGBColor(200, 60, 40)),
    ("train", "exact_accuracy", RGBColor(60, 110, 190)),
    ("train", "accuracy", RGBColor(150, 160, 170)),
];

/// Points of one curve: step and value.
type Curve = Vec<(f64, f64)>;

/// Reads `metrics` and gives the picture as SVG text.
///
/// # Errors
/// When the file cannot be read, is no `metrics.csv`, or holds no accuracy yet.
pub fn learning_curve(metrics: &Path, title: &str) -> Result<String, TrainError> {
    let curves = read(metrics)?;
    let last_step = curves.values().flatten().map(|point| point.0).fold(0.0, f64::max);
    if last_step == 0.0 {
        return Err(TrainError::state(metrics, "holds no accuracy yet; train for at least one log_interval"));
    }
    let mut svg = String::new();
    draw(&mut svg, &curves, last_step, title)
        .map_err(|error| TrainError::state(metrics, format!("cannot be drawn: {error}")))?;
    Ok(svg)
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

fn draw(
    svg: &mut String,
    curves: &BTreeMap<(String, String), Curve>,
    last_step: f64,
    title: &str,
) -> Result<(), Box<dyn std::error::Error>> {
    let area = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .caption(title, ("sans-serif", 18))
        .margin(12)
        .x_label_area_size(36)
        .y_label_area_size(48)
        .build_cartesian_2d(0.0..last_step, 0.0..1.0)?;
    chart
        .configure_mesh()
        .x_desc("optimizer steps")
        .y_desc("share")
        .x_label_formatter(&|step| format!("{step:.0}"))
        .light_line_style(WHITE)
        .draw()?;
    for (phase, metric, color) in CURVES {
        let Some(points) = curves.get(&(phase.to_owned(), metric.to_owned())) else { continue };
        chart
            .draw_series(LineSeries::new(points.iter().copied(), color.stroke_width(2)))?
            .label(format!("{phase}/{metric}"))
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], color.stroke_width(2)));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::LowerRight)
        .background_style(WHITE.mix(0.8))
        .border_style(RGBColor(200, 200, 200))
        .draw()?;
    area.present()?;
    Ok(())
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
