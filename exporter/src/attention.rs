//! Multi-head self-attention as nodes: ONNX Runtime's own operators, or the standard ones.
//! Owns heads and rotary positions; leaves projections to `emitter`.

use models::{Attention, Backend, Rope};

use crate::Flavor;
use crate::emitter::Emitter;
use crate::graph::{MICROSOFT, Symbol, float_attribute, int_attribute, ints_attribute};
use crate::parameter::Parameter;

/// Appends `attention` over the tokens of `x`, output projection included.
pub(crate) fn emit(emitter: &Emitter, x: &Symbol, attention: &Attention<Parameter>) -> Symbol {
    let context = match emitter.flavor {
        Flavor::Fused | Flavor::Kernels => fused(emitter, x, attention),
        Flavor::Portable => portable(emitter, x, attention),
    };
    emitter.linear(&context, &attention.output)
}

/// Queries, keys and values are three products: the operators want them apart, and a `Split` would copy them.
fn fused(emitter: &Emitter, x: &Symbol, attention: &Attention<Parameter>) -> Symbol {
    let [query, key, value] = ["query", "key", "value"].map(|part| projection(emitter, x, attention, part));
    let rotated = |symbol: Symbol| match &attention.rope {
        Some(rope) => rotate_fused(emitter, &symbol, rope),
        None => symbol.name,
    };
    let (query, key) = (rotated(query), rotated(key));
    let attributes = vec![
        int_attribute("num_heads", attention.num_heads as i64),
        float_attribute("scale", softmax_scale(attention) as f32),
    ];
    let name = emitter.graph().node(MICROSOFT, "MultiHeadAttention", &[&query, &key, &value.name], attributes);
    Symbol { name, row_shape: vec![x.row_shape[0], width(attention)] }
}

/// All heads side by side, which is not always the width of the activations.
fn width(attention: &Attention<Parameter>) -> usize {
    attention.num_heads * attention.head_dim
}

fn projection(emitter: &Emitter, x: &Symbol, attention: &Attention<Parameter>, part: &str) -> Symbol {
    let weight = &attention.qkv.weight;
    let width = width(attention);
    let start = match part {
        "query" => 0,
        "key" => width,
        _ => 2 * width,
    };
    let product = emitter.project(x, &format!("{}_{part}_T", weight.name), weight, start, width);
    let Some(bias) = &attention.qkv.bias else { return product };
    let values = || bias.values[start..start + width].to_vec();
    let bias = emitter.graph().float_constant(format!("{}_{part}", bias.name), &[width], values);
    Symbol { name: emitter.plain("Add", &[&product.name, &bias]), row_shape: product.row_shape }
}

fn softmax_scale(attention: &Attention<Parameter>) -> f64 {
    1.0 / (attention.head_dim as f64).sqrt()
}

fn rotate_fused(emitter: &Emitter, x: &Symbol, rope: &Rope<Parameter>) -> String {
    let mut graph = emitter.graph();
    let [cos, sin] =
        [&rope.cos, &rope.sin].map(|table| graph.float_constant(&table.name, &table.shape, || table.values.clone()));
    let first_position = graph.int_constant(&[0]);
    graph.node(
        MICROSOFT,
        "RotaryEmbedding",
        &[&x.name, &first_position, &cos, &sin],
        vec![int_attribute("interleaved", 0)],
    )
}

fn portable(emitter: &Emitter, x: &Symbol, attention: &Attention<Parameter>) -> Symbol {
    let [query, key, value] = ["query", "key", "value"].map(|part| {
        let projected = projection(emitter, x, attention, part);
        split_heads(emitter, &projected, attention)
    });
    let rotated = |name: String| match &attention.rope {
        Some(rope) => rotate_portable(emitter, &name, rope),
        None => name,
    };
    let (query, key) = (rotated(query), rotated(key));
    let key = transpose(emitter, &key, &[0, 1, 3, 2]);
    let scale = softmax_scale(attention) as f32;
    let scale = emitter.graph().float_constant(format!("float32({scale})"), &[], || vec![scale]);
    let scores = emitter.plain("MatMul", &[&query, &key]);
    let scores = emitter.plain("Mul", &[&scores, &scale]);
    let weights = emitter.graph().node("", "Softmax", &[&scores], vec![int_attribute("axis", -1)]);
    let context = emitter.plain("MatMul", &[&weights, &value]);
    let context = transpose(emitter, &context, &[0, 2, 1, 3]);
    let shape = emitter.graph().int_constant(&[0, 0, width(attention) as i64]);
    let name = emitter.plain("Reshape", &[&context, &shape]);
    Symbol { name, row_shape: vec![x.row_shape[0], width(attention)] }
}

/// `[batch, tokens, heads · head_dim]` → `[batch, heads, tokens, head_dim]`.
fn split_heads(emitter: &Emitter, x: &Symbol, attention: &Attention<Parameter>) -> String {
    let shape = emitter.graph().int_constant(&[0, 0, attention.num_heads as i64, attention.head_dim as i64]);
    let heads = emitter.plain("Reshape", &[&x.name, &shape]);
    transpose(emitter, &heads, &[0, 2, 1, 3])
}

fn transpose(emitter: &Emitter, x: &str, permutation: &[i64]) -> String {
    emitter.graph().node("", "Transpose", &[x], vec![ints_attribute("perm", permutation)])
}

/// `x · [cos, cos] + [x₂, x₁] · [-sin, sin]` for the halves `x₁`, `x₂` of a head: rotate-half with the sign in the table.
fn rotate_portable(emitter: &Emitter, x: &str, rope: &Rope<Parameter>) -> String {
    let (tokens, half) = (rope.cos.shape[0], rope.cos.shape[1]);
    let mut graph = emitter.graph();
    let mut table = |name: &str, source: &Parameter, first_sign: f32| {
        graph.float_constant(name, &[tokens, 2 * half], || {
            source
                .values
                .chunks(half)
                .flat_map(|row| row.iter().map(move |v| first_sign * v).chain(row.iter().copied()))
                .collect()
        })
    };
    let cos = table("rotary_emb.cos_whole", &rope.cos, 1.0);
    let signed_sin = table("rotary_emb.sin_signed", &rope.sin, -1.0);
    let sizes = graph.int_constant(&[half as i64, half as i64]);
    let halves = graph.node_with_outputs("", "Split", &[x, &sizes], vec![int_attribute("axis", -1)], 2);
    let swapped = graph.node("", "Concat", &[&halves[1], &halves[0]], vec![int_attribute("axis", -1)]);
    let straight = graph.node("", "Mul", &[x, &cos], Vec::new());
    let crossed = graph.node("", "Mul", &[&swapped, &signed_sin], Vec::new());
    graph.node("", "Add", &[&straight, &crossed], Vec::new())
}
