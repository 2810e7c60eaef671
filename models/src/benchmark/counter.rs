//! A backend that counts: shapes in place of numbers, and what each operation multiplies, reads and writes. Leaves what the
//! counts mean to `cost`.

use std::cell::{Cell, RefCell};

use super::cost::{CountedProduct, Product, ProductKind, StepCost, Work};
use crate::{
    Attention, Backend, LayerNorm, Linear, LocalMixing, LstmLayer, ModelError, ParameterKind, ParameterSource,
    ParameterSpec, SwiGlu, UNIT_KINDS, UnitsMixing,
};

/// Dimensions: all of a weight, those after the batch of an activation.
pub(super) type Shape = Vec<usize>;

/// Hands out the shape of each tensor.
#[derive(Debug, Default)]
pub(super) struct Shapes {
    pub(super) parameters: usize,
}

impl ParameterSource for Shapes {
    type Weight = Shape;

    fn parameter(&mut self, spec: ParameterSpec) -> Result<Shape, ModelError> {
        if spec.kind == ParameterKind::Weight {
            self.parameters += spec.element_count();
        }
        Ok(spec.shape)
    }

    fn constant(&mut self, _name: &str, shape: &[usize], _values: Vec<f32>) -> Shape {
        shape.to_vec()
    }
}

/// A backend that computes nothing and writes down what it was asked for.
pub(super) struct Counter {
    batch_size: usize,
    recording: Cell<bool>,
    cost: RefCell<StepCost>,
}

impl Counter {
    pub(super) fn new(batch_size: usize) -> Self {
        let cost = StepCost {
            batch_size,
            without_gradient: Work::default(),
            with_gradient: Work::default(),
            backward: Work::default(),
            products: Vec::new(),
            parameters: 0,
        };
        Self { batch_size, recording: Cell::new(true), cost: RefCell::new(cost) }
    }

    pub(super) fn finish(self, parameters: usize) -> StepCost {
        let mut cost = self.cost.into_inner();
        cost.products.sort_by_key(|counted| std::cmp::Reverse(counted.uses as u64 * counted.product.flops()));
        StepCost { parameters, ..cost }
    }

    /// An operation on activations of so many values for each row of the batch, with weights that it reads once.
    fn pass(&self, reads: usize, writes: usize, weights: usize, products: &[Product]) {
        let (reads, writes) = ((self.batch_size * reads) as u64, (self.batch_size * writes) as u64);
        let flops = products.iter().map(Product::flops).sum();
        let forward = Work { flops, weight_values: weights as u64, activation_values: reads + writes };
        let mut cost = self.cost.borrow_mut();
        if self.recording.get() {
            cost.with_gradient = cost.with_gradient.plus(forward);
            cost.backward = cost.backward.plus(Work::backward(reads, writes, weights as u64, flops));
        } else {
            cost.without_gradient = cost.without_gradient.plus(forward);
        }
        for &product in products {
            match cost.products.iter_mut().find(|counted| counted.product == product) {
                Some(counted) => counted.uses += 1,
                None => cost.products.push(CountedProduct { product, uses: 1 }),
            }
        }
    }

    fn linear_product(&self, x: &[usize], linear: &Linear<Shape>) -> Product {
        Product {
            kind: ProductKind::Linear,
            matrices: 1,
            rows: self.batch_size * x[..x.len() - 1].iter().product::<usize>(),
            inner: linear.in_features,
            columns: linear.out_features,
        }
    }
}

fn weights_of(linear: &Linear<Shape>) -> usize {
    size(&linear.weight) + linear.bias.as_deref().map_or(0, size)
}

fn with_width(x: &[usize], width: usize) -> Shape {
    let mut shape = x.to_vec();
    if let Some(last) = shape.last_mut() {
        *last = width;
    }
    shape
}

fn size(x: &[usize]) -> usize {
    x.iter().product()
}

impl Backend for Counter {
    type Weight = Shape;
    type Tensor = Shape;
    /// `[seq_len, vocab_size, sites]`, all of them live.
    type Sites = [usize; 3];

    fn embedding(&self, table: &Shape, tokens: &Shape) -> Shape {
        let out = vec![tokens[0], table[1]];
        self.pass(size(&out), size(&out), 0, &[]);
        out
    }

