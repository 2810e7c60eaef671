//! The fused CPU operators of `csrc/`, with gradients: Rust signatures over their C interface.
//! Owns the foreign calls; leaves the choice between fused and plain operations to `backend`.

use std::ffi::{CStr, c_char, c_double, c_int, c_void};

use tch::{Device, Kind, Tensor};

use crate::sites::LiveSites;

/// Whether this processor multiplies bfloat16 matrices natively, which [`swiglu`], [`channel_mixing`], [`token_mixing`]
/// and [`residual_attention`] build on.
pub(crate) fn has_bf16_products() -> bool {
    // SAFETY: takes nothing and reads processor flags.
    #[expect(unsafe_code, reason = "FFI")]
    let supported = unsafe { trainer_has_bf16_products() };
    supported != 0
}

/// From the first call on, tensors on the CPU reuse each other's memory, which stays with the process: a training step
/// asks for the same sizes again and again, and returning them to the system costs more than a tenth of it.
pub(crate) fn pool_tensor_memory() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        // SAFETY: tensors that exist already keep their own deleters.
        #[expect(unsafe_code, reason = "FFI")]
        unsafe {
            trainer_pool_tensor_memory();
        }
    });
}

/// A gated MLP's weights as the fused products take them.
#[derive(Debug)]
pub(crate) struct PackedMlp<'a> {
    /// `[2 · inner, width]` float32, which collects the gradient: a backward pass adds to `grad()` as it goes.
    pub(crate) gate_up: &'a Tensor,
    /// `[width, inner]` float32, which collects the gradient.
    pub(crate) down: &'a Tensor,
    /// `gate_up` in bfloat16, packed for the operation.
    pub(crate) packed_gate_up: &'a Tensor,
    /// `down` in bfloat16, packed for the operation.
    pub(crate) packed_down: &'a Tensor,
}

/// The weights of attention as the fused operation takes them.
#[derive(Debug)]
pub(crate) struct PackedAttention<'a> {
    /// `[3 · num_heads · head_dim, width]` float32, which collects the gradient as in [`PackedMlp`].
    pub(crate) qkv: &'a Tensor,
    /// `[width, num_heads · head_dim]` float32, which collects the gradient.
    pub(crate) output: &'a Tensor,
    /// `qkv` as [`pack_projection`] packs it.
    pub(crate) packed_qkv: &'a Tensor,
    /// `output` as [`pack_projection`] packs it.
    pub(crate) packed_output: &'a Tensor,
    /// Cosines and sines of the rotary angles, float32 `[tokens, head_dim / 2]` each.
    pub(crate) angles: Option<[&'a Tensor; 2]>,
    /// Heads.
    pub(crate) num_heads: i64,
}

/// `y / sqrt(mean(y²) + eps)` over the last axis for `y = x + delta`; bfloat16, computed in float32.
pub(crate) fn residual_rms_norm(x: &Tensor, delta: &Tensor, eps: f64) -> Tensor {
    // SAFETY: the pointers are tensors that outlive the call.
    #[expect(unsafe_code, reason = "FFI")]
    call(|out| unsafe { trainer_residual_rms_norm(handle(x), handle(delta), eps, out) })
}

/// `silu(gate) · up` over the halves of the last axis of a bfloat16 tensor.
pub(crate) fn silu_mul(gate_up: &Tensor) -> Tensor {
    // SAFETY: the pointer is a tensor that outlives the call.
    #[expect(unsafe_code, reason = "FFI")]
    call(|out| unsafe { trainer_silu_mul(handle(gate_up), out) })
}

/// `gate_up` of [`swiglu`] in bfloat16, in the layouts of its forward and backward products.
pub(crate) fn pack_gate_up_over_channels(weight: &Tensor) -> Tensor {
    pack_over_channels(weight, true)
}

/// `down` of [`swiglu`] in bfloat16, in the layouts of its forward and backward products.
pub(crate) fn pack_down_over_channels(weight: &Tensor) -> Tensor {
    pack_over_channels(weight, false)
}

