//! Products in 8-bit integers: weights are quantised here, a scale for each output channel, activations by the graph when
//! it runs, a scale for each tensor or, by this project's own operators, for each token. Owns the rounding of weights and the nodes;
//! leaves which products are quantised that way to `emitter`.

use models::SwiGlu;

use crate::Flavor;
use crate::emitter::Emitter;
use crate::graph::{MICROSOFT, Symbol, float_attribute, int_attribute};
use crate::parameter::Parameter;
use crate::{operators, proto};

/// Fewest output channels of a weight that is quantised. Below lie the heads: they cost nothing, and what they get wrong
/// no further step repairs.
const FEWEST_CHANNELS: usize = 16;
/// Magnitude of the largest weight of a channel. One less than int8 holds, so that zero is in the middle.
const LARGEST: f32 = 127.0;

/// Whether a product with `weight` `[out_features, in_features]` is quantised.
pub(crate) fn is_worthwhile(weight: &Parameter) -> bool {
    weight.shape[0] >= FEWEST_CHANNELS
}

/// `x · rowsᵀ` with rows `start..start + count` of the matrix `weight`, which are stored transposed under names that begin
/// with `name`.
///
/// All products of one `x` share its quantisation, because equal nodes are shared. ONNX Runtime's own operator scales the
/// integers as it stores them; of the standard ones it recognises these four and makes that operator of them.
pub(crate) fn project(
    emitter: &Emitter,
    x: &Symbol,
    name: &str,
    weight: &Parameter,
    start: usize,
    count: usize,
) -> Symbol {
    let [integers, scales] = constants(emitter, name, weight, start, count);
    let mut row_shape = x.row_shape.clone();
    *row_shape.last_mut().expect("a projection has an axis to project") = count;
    let mut graph = emitter.graph();
    if emitter.flavor == Flavor::Kernels && x.row_shape.len() == 2 && kernels::Linear::fits(weight.shape[1], count) {
        let inputs = [x.name.as_str(), &integers, &scales];
        let name = graph.node(operators::DOMAIN, operators::LINEAR, &inputs, Vec::new());
        graph.declare(&name, &row_shape);
        return Symbol { name, row_shape };
    }
    let x_parts = graph.node_with_outputs("", "DynamicQuantizeLinear", &[&x.name], Vec::new(), 3);
    let [x_integers, x_scale, x_zero_point] = x_parts.as_slice() else {
        unreachable!("three outputs were asked for");
    };
    let product = match emitter.flavor {
        Flavor::Fused | Flavor::Kernels => {
            let inputs = [x_integers.as_str(), &integers, x_scale, &scales, x_zero_point];
            graph.node(MICROSOFT, "MatMulIntegerToFloat", &inputs, Vec::new())
        }
        Flavor::Portable => {
            let sums = graph.node("", "MatMulInteger", &[x_integers, &integers, x_zero_point], Vec::new());
            let sums = graph.node("", "Cast", &[&sums], vec![int_attribute("to", i64::from(proto::FLOAT))]);
            let scale = graph.node("", "Mul", &[x_scale, &scales], Vec::new());
            graph.node("", "Mul", &[&sums, &scale], Vec::new())
        }
    };
    Symbol { name: product, row_shape }
}

/// Names of the integers and of the scales of rows `start..start + count`.
fn constants(emitter: &Emitter, name: &str, weight: &Parameter, start: usize, count: usize) -> [String; 2] {
    let mut graph = emitter.graph();
    let quantized = || Quantized::of(&weight.transposed_rows(start, count), count);
    [
        graph.int8_constant(format!("{name}_int8"), &[weight.shape[1], count], || quantized().integers),
        graph.float_constant(format!("{name}_scale"), &[count], || quantized().scales),
    ]
}

/// Which half of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Half {
    /// Over the tokens.
    TokenMixing,
    /// Over the channels.
    ChannelMixing,
}

/// Half a block of `x` as one operator of this project, with the constants that its products would have by themselves;
/// `None` where graphs of the flavor have no such operator or it does not take the sizes.
pub(crate) fn mixing(
    emitter: &Emitter,
    half: Half,
    x: &Symbol,
    swiglu: &SwiGlu<Parameter>,
    eps: f64,
) -> Option<Symbol> {
    let (gate_up, down) = (&swiglu.gate_up.weight, &swiglu.down);
    let (inner, hidden_size) = (down.in_features, x.width());
    let operator = match half {
        Half::TokenMixing => operators::TOKEN_MIXING,
        Half::ChannelMixing => operators::CHANNEL_MIXING,
    };
    let has_bias = swiglu.gate_up.bias.is_some() || down.bias.is_some();
    if emitter.flavor != Flavor::Kernels || !kernels::SwiGlu::fits(hidden_size, inner) || has_bias {
        return None;
    }
    let gate = constants(emitter, &format!("{}_gate_T", gate_up.name), gate_up, 0, inner);
    let up = constants(emitter, &format!("{}_up_T", gate_up.name), gate_up, inner, inner);
    let down = constants(emitter, &format!("{}_T", down.weight.name), &down.weight, 0, down.out_features);
    let inputs: Vec<&str> =
        std::iter::once(&x.name).chain(gate.iter().chain(&up).chain(&down)).map(String::as_str).collect();
    let attributes = vec![float_attribute(operators::EPSILON, eps as f32)];
    let mut graph = emitter.graph();
    let name = graph.node(operators::DOMAIN, operator, &inputs, attributes);
    // ONNX Runtime infers no shapes through operators that are not its own.
    graph.declare(&name, &x.row_shape);
    Some(Symbol { name, row_shape: x.row_shape.clone() })
}

/// A matrix in integers.
#[derive(Debug, PartialEq)]
struct Quantized {
    /// In the order of the matrix.
    integers: Vec<i8>,
    /// What the integers of each column are multiplied with.
    scales: Vec<f32>,
}

impl Quantized {
    /// Of a row-major matrix of `columns` columns: the largest magnitude of a column becomes 127.
    fn of(values: &[f32], columns: usize) -> Self {
        let mut scales = vec![0.0_f32; columns];
        for row in values.chunks(columns) {
            for (scale, value) in scales.iter_mut().zip(row) {
                *scale = scale.max(value.abs() / LARGEST);
            }
        }
        // A column of zeros has any scale.
        scales.iter_mut().filter(|scale| **scale == 0.0).for_each(|scale| *scale = 1.0);
        let rounded = |(value, scale): (&f32, &f32)| (value / scale).round_ties_even().clamp(-LARGEST, LARGEST) as i8;
        let integers = values.chunks(columns).flat_map(|row| row.iter().zip(&scales).map(rounded)).collect();
        Self { integers, scales }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_column_has_its_own_scale() {
        let found = Quantized::of(&[1.27, -0.5, 0.0, -0.635, 1.0, 0.0], 3);
        assert_eq!(found.integers, [127, -64, 0, -64, 127, 0]);
        assert!((found.scales[0] - 0.01).abs() < 1e-9 && (found.scales[1] - 1.0 / 127.0).abs() < 1e-9);
        assert!((found.scales[2] - 1.0).abs() < 1e-9);
    }

    #[test]
    fn no_weight_is_off_by_more_than_half_a_scale() {
        let values: Vec<f32> = (0..600).map(|index| ((index * 7919) % 1000) as f32 / 500.0 - 1.0).collect();
        let found = Quantized::of(&values, 6);
        for (index, value) in values.iter().enumerate() {
            let scale = found.scales[index % 6];
            let restored = f32::from(found.integers[index]) * scale;
            assert!((restored - value).abs() <= 0.501 * scale, "{value} became {restored}");
        }
    }
}
