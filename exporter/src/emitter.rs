//! The ONNX backend: every operation of [`models::Backend`] appends nodes to a graph.
//! Owns which nodes an operation becomes in either flavor; leaves attention to `attention`, structure to `graph`.

use std::cell::{RefCell, RefMut};

use models::{Attention, Backend, LayerNorm, Linear, LocalMixing, LstmLayer, SwiGlu, UnitsMixing};

use crate::attention;
use crate::graph::{GraphBuilder, MICROSOFT, Symbol, float_attribute, int_attribute, ints_attribute};
use crate::parameter::Parameter;
use crate::quantized::Half;
use crate::structured::Sites;
use crate::{Flavor, Precision, quantized, recurrent};

/// Runs a model symbolically.
#[derive(Debug)]
pub(crate) struct Emitter {
    graph: RefCell<GraphBuilder>,
    pub(crate) flavor: Flavor,
    precision: Precision,
}

impl Emitter {
    pub(crate) fn new(flavor: Flavor, precision: Precision) -> Self {
        Self { graph: RefCell::default(), flavor, precision }
    }

    /// The graph under construction.
    pub(crate) fn graph(&self) -> RefMut<'_, GraphBuilder> {
        self.graph.borrow_mut()
    }

    /// The finished builder.
    pub(crate) fn into_graph(self) -> GraphBuilder {
        self.graph.into_inner()
    }

    /// A standard node with one output and no attributes.
    pub(crate) fn plain(&self, op_type: &str, inputs: &[&str]) -> String {
        self.graph().node("", op_type, inputs, Vec::new())
    }

    /// `x · rowsᵀ` with rows `start..start + count` of the matrix `weight`, which are stored transposed as `name`.
    pub(crate) fn project(&self, x: &Symbol, name: &str, weight: &Parameter, start: usize, count: usize) -> Symbol {
        if self.precision == Precision::Int8 && quantized::is_worthwhile(weight) {
            return quantized::project(self, x, name, weight, start, count);
        }
        let stored =
            self.graph().float_constant(name, &[weight.shape[1], count], || weight.transposed_rows(start, count));
        let mut row_shape = x.row_shape.clone();
        *row_shape.last_mut().expect("a projection has an axis to project") = count;
        Symbol { name: self.plain("MatMul", &[&x.name, &stored]), row_shape }
    }

    /// `x · columnsᵀ` with columns `start..start + count` of the matrix `weight`, which are stored transposed as `name`.
    pub(crate) fn project_columns(
        &self,
        x: &Symbol,
        name: &str,
        weight: &Parameter,
        start: usize,
        count: usize,
    ) -> Symbol {
        let (rows, columns) = (weight.shape[0], weight.shape[1]);
        let stored = self.graph().float_constant(name, &[count, rows], || {
            (start..start + count)
                .flat_map(|column| (0..rows).map(move |row| row * columns + column))
                .map(|at| weight.values[at])
                .collect()
        });
        Symbol { name: self.plain("MatMul", &[&x.name, &stored]), row_shape: vec![1, rows] }
    }

    /// `[batch, tokens, hidden_size]` rows that all equal `init`, as many as `like` has.
    pub(crate) fn initial_state(&self, init: &Parameter, tokens: usize, like: &Symbol) -> Symbol {
        let init_name = self.stored(init);
        let hidden_size = init.shape[0];
        let mut graph = self.graph();
        let shape = graph.node("", "Shape", &[&like.name], vec![int_attribute("start", 0), int_attribute("end", 1)]);
        let row_shape = graph.int_constant(&[tokens as i64, hidden_size as i64]);
        let shape = graph.node("", "Concat", &[&shape, &row_shape], vec![int_attribute("axis", 0)]);
        let name = graph.node("", "Expand", &[&init_name, &shape], Vec::new());
        // ONNX Runtime does not follow the batch size through `Shape`. Undeclared, it has no name here and in all values that
        // follow: none of their buffers is recognized as reusable, and loading takes time in the square of the nodes.
        graph.declare(&name, &[tokens, hidden_size]);
        Symbol { name, row_shape: vec![tokens, hidden_size] }
    }

    /// Index of the largest logit, the first of equals: `[batch, seq_len]`.
    pub(crate) fn predictions(&self, logits: &Symbol) -> Symbol {
        let attributes = vec![int_attribute("axis", -1), int_attribute("keepdims", 0)];
        let name = self.graph().node("", "ArgMax", &[&logits.name], attributes);
        Symbol { name, row_shape: logits.row_shape[..logits.row_shape.len() - 1].to_vec() }
    }

    /// Equal shapes, one per step, along a new axis after the batch.
    pub(crate) fn stack(&self, steps: &[Symbol]) -> Symbol {
        let axis = self.graph().int_constant(&[1]);
        let unsqueezed: Vec<String> = steps.iter().map(|step| self.plain("Unsqueeze", &[&step.name, &axis])).collect();
        let inputs: Vec<&str> = unsqueezed.iter().map(String::as_str).collect();
        let name = self.graph().node("", "Concat", &inputs, vec![int_attribute("axis", 1)]);
        let row_shape = std::iter::once(steps.len()).chain(steps[0].row_shape.iter().copied()).collect();
        Symbol { name, row_shape }
    }

    /// `weight` as it is.
    pub(crate) fn stored(&self, weight: &Parameter) -> String {
        self.graph().float_constant(&weight.name, &weight.shape, || weight.values.clone())
    }

    pub(crate) fn scalar(&self, value: f64) -> String {
        let value = value as f32;
        self.graph().float_constant(format!("float32({value})"), &[], || vec![value])
    }

    pub(crate) fn silu_product(&self, gate: &Symbol, up: &Symbol) -> Symbol {
        let activated = match self.flavor {
            Flavor::Fused | Flavor::Kernels => {
                self.graph().node(MICROSOFT, "QuickGelu", &[&gate.name], vec![float_attribute("alpha", 1.0)])
            }
            Flavor::Portable => {
                let sigmoid = self.plain("Sigmoid", &[&gate.name]);
                self.plain("Mul", &[&gate.name, &sigmoid])
            }
        };
        Symbol { name: self.plain("Mul", &[&activated, &up.name]), row_shape: up.row_shape.clone() }
    }

    /// `y / sqrt(mean(y²) + eps)` over `axis` for `y = x + delta`.
    fn sum_rms_norm(&self, x: &str, delta: &str, axis: i64, eps: f64) -> String {
        let sum = self.plain("Add", &[x, delta]);
        let square = self.plain("Mul", &[&sum, &sum]);
        let mean = self.graph().node("", "ReduceMean", &[&square], vec![ints_attribute("axes", &[axis])]);
        let shifted = self.plain("Add", &[&mean, &self.scalar(eps)]);
        let root = self.plain("Sqrt", &[&shifted]);
        self.plain("Div", &[&sum, &root])
    }

    /// `rows · x` with rows `start..start + count` of the matrix `weight`, stored as `name`:
    /// `[batch, tokens, hidden_size]` → `[batch, count, hidden_size]`.
    pub(crate) fn mix(&self, x: &Symbol, name: &str, weight: &Parameter, start: usize, count: usize) -> Symbol {
        let columns = weight.shape[1];
        let rows = start * columns..(start + count) * columns;
        let stored = self.graph().float_constant(name, &[count, columns], || weight.values[rows].to_vec());
        Symbol { name: self.plain("MatMul", &[&stored, &x.name]), row_shape: vec![count, x.width()] }
    }

    fn select(&self, x: &Symbol, index: usize) -> Symbol {
        let index = self.graph().int_scalar(index as i64);
        let name = self.graph().node("", "Gather", &[&x.name, &index], vec![int_attribute("axis", 1)]);
        Symbol { name, row_shape: x.row_shape[1..].to_vec() }
    }
}

