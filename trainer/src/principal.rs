//! Principal components of states: the path of a board through the recursion on two axes. Owns the algebra, the file of states
//! and the figure of an evaluation; leaves making the states to `probes`.

use std::path::Path;

use datasets::picture::{PathChart, PlanePath, Rgb};
use models::ModelError;
use tch::{Kind, Tensor};

use crate::TrainError;

/// Components that are kept: what a figure shows.
const AXES: i64 = 2;
/// Boards whose paths are drawn.
const BOARDS_DRAWN: usize = 8;
const COLOURS: [Rgb; 4] = [[200, 60, 40], [60, 110, 190], [60, 150, 80], [150, 100, 170]];

/// The two directions in which states differ most.
#[derive(Debug)]
pub struct PrincipalComponents {
    /// Mean state, `[hidden]`, float64.
    pub mean: Tensor,
    /// Unit directions, the first first, `[2, hidden]`, float64; the entry of greatest size is positive.
    pub axes: Tensor,
    /// Share of the whole variance along each.
    pub explained: [f64; 2],
}

impl PrincipalComponents {
    /// Those of `states` `[…, hidden]`, by the eigenvectors of their covariance in float64; `hidden` is 2 or more.
    pub fn of(states: &Tensor) -> Self {
        tch::no_grad(|| {
            let width = states.size().last().copied().unwrap_or(1);
            let rows = states.to_kind(Kind::Double).reshape([-1, width]);
            let mean = rows.mean_dim(Some([0].as_slice()), false, Kind::Double);
            let centred = &rows - &mean;
            let covariance = centred.tr().matmul(&centred) / (rows.size()[0] - 1).max(1) as f64;
            // Eigenvalues rise, and the last columns are the first components.
            let (values, vectors) = covariance.linalg_eigh("L");
            let axes = vectors.narrow(1, width - AXES, AXES).tr().flip([0]);
            let largest = axes.abs().argmax(Some(1), true);
            let axes = &axes * axes.gather(1, &largest, false).sign();
            let total = values.sum(Kind::Double).double_value(&[]);
            let share = |from_last: i64| {
                let value = values.double_value(&[width - from_last]).max(0.0);
                if total > 0.0 { value / total } else { 0.0 }
            };
            Self { mean, axes, explained: [share(1), share(2)] }
        })
    }

    /// The places of `states` `[…, hidden]` on both axes, `[…, 2]`.
    pub fn project(&self, states: &Tensor) -> Tensor {
        (states.to_kind(Kind::Double) - &self.mean).matmul(&self.axes.tr())
    }
}

/// Writes `step_N.safetensors` (for each state its mean over the cells `[updates + 1, boards, hidden]`, the initial one
/// first, and of the answer's `answer.mean`, `answer.axes`, `answer.points`) and the figure of the answer's points.
///
/// # Errors
/// When the disk refuses.
pub(crate) fn write(folder: &Path, step: u64, states: &[(&str, Tensor)]) -> Result<(), TrainError> {
    let Some((name, answer)) = states.first() else { return Ok(()) };
    std::fs::create_dir_all(folder).map_err(TrainError::io(folder))?;
    let components = PrincipalComponents::of(answer);
    let points = components.project(answer);
    let mut tensors: Vec<(String, Tensor)> =
        states.iter().map(|(name, state)| ((*name).to_owned(), state.to_device(tch::Device::Cpu))).collect();
    for (part, tensor) in [("mean", &components.mean), ("axes", &components.axes), ("points", &points)] {
        tensors.push((format!("{name}.{part}"), tensor.contiguous().to_device(tch::Device::Cpu)));
    }
    let path = folder.join(format!("step_{step}.safetensors"));
    files::write_at(&path, |staging| {
        Tensor::write_safetensors(&tensors, staging)
            .map_err(|error| ModelError::Format { path: path.clone(), problem: format!("cannot write: {error}") })
    })?;
    let chart = chart(step, &points, components.explained);
    let picture = chart.to_svg().and_then(|svg| Ok((svg, chart.to_png()?)));
    let (svg, png) = picture.map_err(|error| TrainError::state(&path, format!("cannot be drawn: {error}")))?;
    files::write(&folder.join(format!("step_{step}.svg")), svg.as_bytes())?;
    Ok(files::write(&folder.join(format!("step_{step}.png")), &png)?)
}

/// The paths of the first boards.
fn chart(step: u64, points: &Tensor, explained: [f64; 2]) -> PathChart {
    let (updates, boards) = (points.size()[0], points.size()[1].min(BOARDS_DRAWN as i64));
    let path_of = |board: i64| {
        let at = |update: i64| (points.double_value(&[update, board, 0]), points.double_value(&[update, board, 1]));
        PlanePath { points: (0..updates).map(at).collect(), colour: COLOURS[board as usize % COLOURS.len()] }
    };
    let label = |name: &str, share: f64| format!("{name} component ({:.0} % of the variance)", 100.0 * share);
    PathChart {
        title: format!("answer state of {boards} boards over {} updates, step {step}", updates - 1),
        x_label: label("first", explained[0]),
        y_label: label("second", explained[1]),
        paths: (0..boards).map(path_of).collect(),
    }
}
