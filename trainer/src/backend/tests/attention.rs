//! Fused attention against the plain one: values and gradients by their distances to a float64 evaluation, gradients
//! also against finite differences; ragged sizes, blocks of keys and queries, threads.

use std::rc::Rc;

use models::{Attention, Backend, ForwardDtype, Linear, Rope};
use tch::{Device, Kind, Tensor};

use super::super::{Activation, TchBackend, Weight};
use super::{EPS, distance};
use crate::seeded::seeded;

#[derive(Debug, Clone, Copy)]
struct Shape {
    batch: i64,
    tokens: i64,
    width: i64,
    heads: i64,
    head_dim: i64,
}

const fn shape(batch: i64, tokens: i64, width: i64, heads: i64, head_dim: i64) -> Shape {
    Shape { batch, tokens, width, heads, head_dim }
}

/// One token and odd ones, several blocks of queries and of keys, heads of several widths,
/// together more and less than the channels.
const SHAPES: [Shape; 8] = [
    shape(5, 1, 64, 1, 64),
    shape(3, 16, 64, 2, 32),
    shape(2, 37, 96, 3, 32),
    shape(2, 97, 512, 8, 64),
    shape(1, 129, 64, 2, 64),
    shape(2, 300, 64, 1, 128),
    shape(3, 65, 256, 1, 256),
    shape(9, 33, 160, 2, 96),
];

/// What attention is computed from, in float32 but representable in bfloat16.
struct Inputs {
    shape: Shape,
    x: Tensor,
    qkv: Tensor,
    output: Tensor,
    /// Cosines and sines.
    angles: Option<[Tensor; 2]>,
    /// Gradient of the result.
    weight_of_result: Tensor,
}

impl Inputs {
    /// `sharpness` multiplies the weights of queries, keys and values.
    fn new(shape: Shape, rotated: bool, sharpness: f64) -> Self {
        let Shape { batch, tokens, width, heads, head_dim } = shape;
        let inner = heads * head_dim;
        let draw = |size: &[i64], scale: f64| {
            (Tensor::randn(size, (Kind::Float, Device::Cpu)) * scale).to_kind(Kind::BFloat16).to_kind(Kind::Float)
        };
        seeded(batch + tokens + width + inner, || {
            let angles = Tensor::randn([tokens, head_dim / 2], (Kind::Float, Device::Cpu));
            Self {
                shape,
                x: draw(&[batch, tokens, width], 1.0),
                qkv: draw(&[3 * inner, width], sharpness * (width as f64).powf(-0.5)),
                output: draw(&[width, inner], 3.0 * (inner as f64).powf(-0.5)),
                angles: rotated.then(|| [angles.cos(), angles.sin()]),
                weight_of_result: draw(&[batch, tokens, width], 1.0),
            }
        })
    }

    /// The result and the gradients of everything that it depends on, as float64.
    fn run(&self, backend: &TchBackend) -> Vec<Tensor> {
        let leaf = |tensor: &Tensor, kind: Kind| tensor.to_kind(kind).copy().set_requires_grad(true);
        let x = leaf(&self.x, backend.kind);
        let (qkv, output) = (leaf(&self.qkv, backend.wide()), leaf(&self.output, backend.wide()));
        let attention = self.attention(&qkv, &output);
        let result = backend.residual_attention(&Activation(x.shallow_clone()), &attention, EPS).0;
        self.loss(&result).backward();
        let without_gradient =
            backend.no_grad(|| backend.residual_attention(&Activation(x.shallow_clone()), &attention, EPS).0);
        assert!(result.equal(&without_gradient), "recording gradients changed the values");
        [result.detach(), x.grad(), qkv.grad(), output.grad()].map(|tensor| tensor.to_kind(Kind::Double)).into()
    }

    fn loss(&self, result: &Tensor) -> Tensor {
        let kind = if result.kind() == Kind::Double { Kind::Double } else { Kind::Float };
        (result * self.weight_of_result.to_kind(result.kind())).sum(kind)
    }

    /// The loss in float64 at other values of what has gradients.
    fn loss_at(&self, [x, qkv, output]: [&Tensor; 3]) -> f64 {
        let attention = self.attention(qkv, output);
        let result = TchBackend::float64().residual_attention(&Activation(x.shallow_clone()), &attention, EPS).0;
        self.loss(&result).double_value(&[])
    }

    fn attention(&self, qkv: &Tensor, output: &Tensor) -> Attention<Weight> {
        let weight = |master: &Tensor| Weight::new(master.shallow_clone(), Rc::default());
        let linear = |master: &Tensor| Linear {
            in_features: master.size()[1] as usize,
            out_features: master.size()[0] as usize,
            weight: weight(master),
            bias: None,
        };
        let rope = self.angles.as_ref().map(|[cos, sin]| Rc::new(Rope { cos: weight(cos), sin: weight(sin) }));
        let (num_heads, head_dim) = (self.shape.heads as usize, self.shape.head_dim as usize);
        Attention { qkv: linear(qkv), output: linear(output), num_heads, head_dim, rope }
    }
}

fn backend(dtype: ForwardDtype, fused: bool) -> TchBackend {
    TchBackend { fused, ..TchBackend::plain(dtype) }
}

fn fused() -> TchBackend {
    backend(ForwardDtype::BFloat16, true)
}

