//! Fused operations against the plain ones, values and gradients: by their distances to a float64 evaluation, which
//! must not be longer.

mod attention;

use std::rc::Rc;

use models::{Backend, ForwardDtype, Linear, SwiGlu};
use tch::{Device, Kind, Tensor};

use super::{Activation, TchBackend, Weight, kernels};
use crate::seeded::seeded;

const EPS: f64 = 1e-5;
/// `[batch, tokens, width]`; batches that do not fill a chunk, odd tokens, widths on both sides of a gate block.
const SIZES: [[i64; 3]; 6] = [[3, 16, 32], [2, 36, 64], [3, 97, 96], [7, 81, 128], [1, 97, 512], [9, 33, 32]];

/// An operation under test: its result from an input and a second tensor of the same size, and its weights.
type Operation = fn(&TchBackend, &Activation, &Activation, &SwiGlu<Weight>) -> Activation;

fn norm(backend: &TchBackend, x: &Activation, delta: &Activation, _: &SwiGlu<Weight>) -> Activation {
    backend.residual_rms_norm(x, delta, EPS)
}

fn swiglu(backend: &TchBackend, x: &Activation, _: &Activation, weights: &SwiGlu<Weight>) -> Activation {
    backend.swiglu(x, weights)
}

fn channel_mixing(backend: &TchBackend, x: &Activation, _: &Activation, weights: &SwiGlu<Weight>) -> Activation {
    backend.channel_mixing(x, weights, EPS)
}

fn mixing(backend: &TchBackend, x: &Activation, _: &Activation, weights: &SwiGlu<Weight>) -> Activation {
    backend.token_mixing(x, weights, EPS)
}

/// What an operation is computed from, in float32 but representable in bfloat16.
struct Inputs {
    x: Tensor,
    delta: Tensor,
    gate_up: Tensor,
    down: Tensor,
    /// Gradient of the result.
    weight_of_result: Tensor,
    contiguous: bool,
}

impl Inputs {
    fn new(size: [i64; 3], width: i64, contiguous: bool) -> Self {
        let inner = models::swiglu_inner_size(width as usize, 4.0) as i64;
        let draw = |size: &[i64], scale: f64| {
            (Tensor::randn(size, (Kind::Float, Device::Cpu)) * scale).to_kind(Kind::BFloat16).to_kind(Kind::Float)
        };
        seeded(size.iter().sum::<i64>() + width, || Self {
            x: draw(&size, 1.0),
            delta: draw(&size, 0.5),
            gate_up: draw(&[2 * inner, width], (width as f64).powf(-0.5)),
            down: draw(&[width, inner], (inner as f64).powf(-0.5) * 2.0),
            weight_of_result: draw(&size, 1.0),
            contiguous,
        })
    }

    /// The result and the gradients of everything that it depends on, as float64.
    fn run(&self, backend: &TchBackend, operation: Operation) -> Vec<Tensor> {
        let master_kind = if backend.kind == Kind::Double { Kind::Double } else { Kind::Float };
        let leaf = |tensor: &Tensor, kind: Kind| tensor.to_kind(kind).copy().set_requires_grad(true);
        let (x, delta) = (leaf(&self.x, backend.kind), leaf(&self.delta, backend.kind));
        let (gate_up, down) = (leaf(&self.gate_up, master_kind), leaf(&self.down, master_kind));
        let weights = weights(&gate_up, &down);
        // The same values behind strides that no kernel expects.
        let arranged = |tensor: &Tensor| {
            let strided = || Tensor::stack(&[tensor, tensor], -1).select(-1, 0);
            Activation(if self.contiguous { tensor.shallow_clone() } else { strided() })
        };
        let result = operation(backend, &arranged(&x), &arranged(&delta), &weights).0;
        let gradient = self.weight_of_result.to_kind(backend.kind);
        (&result * gradient).sum(master_kind).backward();
        let without_gradient = backend.no_grad(|| operation(backend, &arranged(&x), &arranged(&delta), &weights).0);
        if backend.kind == Kind::BFloat16 && !kernels::has_bf16_products() {
            // Products are libtorch's own here, which takes another path without gradients on some processors.
            let error = distance(&without_gradient.to_kind(Kind::Double), &result.to_kind(Kind::Double));
            assert!(error < 0.01, "recording gradients changed the values by {error:e}");
        } else {
            assert!(result.equal(&without_gradient), "recording gradients changed the values");
        }
        [result.detach(), x.grad(), delta.grad(), gate_up.grad(), down.grad()]
            .into_iter()
            .filter(Tensor::defined)
            .map(|tensor| tensor.to_kind(Kind::Double))
            .collect()
    }
}