/// A weight of [`token_mixing`] in bfloat16, in the layouts of its forward and backward products.
pub(crate) fn pack_over_tokens(weight: &Tensor) -> Tensor {
    // SAFETY: the pointer is a tensor that outlives the call.
    #[expect(unsafe_code, reason = "FFI")]
    call(|out| unsafe { trainer_pack_over_tokens(handle(weight), out) })
}

/// `down(silu(gate) · up)` over the last axis of a bfloat16 `x` on the CPU.
pub(crate) fn swiglu(x: &Tensor, mlp: &PackedMlp) -> Tensor {
    // SAFETY: the pointers are tensors that outlive the call.
    #[expect(unsafe_code, reason = "FFI")]
    call(|out| unsafe {
        trainer_swiglu(
            handle(x),
            handle(mlp.gate_up),
            handle(mlp.down),
            handle(mlp.packed_gate_up),
            handle(mlp.packed_down),
            out,
        )
    })
}

/// [`residual_rms_norm`] of `x` and its [`swiglu`], in one pass over `x`.
pub(crate) fn channel_mixing(x: &Tensor, mlp: &PackedMlp, eps: f64) -> Tensor {
    // SAFETY: the pointers are tensors that outlive the call.
    #[expect(unsafe_code, reason = "FFI")]
    call(|out| unsafe {
        trainer_channel_mixing(
            handle(x),
            handle(mlp.gate_up),
            handle(mlp.down),
            handle(mlp.packed_gate_up),
            handle(mlp.packed_down),
            eps,
            out,
        )
    })
}

/// The gated MLP and its residual norm over the tokens of a bfloat16 `x` `[batch, tokens, hidden_size]` on the CPU.
pub(crate) fn token_mixing(x: &Tensor, mlp: &PackedMlp, eps: f64) -> Tensor {
    // SAFETY: the pointers are tensors that outlive the call.
    #[expect(unsafe_code, reason = "FFI")]
    call(|out| unsafe {
        trainer_token_mixing(
            handle(x),
            handle(mlp.gate_up),
            handle(mlp.down),
            handle(mlp.packed_gate_up),
            handle(mlp.packed_down),
            eps,
            out,
        )
    })
}

/// A weight of [`residual_attention`] in bfloat16, in the layouts of its forward and backward products.
pub(crate) fn pack_projection(weight: &Tensor) -> Tensor {
    pack_over_channels(weight, false)
}

/// Attention of a bfloat16 `x` `[batch, tokens, hidden_size]` on the CPU, both projections and the residual norm
/// included.
pub(crate) fn residual_attention(x: &Tensor, attention: &PackedAttention, eps: f64) -> Tensor {
    let [cos, sin] = attention.angles.map_or([std::ptr::null(); 2], |angles| angles.map(handle));
    // SAFETY: the pointers are tensors that outlive the call, or null where that is allowed.
    #[expect(unsafe_code, reason = "FFI")]
    call(|out| unsafe {
        trainer_residual_attention(
            handle(x),
            handle(attention.qkv),
            handle(attention.output),
            handle(attention.packed_qkv),
            handle(attention.packed_output),
            cos,
            sin,
            attention.num_heads,
            eps,
            out,
        )
    })
}

/// Weights of [`units_mixing`].
#[derive(Debug)]
pub(crate) struct UnitsWeights<'a> {
    /// `[3 · pool_size, width]` float32, which collects the gradient as in [`PackedMlp`].
    pub(crate) input: &'a Tensor,
    /// `[width, 3 · pool_size]` float32, which collects the gradient.
    pub(crate) output: &'a Tensor,
    /// `input` transposed.
    pub(crate) input_t: &'a Tensor,
    /// `output` transposed.
    pub(crate) output_t: &'a Tensor,
}

/// Weights of [`site_mlp`].
#[derive(Debug)]
pub(crate) struct SiteMlpWeights<'a> {
    /// `[2 · inner, width]` float32, which collects the gradient as in [`PackedMlp`].
    pub(crate) gate_up: &'a Tensor,
    /// `[width, inner]` float32, which collects the gradient.
    pub(crate) down: &'a Tensor,
    /// `gate_up` transposed.
    pub(crate) gate_up_t: &'a Tensor,
    /// `down` transposed.
    pub(crate) down_t: &'a Tensor,
    /// `[inner, 3, 3]` float32 of a local mixer.
    pub(crate) stencil: Option<&'a Tensor>,
}