impl Backend for Emitter {
    type Weight = Parameter;
    type Tensor = Symbol;
    type Sites = Sites;

    fn embedding(&self, table: &Parameter, tokens: &Symbol) -> Symbol {
        let table_name = self.stored(table);
        let name = self.graph().node("", "Gather", &[&table_name, &tokens.name], vec![int_attribute("axis", 0)]);
        Symbol { name, row_shape: vec![tokens.width(), table.shape[1]] }
    }

    fn linear(&self, x: &Symbol, linear: &Linear<Parameter>) -> Symbol {
        let weight = &linear.weight;
        let product = self.project(x, &format!("{}_T", weight.name), weight, 0, linear.out_features);
        match &linear.bias {
            Some(bias) => {
                let bias = self.stored(bias);
                Symbol { name: self.plain("Add", &[&product.name, &bias]), row_shape: product.row_shape }
            }
            None => product,
        }
    }

    /// Gate and up are two products: one product and a `Split`, which copies the result once more, takes 2 to 10 % longer.
    fn swiglu(&self, x: &Symbol, swiglu: &SwiGlu<Parameter>) -> Symbol {
        let weight = &swiglu.gate_up.weight;
        let inner = swiglu.down.in_features;
        let gate = self.project(x, &format!("{}_gate_T", weight.name), weight, 0, inner);
        let up = self.project(x, &format!("{}_up_T", weight.name), weight, inner, inner);
        self.linear(&self.silu_product(&gate, &up), &swiglu.down)
    }