fn distance(left: &Tensor, right: &Tensor) -> f64 {
    ((left - right).square().mean(Kind::Double) / right.square().mean(Kind::Double)).sqrt().double_value(&[])
}

fn check(operation: Operation, size: [i64; 3], width: i64) {
    for contiguous in [true, false] {
        let inputs = Inputs::new(size, width, contiguous);
        let backend = |dtype, fused| TchBackend { fused, ..TchBackend::plain(dtype) };
        let plain = inputs.run(&backend(ForwardDtype::Float32, false), operation);
        let fused = inputs.run(&backend(ForwardDtype::Float32, true), operation);
        assert_eq!(fused.len(), plain.len());
        assert!(fused.iter().zip(&plain).all(|(fused, plain)| fused.equal(plain)), "{size:?}: float32 is not fused");

        let exact = inputs.run(&TchBackend::float64(), operation);
        let plain = inputs.run(&backend(ForwardDtype::BFloat16, false), operation);
        let fused = inputs.run(&backend(ForwardDtype::BFloat16, true), operation);
        for (index, (fused, plain)) in fused.iter().zip(&plain).enumerate() {
            let (of_plain, of_fused) = (distance(plain, &exact[index]), distance(fused, &exact[index]));
            println!("{size:?} tensor {index}: plain {of_plain:.2e}, fused {of_fused:.2e}");
            assert!(of_plain < 0.02, "{size:?} tensor {index}: the plain path is {of_plain:e} from float64");
            assert!(
                of_fused < 1.1 * of_plain,
                "{size:?} tensor {index}: {of_fused:e} from float64, where the plain path is {of_plain:e}"
            );
        }
    }
}

#[test]
fn residual_rms_norm_is_the_plain_one() {
    for size in SIZES {
        check(norm, size, size[2]);
    }
}

#[test]
fn swiglu_is_the_plain_one() {
    for size in SIZES {
        check(swiglu, size, size[2]);
    }
}

#[test]
fn channel_mixing_is_the_plain_one() {
    for size in SIZES {
        check(channel_mixing, size, size[2]);
    }
}

#[test]
fn token_mixing_is_the_plain_one() {
    for size in SIZES {
        check(mixing, size, size[1]);
    }
}

#[test]
fn rows_past_a_gradient_block_count() {
    for operation in [swiglu, channel_mixing] {
        check(operation, [13, 81, 32], 32);
    }
}

#[test]
fn fused_operations_repeat_to_the_bit() {
    let backend = TchBackend { fused: true, ..TchBackend::plain(ForwardDtype::BFloat16) };
    let cases: [(Operation, i64); 2] = [(mixing, 81), (channel_mixing, 128)];
    for (operation, width) in cases {
        let inputs = Inputs::new([7, 81, 128], width, true);
        let (first, second) = (inputs.run(&backend, operation), inputs.run(&backend, operation));
        assert!(first.iter().zip(&second).all(|(first, second)| first.equal(second)));
    }
}

#[test]
fn no_number_stays_no_number() {
    for dtype in [ForwardDtype::Float32, ForwardDtype::BFloat16] {
        let inputs = Inputs::new([2, 36, 64], 64, true);
        let _ = inputs.x.get(1).fill_(f64::NAN);
        let backend = TchBackend { fused: true, ..TchBackend::plain(dtype) };
        let activation = |tensor: &Tensor| Activation(tensor.to_kind(backend.kind));
        for operation in [norm, swiglu, channel_mixing] {
            let weights = weights(&inputs.gate_up, &inputs.down);
            let result = operation(&backend, &activation(&inputs.x), &activation(&inputs.delta), &weights).0;
            let lost = |row: i64| result.get(row).isnan().sum(Kind::Int64).int64_value(&[]);
            assert_eq!((lost(0), lost(1)), (0, 36 * 64));
        }
    }
}

fn weights(gate_up: &Tensor, down: &Tensor) -> SwiGlu<Weight> {
    let linear = |master: &Tensor| Linear {
        in_features: master.size()[1] as usize,
        out_features: master.size()[0] as usize,
        weight: Weight::new(master.shallow_clone(), Rc::default()),
        bias: None,
    };
    SwiGlu { gate_up: linear(gate_up), down: linear(down) }
}