/// Widths of [`units_mixing`] and [`site_mlp`] are multiples of this.
pub(crate) const SITE_WIDTH: usize = 8;

/// A float32 matrix transposed.
pub(crate) fn transposed(weight: &Tensor) -> Tensor {
    weight.detach().transpose(0, 1).contiguous()
}

/// Pooling over units with its residual norm, on the live candidates `x` `[live, width]` of several boards.
pub(crate) fn units_mixing(x: &Tensor, weights: &UnitsWeights, sites: &LiveSites, eps: f64) -> Tensor {
    // SAFETY: the pointers are tensors that outlive the call.
    #[expect(unsafe_code, reason = "FFI")]
    call(|out| unsafe {
        trainer_units_mixing(
            handle(x),
            handle(weights.input),
            handle(weights.output),
            handle(weights.input_t),
            handle(weights.output_t),
            handle(&sites.links),
            handle(&sites.rows),
            handle(&sites.units),
            eps,
            out,
        )
    })
}

/// A gated MLP with its residual norm on the live sites `x` `[live, width]` of several boards; with a stencil, local
/// mixing.
pub(crate) fn site_mlp(x: &Tensor, weights: &SiteMlpWeights, sites: &LiveSites, eps: f64) -> Tensor {
    // SAFETY: the pointers are tensors that outlive the call, or null where that is allowed.
    #[expect(unsafe_code, reason = "FFI")]
    call(|out| unsafe {
        trainer_site_mlp(
            handle(x),
            handle(weights.gate_up),
            handle(weights.down),
            handle(weights.gate_up_t),
            handle(weights.down_t),
            weights.stencil.map_or(std::ptr::null(), handle),
            handle(&sites.links),
            handle(&sites.rows),
            eps,
            out,
        )
    })
}

/// Constants of one step of [`adamw`], `updates.h`'s `AdamWStep`.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct AdamWStep {
    /// What decoupled decay leaves of a weight.
    pub(crate) shrink: f32,
    /// `1 - beta1`.
    pub(crate) share1: f32,
    /// `beta2`.
    pub(crate) beta2: f32,
    /// `1 - beta2`.
    pub(crate) share2: f32,
    /// `sqrt(1 - beta2^step)`.
    pub(crate) correction2: f32,
    /// Added to the deviation.
    pub(crate) eps: f32,
    /// `lr / (1 - beta1^step)`.
    pub(crate) rate: f32,
}

/// Whether the updates below take a tensor.
pub(crate) fn updates(tensor: &Tensor) -> bool {
    tensor.device() == Device::Cpu && tensor.kind() == Kind::Float && tensor.is_contiguous()
}

/// One AdamW step of tensors of equal size in place, rounded as libtorch rounds it operation by operation (its square
/// root apart, which MKL does not always round to nearest).
pub(crate) fn adamw(step: &AdamWStep, weights: &Tensor, moments: [&Tensor; 2], gradient: &Tensor) {
    // SAFETY: the pointers are tensors, and constants of the same layout, that outlive the call.
    #[expect(unsafe_code, reason = "FFI")]
    check(unsafe { trainer_adamw(step, handle(weights), handle(moments[0]), handle(moments[1]), handle(gradient)) });
}

/// `average ← decay · average + share · weights` in place, bit for bit as libtorch computes it.
pub(crate) fn moving_average(average: &Tensor, weights: &Tensor, decay: f32, share: f32) {
    // SAFETY: the pointers are tensors that outlive the call.
    #[expect(unsafe_code, reason = "FFI")]
    check(unsafe { trainer_moving_average(decay, share, handle(average), handle(weights)) });
}