fn check(inputs: &Inputs) {
    let shape = inputs.shape;
    let exact = inputs.run(&TchBackend::float64());
    let [plain, fused] = [false, true].map(|fused| inputs.run(&backend(ForwardDtype::BFloat16, fused)));
    for (index, name) in ["result", "x", "qkv", "output"].into_iter().enumerate() {
        let of_plain = distance(&plain[index], &exact[index]);
        let of_fused = distance(&fused[index], &exact[index]);
        println!("{shape:?} {name}: plain {of_plain:.2e}, fused {of_fused:.2e}");
        assert!(of_plain < 0.02, "{shape:?} {name}: the plain path is {of_plain:e} from float64");
        assert!(
            of_fused < 1.1 * of_plain,
            "{shape:?} {name}: {of_fused:e} from float64, where the plain path is {of_plain:e}"
        );
    }
}

#[test]
fn attention_is_the_plain_one() {
    for shape in SHAPES {
        for rotated in [true, false] {
            check(&Inputs::new(shape, rotated, 2.0));
        }
    }
}

#[test]
fn a_mazes_tokens_are_the_plain_ones() {
    check(&Inputs::new(shape(1, 916, 128, 2, 64), true, 2.0));
}

#[test]
fn float32_is_not_fused() {
    let inputs = Inputs::new(shape(2, 37, 96, 3, 32), true, 2.0);
    let [plain, fused] = [false, true].map(|fused| inputs.run(&backend(ForwardDtype::Float32, fused)));
    assert!(fused.iter().zip(&plain).all(|(fused, plain)| fused.equal(plain)));
}

#[test]
fn gradients_are_those_of_finite_differences() {
    for shape in [shape(3, 37, 96, 3, 32), shape(1, 150, 64, 1, 64)] {
        let inputs = Inputs::new(shape, true, 2.0);
        let gradients = inputs.run(&fused());
        let at = [&inputs.x, &inputs.qkv, &inputs.output].map(|tensor| tensor.to_kind(Kind::Double));
        for (index, name) in ["x", "qkv", "output"].into_iter().enumerate() {
            // Along a gradient itself the loss rises by its length: an error in any direction shortens it.
            let length = gradients[index + 1].norm().double_value(&[]);
            let step = &gradients[index + 1] * (1e-4 / length);
            let moved = |sign: f64| {
                let moved = &at[index] + &step * sign;
                let mut point = [&at[0], &at[1], &at[2]];
                point[index] = &moved;
                inputs.loss_at(point)
            };
            let slope = (moved(1.0) - moved(-1.0)) / 2e-4;
            assert!((slope / length - 1.0).abs() < 3e-3, "{shape:?} {name}: slope {slope}, length {length}");
        }
    }
}

#[test]
fn results_depend_neither_on_the_run_nor_on_threads() {
    let inputs = Inputs::new(shape(3, 150, 96, 3, 32), true, 2.0);
    let threads = tch::get_num_threads();
    let runs = [1, 2, 3, 1].map(|count| {
        tch::set_num_threads(count);
        inputs.run(&fused())
    });
    tch::set_num_threads(threads);
    for run in &runs[1..] {
        assert!(run.iter().zip(&runs[0]).all(|(left, right)| left.equal(right)));
    }
}

/// Scores of some hundreds, whose exponentials no float32 holds, the largest in any block of keys.
#[test]
fn large_scores_do_not_overflow() {
    let inputs = Inputs::new(shape(2, 300, 64, 2, 32), true, 12.0);
    let (plain, fused) = (inputs.run(&backend(ForwardDtype::BFloat16, false)), inputs.run(&fused()));
    let exact = inputs.run(&TchBackend::float64());
    for (index, fused) in fused.iter().enumerate() {
        let (of_plain, of_fused) = (distance(&plain[index], &exact[index]), distance(fused, &exact[index]));
        println!("tensor {index}: plain {of_plain:.2e}, fused {of_fused:.2e}");
        assert!(of_fused < 1.1 * of_plain, "tensor {index}: {of_fused:e} from float64, plain {of_plain:e}");
    }
}

#[test]
fn no_number_stays_in_its_example() {
    let inputs = Inputs::new(shape(2, 150, 64, 1, 64), true, 2.0);
    let _ = inputs.x.get(1).get(149).fill_(f64::NAN);
    let (x, attention) = (inputs.x.to_kind(Kind::BFloat16), inputs.attention(&inputs.qkv, &inputs.output));
    let result = fused().residual_attention(&Activation(x), &attention, EPS).0;
    let lost = |example: i64| result.get(example).isnan().sum(Kind::Int64).int64_value(&[]);
    assert_eq!((lost(0), lost(1)), (0, 150 * 64));
}

#[test]
fn narrow_heads_take_the_plain_path() {
    let inputs = Inputs::new(shape(2, 21, 48, 3, 16), true, 2.0);
    let backend = fused();
    let (x, attention) = (Activation(inputs.x.to_kind(Kind::BFloat16)), inputs.attention(&inputs.qkv, &inputs.output));
    assert!(!backend.fuses_attention(&x.0, &attention));
    let apart = backend.residual_rms_norm(&x, &backend.attention(&x, &attention), EPS).0;
    assert!(backend.residual_attention(&x, &attention, EPS).0.equal(&apart));
}
