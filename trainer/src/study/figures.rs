//! The figures of a study: layers, recursions, learning curves, and what parameters buy. Owns what each shows.

use std::collections::BTreeMap;
use std::path::Path;

use datasets::picture::{ChartLine, LineChart, Mark, MarkChart, MarkStyle, PictureError, Scale};

use super::results::ExperimentResult;
use crate::TrainError;
use crate::aggregate::{COLOURS, Group, RunRow, curves};

/// Draws the figures that the results allow, as SVG and PNG; gives their names.
pub(super) fn write(
    results: &[ExperimentResult],
    rows: &[RunRow],
    groups: &[Group],
    out: &Path,
) -> Result<Vec<&'static str>, TrainError> {
    let mut drawn = Vec::new();
    let mut save = |name: &'static str, picture: Result<(String, Vec<u8>), PictureError>| {
        let (svg, png) = picture.map_err(|error| TrainError::state(out, format!("{name}: {error}")))?;
        files::write(&out.join(format!("{name}.svg")), svg.as_bytes())?;
        files::write(&out.join(format!("{name}.png")), &png)?;
        drawn.push(name);
        Ok::<(), TrainError>(())
    };
    if let Some(bars) = layers(results) {
        save("layer_comparison", bars.to_svg().and_then(|svg| Ok((svg, bars.to_png()?))))?;
    }
    if let Some(lines) = recursions(results) {
        save("recursion_comparison", lines.to_svg().and_then(|svg| Ok((svg, lines.to_png()?))))?;
    }
    if let Some((chart, bands)) = curves(rows, groups) {
        let svg = chart.to_svg_with_bands(&bands);
        save("learning_curves", svg.and_then(|svg| Ok((svg, chart.to_png_with_bands(&bands)?))))?;
    }
    if let Some(points) = efficiency(results) {
        save("parameter_efficiency", points.to_svg().and_then(|svg| Ok((svg, points.to_png()?))))?;
    }
    Ok(drawn)
}

/// A bar for each experiment, coloured by its layers.
fn layers(results: &[ExperimentResult]) -> Option<MarkChart> {
    let marks: Vec<Mark> = results
        .iter()
        .filter_map(|result| {
            let layers = result.num_layers.unwrap_or(0) as usize;
            let interval = result.best_test_acc_low.zip(result.best_test_acc_high);
            let colour = COLOURS[layers % COLOURS.len()];
            Some(Mark { label: result.name.clone(), x: 0.0, share: result.best_test_acc?, interval, colour })
        })
        .collect();
    (!marks.is_empty()).then(|| MarkChart {
        title: "best test accuracy".into(),
        x_label: "experiments, coloured by layers".into(),
        style: MarkStyle::Bars,
        marks,
    })
}

/// Accuracy against recursions, a line for each number of layers; where recursions vary.
fn recursions(results: &[ExperimentResult]) -> Option<LineChart> {
    let mut by_layers: BTreeMap<u64, Vec<(f64, f64)>> = BTreeMap::new();
    for result in results {
        let (Some(layers), Some(recursions), Some(accuracy)) =
            (result.num_layers, result.n_recursions, result.best_test_acc)
        else {
            continue;
        };
        by_layers.entry(layers).or_default().push((recursions as f64, accuracy));
    }
    by_layers.retain(|_, points| points.iter().any(|point| (point.0 - points[0].0).abs() > 0.5));
    let lines: Vec<ChartLine> = by_layers
        .into_iter()
        .zip(COLOURS.into_iter().cycle())
        .map(|((layers, mut points), colour)| {
            points.sort_by(|left, right| left.0.total_cmp(&right.0));
            let unit = if layers == 1 { "layer" } else { "layers" };
            ChartLine { label: format!("{layers} {unit}"), colour, points }
        })
        .collect();
    (!lines.is_empty()).then(|| LineChart {
        title: "best test accuracy by recursions".into(),
        x_label: "updates of the latent state for each of the answer (n)".into(),
        x_scale: Scale::Linear,
        lines,
    })
}

/// Accuracy against parameters.
fn efficiency(results: &[ExperimentResult]) -> Option<MarkChart> {
    let marks: Vec<Mark> = results
        .iter()
        .zip(COLOURS.into_iter().cycle())
        .filter_map(|(result, colour)| {
            let interval = result.best_test_acc_low.zip(result.best_test_acc_high);
            let (x, share) = (result.params_m?, result.best_test_acc?);
            Some(Mark { label: result.name.clone(), x, share, interval, colour })
        })
        .collect();
    (!marks.is_empty()).then(|| MarkChart {
        title: "best test accuracy by size".into(),
        x_label: "millions of parameters".into(),
        style: MarkStyle::Points,
        marks,
    })
}