    fn linear(&self, x: &Shape, linear: &Linear<Shape>) -> Shape {
        let out = with_width(x, linear.out_features);
        self.pass(size(x), size(&out), weights_of(linear), &[self.linear_product(x, linear)]);
        out
    }

    fn swiglu(&self, x: &Shape, swiglu: &SwiGlu<Shape>) -> Shape {
        let inner = with_width(x, swiglu.down.in_features);
        let products = [self.linear_product(x, &swiglu.gate_up), self.linear_product(&inner, &swiglu.down)];
        self.pass(size(x), size(x), weights_of(&swiglu.gate_up) + weights_of(&swiglu.down), &products);
        x.clone()
    }

    fn attention(&self, x: &Shape, attention: &Attention<Shape>) -> Shape {
        let (tokens, heads, head_dim) = (x[0], attention.num_heads, attention.head_dim);
        let head = |inner, columns| Product {
            kind: ProductKind::Attention,
            matrices: self.batch_size * heads,
            rows: tokens,
            inner,
            columns,
        };
        let context = with_width(x, heads * head_dim);
        let products = [
            self.linear_product(x, &attention.qkv),
            head(head_dim, tokens),
            head(tokens, head_dim),
            self.linear_product(&context, &attention.output),
        ];
        let tables = attention.rope.as_ref().map_or(0, |rope| size(&rope.cos) + size(&rope.sin));
        let weights = weights_of(&attention.qkv) + weights_of(&attention.output) + tables;
        self.pass(size(x), size(x), weights, &products);
        x.clone()
    }

    fn residual_rms_norm(&self, x: &Shape, delta: &Shape, _eps: f64) -> Shape {
        self.pass(size(x) + size(delta), size(x), 0, &[]);
        x.clone()
    }

    fn transpose(&self, x: &Shape) -> Shape {
        self.pass(size(x), size(x), 0, &[]);
        vec![x[1], x[0]]
    }

    fn token_mixing(&self, x: &Shape, swiglu: &SwiGlu<Shape>, _eps: f64) -> Shape {
        let mix = |linear: &Linear<Shape>| Product {
            kind: ProductKind::TokenMixing,
            matrices: self.batch_size,
            rows: linear.out_features,
            inner: linear.in_features,
            columns: x[1],
        };
        let weights = weights_of(&swiglu.gate_up) + weights_of(&swiglu.down);
        self.pass(size(x), size(x), weights, &[mix(&swiglu.gate_up), mix(&swiglu.down)]);
        x.clone()
    }

    fn layer_norm(&self, x: &Shape, norm: &LayerNorm<Shape>) -> Shape {
        self.pass(size(x), size(x), size(&norm.weight) + size(&norm.bias), &[]);
        x.clone()
    }

    fn gelu(&self, x: &Shape) -> Shape {
        self.pass(size(x), size(x), 0, &[]);
        x.clone()
    }

    fn lstm(&self, x: &Shape, lstm: &LstmLayer<Shape>) -> Shape {
        let (tokens, directions) = (x[0], lstm.directions.len());
        let step = |matrices, rows, inner| Product {
            kind: ProductKind::Linear,
            matrices,
            rows,
            inner,
            columns: 4 * lstm.hidden_size,
        };
        // The tokens' own part is one product; what the last token left is multiplied token by token.
        let products = [
            step(directions, self.batch_size * tokens, lstm.in_features),
            step(directions * tokens, self.batch_size, lstm.hidden_size),
        ];
        let weights = |d: &crate::LstmDirection<Shape>| {
            size(&d.weight_ih) + tokens * size(&d.weight_hh) + size(&d.bias_ih) + size(&d.bias_hh)
        };
        let out = with_width(x, lstm.out_features());
        self.pass(size(x), size(&out), lstm.directions.iter().map(weights).sum(), &products);
        out
    }

    fn add(&self, left: &Shape, right: &Shape) -> Shape {
        self.pass(size(left) + size(right), size(left), 0, &[]);
        left.clone()
    }

    fn add_table(&self, x: &Shape, table: &Shape) -> Shape {
        self.pass(size(x), size(x), size(table), &[]);
        x.clone()
    }