    fn attention(&self, x: &Symbol, attention: &Attention<Parameter>) -> Symbol {
        attention::emit(self, x, attention)
    }

    fn residual_rms_norm(&self, x: &Symbol, delta: &Symbol, eps: f64) -> Symbol {
        let name = match self.flavor {
            Flavor::Fused | Flavor::Kernels => {
                let width = x.width();
                let mut graph = self.graph();
                let gamma = graph.float_constant(format!("ones[{width}]"), &[width], || vec![1.0; width]);
                let inputs = [x.name.as_str(), &delta.name, &gamma];
                let attributes = vec![float_attribute("epsilon", eps as f32)];
                graph.node(MICROSOFT, "SkipSimplifiedLayerNormalization", &inputs, attributes)
            }
            Flavor::Portable => self.sum_rms_norm(&x.name, &delta.name, -1, eps),
        };
        Symbol { name, row_shape: x.row_shape.clone() }
    }

    fn transpose(&self, x: &Symbol) -> Symbol {
        let name = self.graph().node("", "Transpose", &[&x.name], vec![ints_attribute("perm", &[0, 2, 1])]);
        Symbol { name, row_shape: vec![x.row_shape[1], x.row_shape[0]] }
    }

    /// Weights stand on the left, `W · x`, so that nothing is transposed.
    ///
    /// Spelled with transposes, ONNX Runtime fuses them into every product, the next MLP's too, and multiplies strided:
    /// 3 to 15 % slower than this, whose norm over the token axis is made of standard operators (hidden 512 and 128, batch 1
    /// to 64). In int8 that order pays: weights on the right are packed when the graph is loaded, each of their columns
    /// has a scale, which no operator takes for rows, and the norm is over the last axis again.
    fn token_mixing(&self, x: &Symbol, swiglu: &SwiGlu<Parameter>, eps: f64) -> Symbol {
        if self.precision == Precision::Int8 {
            if let Some(mixed) = quantized::mixing(self, Half::TokenMixing, x, swiglu, eps) {
                return mixed;
            }
            let columns = self.transpose(x);
            let mixed = self.residual_rms_norm(&columns, &self.swiglu(&columns, swiglu), eps);
            return self.transpose(&mixed);
        }
        let (gate_up, down) = (&swiglu.gate_up.weight, &swiglu.down.weight);
        let inner = swiglu.down.in_features;
        let gate = self.mix(x, &format!("{}_gate", gate_up.name), gate_up, 0, inner);
        let up = self.mix(x, &format!("{}_up", gate_up.name), gate_up, inner, inner);
        let delta = self.mix(&self.silu_product(&gate, &up), &down.name, down, 0, swiglu.down.out_features);
        Symbol { name: self.sum_rms_norm(&x.name, &delta.name, 1, eps), row_shape: x.row_shape.clone() }
    }

    fn channel_mixing(&self, x: &Symbol, swiglu: &SwiGlu<Parameter>, eps: f64) -> Symbol {
        let own = match self.precision {
            Precision::Int8 => quantized::mixing(self, Half::ChannelMixing, x, swiglu, eps),
            Precision::Float32 => None,
        };
        own.unwrap_or_else(|| self.residual_rms_norm(x, &self.swiglu(x, swiglu), eps))
    }

    fn layer_norm(&self, x: &Symbol, norm: &LayerNorm<Parameter>) -> Symbol {
        let (weight, bias) = (self.stored(&norm.weight), self.stored(&norm.bias));
        let attributes = vec![int_attribute("axis", -1), float_attribute("epsilon", norm.eps as f32)];
        let name = self.graph().node("", "LayerNormalization", &[&x.name, &weight, &bias], attributes);
        Symbol { name, row_shape: x.row_shape.clone() }
    }

    /// The portable form is the one that ONNX Runtime recognises and replaces by its own operator.
    fn gelu(&self, x: &Symbol) -> Symbol {
        let name = match self.flavor {
            Flavor::Fused | Flavor::Kernels => self.graph().node(MICROSOFT, "Gelu", &[&x.name], Vec::new()),
            Flavor::Portable => {
                let scaled = self.plain("Div", &[&x.name, &self.scalar(std::f64::consts::SQRT_2)]);
                let error_function = self.plain("Erf", &[&scaled]);
                let shifted = self.plain("Add", &[&error_function, &self.scalar(1.0)]);
                let product = self.plain("Mul", &[&x.name, &shifted]);
                self.plain("Mul", &[&product, &self.scalar(0.5)])
            }
        };
        Symbol { name, row_shape: x.row_shape.clone() }
    }