fn pack_over_channels(weight: &Tensor, halves: bool) -> Tensor {
    // SAFETY: the pointer is a tensor that outlives the call.
    #[expect(unsafe_code, reason = "FFI")]
    call(|out| unsafe { trainer_pack_over_channels(handle(weight), c_int::from(halves), out) })
}

/// libtorch's `at::Tensor`, by address.
type Handle = *const c_void;

fn handle(tensor: &Tensor) -> Handle {
    tensor.as_ptr().cast()
}

/// Takes the tensor that `function` hands over. Backend operations cannot fail, because shapes were settled when the
/// model was built; like every operation of `tch` they panic where libtorch objects.
fn call(function: impl FnOnce(*mut *mut c_void) -> *mut c_char) -> Tensor {
    let mut out = std::ptr::null_mut();
    check(function(&raw mut out));
    // SAFETY: without an error `out` owns a new tensor.
    #[expect(unsafe_code, reason = "FFI")]
    unsafe {
        Tensor::from_ptr(out.cast())
    }
}

/// Panics with the text of an error, if there is one.
fn check(error: *mut c_char) {
    if error.is_null() {
        return;
    }
    // SAFETY: errors are null-terminated strings from `strdup`, ours to free.
    #[expect(unsafe_code, reason = "FFI")]
    let message = unsafe {
        let message = CStr::from_ptr(error).to_string_lossy().into_owned();
        free(error.cast());
        message
    };
    panic!("fused operator: {message}");
}

#[expect(unsafe_code, reason = "FFI")]
unsafe extern "C" {
    fn trainer_has_bf16_products() -> c_int;
    fn trainer_pool_tensor_memory();
    fn trainer_residual_rms_norm(x: Handle, delta: Handle, eps: c_double, out: *mut *mut c_void) -> *mut c_char;
    fn trainer_silu_mul(gate_up: Handle, out: *mut *mut c_void) -> *mut c_char;
    fn trainer_pack_over_channels(weight: Handle, halves: c_int, out: *mut *mut c_void) -> *mut c_char;
    fn trainer_pack_over_tokens(weight: Handle, out: *mut *mut c_void) -> *mut c_char;
    fn trainer_swiglu(
        x: Handle,
        gate_up: Handle,
        down: Handle,
        packed_gate_up: Handle,
        packed_down: Handle,
        out: *mut *mut c_void,
    ) -> *mut c_char;
    fn trainer_channel_mixing(
        x: Handle,
        gate_up: Handle,
        down: Handle,
        packed_gate_up: Handle,
        packed_down: Handle,
        eps: c_double,
        out: *mut *mut c_void,
    ) -> *mut c_char;
    fn trainer_token_mixing(
        x: Handle,
        gate_up: Handle,
        down: Handle,
        packed_gate_up: Handle,
        packed_down: Handle,
        eps: c_double,
        out: *mut *mut c_void,
    ) -> *mut c_char;
    fn trainer_residual_attention(
        x: Handle,
        qkv: Handle,
        output: Handle,
        packed_qkv: Handle,
        packed_output: Handle,
        cos: Handle,
        sin: Handle,
        heads: i64,
        eps: c_double,
        out: *mut *mut c_void,
    ) -> *mut c_char;
    fn trainer_units_mixing(
        x: Handle,
        input: Handle,
        output: Handle,
        input_t: Handle,
        output_t: Handle,
        links: Handle,
        rows: Handle,
        units: Handle,
        eps: c_double,
        out: *mut *mut c_void,
    ) -> *mut c_char;
    fn trainer_site_mlp(
        x: Handle,
        gate_up: Handle,
        down: Handle,
        gate_up_t: Handle,
        down_t: Handle,
        stencil: Handle,
        links: Handle,
        rows: Handle,
        eps: c_double,
        out: *mut *mut c_void,
    ) -> *mut c_char;
    fn trainer_adamw(
        step: *const AdamWStep,
        weights: Handle,
        exp_avg: Handle,
        exp_avg_sq: Handle,
        gradient: Handle,
    ) -> *mut c_char;
    fn trainer_moving_average(decay: f32, share: f32, average: Handle, weights: Handle) -> *mut c_char;
    fn free(memory: *mut c_void);
}