    fn scale(&self, x: &Shape, _factor: f64) -> Shape {
        self.pass(size(x), size(x), 0, &[]);
        x.clone()
    }

    fn concat_tokens(&self, prefix: &Shape, x: &Shape) -> Shape {
        let out = vec![prefix[0] + x[0], x[1]];
        self.pass(size(&out), size(&out), 0, &[]);
        out
    }

    fn tokens_from(&self, x: &Shape, start: usize) -> Shape {
        vec![x[0] - start, x[1]]
    }

    fn first_token(&self, x: &Shape) -> Shape {
        vec![x[1]]
    }

    fn mean_token(&self, x: &Shape) -> Shape {
        self.pass(size(x), x[1], 0, &[]);
        vec![x[1]]
    }

    fn column(&self, _x: &Shape, _index: usize) -> Shape {
        Vec::new()
    }

    fn reset_rows(&self, _reset: &Shape, init: &Shape, state: &Shape) -> Shape {
        self.pass(size(state), size(state), size(init), &[]);
        state.clone()
    }

    fn candidates(&self, tokens: &Shape) -> [usize; 3] {
        let side = tokens[0].isqrt();
        [tokens[0], side + 2, tokens[0] * side]
    }

    fn cells(&self, tokens: &Shape, _blocked: &[usize]) -> [usize; 3] {
        [tokens[0], 0, tokens[0]]
    }

    fn enter_sites(&self, state: &Shape, _sites: &[usize; 3]) -> Shape {
        self.pass(size(state), size(state), 0, &[]);
        state.clone()
    }

    fn leave_sites(&self, x: &Shape, _sites: &[usize; 3]) -> Shape {
        self.pass(size(x), size(x), 0, &[]);
        x.clone()
    }

    fn embed_sites(&self, table: &Shape, &[_, _, sites]: &[usize; 3]) -> Shape {
        let out = vec![sites, table[1]];
        self.pass(size(&out), size(&out), 0, &[]);
        out
    }

    fn rows_of_boards(&self, rows: &Shape, &[_, _, sites]: &[usize; 3]) -> Shape {
        let out = vec![sites, rows[1]];
        self.pass(size(&out), size(&out), 0, &[]);
        out
    }

    fn units_mixing(&self, x: &Shape, mixing: &UnitsMixing<Shape>, &[seq_len, ..]: &[usize; 3], _eps: f64) -> Shape {
        // What a unit has pooled is multiplied once, and added to each of its candidates.
        let output = Product {
            kind: ProductKind::Linear,
            matrices: UNIT_KINDS,
            rows: self.batch_size * seq_len,
            inner: mixing.pool_size,
            columns: mixing.output.out_features,
        };
        let weights = weights_of(&mixing.input) + weights_of(&mixing.output);
        self.pass(size(x), size(x), weights, &[self.linear_product(x, &mixing.input), output]);
        x.clone()
    }

    fn local_mixing(&self, x: &Shape, mixing: &LocalMixing<Shape>, _sites: &[usize; 3], _eps: f64) -> Shape {
        let LocalMixing { swiglu, stencil } = mixing;
        let inner = with_width(x, swiglu.down.in_features);
        let products = [self.linear_product(x, &swiglu.gate_up), self.linear_product(&inner, &swiglu.down)];
        let weights = weights_of(&swiglu.gate_up) + weights_of(&swiglu.down) + size(stencil);
        self.pass(size(x), size(x), weights, &products);
        x.clone()
    }

    fn site_logits(&self, x: &Shape, head: &Linear<Shape>, &[seq_len, vocab_size, _]: &[usize; 3]) -> Shape {
        let out = vec![seq_len, if vocab_size == 0 { head.out_features } else { vocab_size }];
        self.pass(size(x), size(&out), weights_of(head), &[self.linear_product(x, head)]);
        out
    }

    fn mean_site(&self, x: &Shape, _sites: &[usize; 3]) -> Shape {
        self.mean_token(x)
    }

    fn no_grad<R>(&self, scope: impl FnOnce() -> R) -> R {
        let before = self.recording.replace(false);
        let result = scope();
        self.recording.set(before);
        result
    }

    fn detach(&self, x: &Shape) -> Shape {
        x.clone()
    }
}
