//! Proof that a graph works: load it in ONNX Runtime, run a tiny batch, look at what comes out.
//! Leaves whether the numbers are right to the parity tests.

use ort::session::{Session, SessionInputValue};
use ort::value::{PrimitiveTensorElementType, Tensor};

use crate::{ElementType, ExportError, GraphMetadata, RuntimeError, TensorInfo, metadata, names};

/// Rows of the batch; more than one, so that a graph that mixes up rows and tokens shows it.
const BATCH: usize = 2;

/// Runs the loaded graph once and returns its metadata: every output must have the promised shape, predictions must be
/// tokens, floats finite, and equal rows must give equal outputs.
///
/// # Errors
/// [`ExportError::Metadata`] or [`ExportError::Interface`] when the graph is not what it says,
/// [`ExportError::Runtime`] when it does not run.
pub fn run_once(session: &mut Session) -> Result<GraphMetadata, ExportError> {
    let metadata = metadata::read(session)?;
    let inputs = metadata.inputs().into_iter().map(example_input).collect::<Result<Vec<_>, _>>()?;
    let outputs = session.run(inputs).map_err(RuntimeError::session("run the graph"))?;
    for info in metadata.outputs() {
        let unreadable = || RuntimeError::session(format!("read output `{}`", info.name));
        let output = outputs.get(&info.name).ok_or_else(|| problem(&info, "is missing from the results"))?;
        if info.element_type == ElementType::Int64 {
            let (_, values) = output.try_extract_tensor::<i64>().map_err(unreadable())?;
            check_rows(&info, values)?;
            let vocabulary = 0..metadata.dims.vocab_size as i64;
            if let Some(unexpected) = values.iter().find(|value| !vocabulary.contains(value)) {
                return Err(problem(&info, format!("holds {unexpected}, expected tokens in {vocabulary:?}")));
            }
        } else {
            let (_, values) = output.try_extract_tensor::<f32>().map_err(unreadable())?;
            check_rows(&info, values)?;
            if let Some(unexpected) = values.iter().find(|value| !value.is_finite()) {
                return Err(problem(&info, format!("holds {unexpected}; the checkpoint's weights are broken")));
            }
        }
    }
    Ok(metadata)
}

/// Blank tokens, no puzzle embedding, and fresh states.
fn example_input(info: TensorInfo) -> Result<(String, SessionInputValue<'static>), RuntimeError> {
    let value = match info.element_type {
        ElementType::Int64 => tensor(&info, 0_i64)?,
        ElementType::Float32 => tensor(&info, 0.0_f32)?,
        ElementType::Bool => tensor(&info, true)?,
    };
    Ok((info.name, value))
}

fn tensor<T>(info: &TensorInfo, value: T) -> Result<SessionInputValue<'static>, RuntimeError>
where
    T: PrimitiveTensorElementType + Clone + std::fmt::Debug + 'static,
{
    let shape: Vec<usize> = std::iter::once(BATCH).chain(info.row_shape.iter().copied()).collect();
    let values = vec![value; shape.iter().product()];
    let action = format!("make input `{}`", info.name);
    Ok(Tensor::from_array((shape, values)).map_err(RuntimeError::session(action))?.into())
}

fn check_rows<T: PartialEq>(info: &TensorInfo, values: &[T]) -> Result<(), ExportError> {
    let width: usize = info.row_shape.iter().product();
    if values.len() != BATCH * width {
        return Err(problem(info, format!("has {} values, expected {BATCH} x {width}", values.len())));
    }
    // Kernels may tile rows differently, so floats are not compared; tokens and states of equal rows cannot differ.
    if info.name == names::PREDS && values[..width] != values[width..] {
        return Err(problem(info, "differs between equal rows"));
    }
    Ok(())
}

fn problem(info: &TensorInfo, problem: impl std::fmt::Display) -> ExportError {
    ExportError::Interface { what: "outputs", problem: format!("{} {problem}", info.name) }
}