    fn lstm(&self, x: &Symbol, lstm: &LstmLayer<Parameter>) -> Symbol {
        recurrent::emit(self, x, lstm)
    }

    fn add(&self, left: &Symbol, right: &Symbol) -> Symbol {
        Symbol { name: self.plain("Add", &[&left.name, &right.name]), row_shape: left.row_shape.clone() }
    }

    fn add_table(&self, x: &Symbol, table: &Parameter) -> Symbol {
        let table = self.stored(table);
        Symbol { name: self.plain("Add", &[&x.name, &table]), row_shape: x.row_shape.clone() }
    }

    fn scale(&self, x: &Symbol, factor: f64) -> Symbol {
        let factor = self.scalar(factor);
        Symbol { name: self.plain("Mul", &[&x.name, &factor]), row_shape: x.row_shape.clone() }
    }

    fn concat_tokens(&self, prefix: &Symbol, x: &Symbol) -> Symbol {
        let name = self.graph().node("", "Concat", &[&prefix.name, &x.name], vec![int_attribute("axis", 1)]);
        Symbol { name, row_shape: vec![prefix.row_shape[0] + x.row_shape[0], x.row_shape[1]] }
    }

    fn tokens_from(&self, x: &Symbol, start: usize) -> Symbol {
        if start == 0 {
            return x.clone();
        }
        let mut graph = self.graph();
        let (starts, ends) = (graph.int_constant(&[start as i64]), graph.int_constant(&[x.row_shape[0] as i64]));
        let axes = graph.int_constant(&[1]);
        let name = graph.node("", "Slice", &[&x.name, &starts, &ends, &axes], Vec::new());
        Symbol { name, row_shape: vec![x.row_shape[0] - start, x.row_shape[1]] }
    }

    fn first_token(&self, x: &Symbol) -> Symbol {
        self.select(x, 0)
    }

    fn mean_token(&self, x: &Symbol) -> Symbol {
        let attributes = vec![ints_attribute("axes", &[1]), int_attribute("keepdims", 0)];
        let name = self.graph().node("", "ReduceMean", &[&x.name], attributes);
        Symbol { name, row_shape: vec![x.width()] }
    }

    fn column(&self, x: &Symbol, index: usize) -> Symbol {
        self.select(x, index)
    }

    fn reset_rows(&self, reset: &Symbol, init: &Parameter, state: &Symbol) -> Symbol {
        let init = self.stored(init);
        let axes = self.graph().int_constant(&[1, 2]);
        let condition = self.plain("Unsqueeze", &[&reset.name, &axes]);
        Symbol { name: self.plain("Where", &[&condition, &init, &state.name]), row_shape: state.row_shape.clone() }
    }

    fn candidates(&self, tokens: &Symbol) -> Sites {
        self.emit_candidates(tokens)
    }

    fn cells(&self, tokens: &Symbol, blocked: &[usize]) -> Sites {
        self.emit_cells(tokens, blocked)
    }

    fn enter_sites(&self, state: &Symbol, sites: &Sites) -> Symbol {
        self.entered(state, sites)
    }

    fn leave_sites(&self, x: &Symbol, sites: &Sites) -> Symbol {
        self.left(x, sites)
    }

    fn embed_sites(&self, table: &Parameter, sites: &Sites) -> Symbol {
        self.emit_embedding(table, sites)
    }

    fn rows_of_boards(&self, rows: &Symbol, sites: &Sites) -> Symbol {
        self.emit_rows_of_boards(rows, sites)
    }

    fn units_mixing(&self, x: &Symbol, mixing: &UnitsMixing<Parameter>, sites: &Sites, eps: f64) -> Symbol {
        self.emit_units_mixing(x, mixing, sites, eps)
    }

    fn local_mixing(&self, x: &Symbol, mixing: &LocalMixing<Parameter>, sites: &Sites, eps: f64) -> Symbol {
        self.emit_local_mixing(x, mixing, sites, eps)
    }

    fn site_channel_mixing(&self, x: &Symbol, swiglu: &SwiGlu<Parameter>, sites: &Sites, eps: f64) -> Symbol {
        self.packed_swiglu(x, swiglu, sites, eps).unwrap_or_else(|| self.channel_mixing(x, swiglu, eps))
    }

    fn site_logits(&self, x: &Symbol, head: &Linear<Parameter>, sites: &Sites) -> Symbol {
        self.emit_site_logits(x, head, sites)
    }

    fn mean_site(&self, x: &Symbol, sites: &Sites) -> Symbol {
        self.emit_mean_site(x, sites)
    }

    fn no_grad<R>(&self, scope: impl FnOnce() -> R) -> R {
        scope()
    }

    fn detach(&self, x: &Symbol) -> Symbol {
        x.clone()
    }
}
