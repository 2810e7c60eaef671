//! An LSTM over the tokens as nodes: PyTorch's weights in the order and shape of the ONNX operator.
//! Leaves what surrounds it to the architectures.

use models::{LstmDirection, LstmLayer};

use crate::emitter::Emitter;
use crate::graph::{Symbol, int_attribute, ints_attribute, string_attribute};
use crate::parameter::Parameter;

/// PyTorch stores input, forget, cell and output gates; ONNX wants input, output, forget and cell.
const GATES: [usize; 4] = [0, 3, 1, 2];

/// Appends `lstm` over the tokens of `x`, starting from zero states.
pub(crate) fn emit(emitter: &Emitter, x: &Symbol, lstm: &LstmLayer<Parameter>) -> Symbol {
    let (directions, hidden_size) = (lstm.directions.len(), lstm.hidden_size);
    let stored = |suffix: &str, row_shape: &[usize], of: fn(&LstmDirection<Parameter>) -> Vec<&Parameter>| {
        let reordered = |parameter: &Parameter| in_onnx_order(&parameter.values);
        let values = || lstm.directions.iter().flat_map(of).flat_map(reordered).collect();
        let name = format!("{}_{suffix}", lstm.directions[0].weight_ih.name);
        emitter.graph().float_constant(name, &[&[directions], row_shape].concat(), values)
    };
    let weights = stored("W", &[4 * hidden_size, lstm.in_features], |direction| vec![&direction.weight_ih]);
    let recurrent = stored("R", &[4 * hidden_size, hidden_size], |direction| vec![&direction.weight_hh]);
    let biases = stored("B", &[8 * hidden_size], |direction| vec![&direction.bias_ih, &direction.bias_hh]);

    let mut graph = emitter.graph();
    // The operator wants the tokens first; `layout = 1`, which would not, has no CPU kernel in ONNX Runtime.
    let turned = graph.node("", "Transpose", &[&x.name], vec![ints_attribute("perm", &[1, 0, 2])]);
    let direction = if directions == 2 { "bidirectional" } else { "forward" };
    let attributes = vec![string_attribute("direction", direction), int_attribute("hidden_size", hidden_size as i64)];
    let read = graph.node("", "LSTM", &[&turned, &weights, &recurrent, &biases], attributes);
    // `[tokens, directions, batch, hidden_size]`.
    let turned = graph.node("", "Transpose", &[&read], vec![ints_attribute("perm", &[2, 0, 1, 3])]);
    let shape = graph.int_constant(&[0, 0, lstm.out_features() as i64]);
    let name = graph.node("", "Reshape", &[&turned, &shape], Vec::new());
    Symbol { name, row_shape: vec![x.row_shape[0], lstm.out_features()] }
}

fn in_onnx_order(values: &[f32]) -> Vec<f32> {
    let gate = values.len() / 4;
    GATES.iter().flat_map(|index| &values[index * gate..(index + 1) * gate]).copied().collect()
}
