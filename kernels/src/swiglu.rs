//! What the operations are asked for: their weights, their tiles, and the check of the processor.
//! Owns the border between callers and instructions; leaves the loops to `channels` and `tokens`.

use crate::ShapeError;
#[cfg(target_arch = "x86_64")]
use crate::{channels, packed, tokens};

/// Whether this processor has the instructions: AVX-512 with VNNI.
pub fn is_supported() -> bool {
    #[cfg(target_arch = "x86_64")]
    let supported = is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512vnni");
    #[cfg(not(target_arch = "x86_64"))]
    let supported = false;
    supported
}

/// A weight in integers, as products `x · matrix` take it.
#[derive(Debug, Clone, Copy)]
pub struct Matrix<'a> {
    /// `[inputs, outputs]`, -127 to 127.
    pub integers: &'a [i8],
    /// `[outputs]`: what the integers of each output are multiplied with.
    pub scales: &'a [f32],
}

impl Matrix<'_> {
    pub(crate) fn outputs(&self) -> usize {
        self.scales.len()
    }

    pub(crate) fn inputs(&self) -> usize {
        self.integers.len() / self.scales.len().max(1)
    }
}

/// Of what sizes must be multiples: of a panel of weights, and of half a panel.
const PANEL: usize = 64;
const HALF_PANEL: usize = 32;
/// Of what the inputs of a plain product must be a multiple: of a vector.
const VECTOR: usize = 16;

/// The weights of `down(silu(gate(x)) · up(x))`.
#[derive(Debug, Clone, Copy)]
pub struct SwiGlu<'a> {
    /// `[width, inner]`
    pub gate: Matrix<'a>,
    /// `[width, inner]`
    pub up: Matrix<'a>,
    /// `[inner, width]`
    pub down: Matrix<'a>,
}

impl SwiGlu<'_> {
    /// Inputs and outputs.
    fn width(&self) -> usize {
        self.down.outputs()
    }

    /// Values between the products.
    fn inner(&self) -> usize {
        self.gate.outputs()
    }

    /// Whether the kernels take weights of this inner size for so many channels, whichever are mixed.
    pub fn fits(hidden_size: usize, inner: usize) -> bool {
        hidden_size.is_multiple_of(PANEL) && inner.is_multiple_of(HALF_PANEL)
    }

    fn check(&self) -> Result<(), ShapeError> {
        let (width, inner) = (self.width(), self.inner());
        ShapeError::check_multiple("inner size", HALF_PANEL, inner)?;
        ShapeError::check("outputs of up", inner, self.up.outputs())?;
        ShapeError::check("integers of gate", width * inner, self.gate.integers.len())?;
        ShapeError::check("integers of up", width * inner, self.up.integers.len())?;
        ShapeError::check("integers of down", width * inner, self.down.integers.len())
    }
}

/// How many tokens a tile of [`ChannelMixing`] or [`Linear`] best has, where there are so many tokens in all and so many
/// threads.
pub fn tile_tokens(tokens: usize, threads: usize) -> usize {
    /// More take more cache than a core has; weights are read once a tile.
    const MOST: usize = 54;
    let threads = threads.max(1);
    let rounds = tokens.div_ceil(MOST * threads).max(1);
    tokens.div_ceil(rounds * threads).max(1)
}

/// `x · matrix`.
#[derive(Debug)]
pub struct Linear {
    inputs: usize,
    outputs: usize,
    #[cfg(target_arch = "x86_64")]
    weights: packed::Right,
}

impl Linear {
    /// Whether the kernels take a weight of these sizes.
    pub fn fits(inputs: usize, outputs: usize) -> bool {
        inputs.is_multiple_of(VECTOR) && outputs.is_multiple_of(PANEL)
    }

    /// Packs the weight.
    ///
    /// # Errors
    /// When the shapes do not fit each other, the inputs are not a multiple of 16, or the outputs none of 64.
    pub fn new(matrix: &Matrix<'_>) -> Result<Self, ShapeError> {
        let (inputs, outputs) = (matrix.inputs(), matrix.outputs());
        ShapeError::check_multiple("outputs", PANEL, outputs)?;
        ShapeError::check_multiple("inputs", VECTOR, inputs)?;
        ShapeError::check("integers", inputs * outputs, matrix.integers.len())?;
        Ok(Self {
            inputs,
            outputs,
            #[cfg(target_arch = "x86_64")]
            weights: packed::Right::whole(matrix),
        })
    }

    /// Inputs of a token.
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// Outputs of a token.
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// Computes a tile: any number of whole tokens, `[tokens, inputs]` to `[tokens, outputs]`.
    ///
    /// # Panics
    /// When `x` and `out` are not of equally many whole tokens, or where [`is_supported`] says no.
    pub fn tile(&self, x: &[f32], out: &mut [f32]) {
        let tokens = x.len() / self.inputs;
        let whole = x.len() == tokens * self.inputs && out.len() == tokens * self.outputs;
        assert!(whole, "a tile is made of whole tokens");
        assert!(is_supported(), "products in integers need AVX-512 with VNNI");
        #[cfg(target_arch = "x86_64")]
        #[expect(unsafe_code, reason = "the processor was asked for the instructions")]
        // SAFETY: `is_supported` asks for the features that the function is compiled for.
        unsafe {
            channels::linear_tile(&self.weights, self.inputs, x, out);
        }
    }
}

/// `x / sqrt(mean(x²) + eps)` over the channels for `x + swiglu(x)`.
#[derive(Debug)]
pub struct ChannelMixing {
    width: usize,
    #[cfg(target_arch = "x86_64")]
    weights: channels::Weights,
}

impl ChannelMixing {
    /// Packs the weights.
    ///
    /// # Errors
    /// When the shapes do not fit each other, the width is not a multiple of 64, or the inner size none of 32.
    pub fn new(swiglu: &SwiGlu<'_>) -> Result<Self, ShapeError> {
        swiglu.check()?;
        ShapeError::check_multiple("width", PANEL, swiglu.width())?;
        Ok(Self {
            width: swiglu.width(),
            #[cfg(target_arch = "x86_64")]
            weights: channels::Weights::new(swiglu),
        })
    }

    /// Inputs and outputs of a token.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Computes a tile: any number of whole tokens, `[tokens, width]` each.
    ///
    /// # Panics
    /// When `x` and `out` are not as long as each other, or hold no whole number of tokens, or where [`is_supported`] says no.
    pub fn tile(&self, x: &[f32], out: &mut [f32], eps: f32) {
        assert!(x.len() == out.len() && x.len().is_multiple_of(self.width), "a tile is made of whole tokens");
        assert!(is_supported(), "channel mixing in integers needs AVX-512 with VNNI");
        #[cfg(target_arch = "x86_64")]
        #[expect(unsafe_code, reason = "the processor was asked for the instructions")]
        // SAFETY: `is_supported` asks for the features that the function is compiled for.
        unsafe {
            channels::tile(&self.weights, x, out, eps);
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = eps;
    }
}

/// `x / sqrt(mean(x²) + eps)` over the tokens for `x + swiglu(x)`, whose products run over the tokens, too.
#[derive(Debug)]
pub struct TokenMixing {
    tokens: usize,
    #[cfg(target_arch = "x86_64")]
    weights: tokens::Weights,
}

impl TokenMixing {
    /// Channels of a tile.
    pub const TILE_CHANNELS: usize = 64;

    /// Packs the weights.
    ///
    /// # Errors
    /// When the shapes do not fit each other or the inner size is not a multiple of 32.
    pub fn new(swiglu: &SwiGlu<'_>) -> Result<Self, ShapeError> {
        swiglu.check()?;
        Ok(Self {
            tokens: swiglu.width(),
            #[cfg(target_arch = "x86_64")]
            weights: tokens::Weights::new(swiglu),
        })
    }

    /// Tokens that are mixed.
    pub fn tokens(&self) -> usize {
        self.tokens
    }

    /// Computes a tile: channels `channel..channel + TILE_CHANNELS` of all tokens of one row of the batch. `x` is that row,
    /// `[tokens, hidden_size]`; `out` is the tile, a piece for each token.
    ///
    /// # Panics
    /// When the lengths do not fit, a tile is not whole, or where [`is_supported`] says no.
    pub fn tile(&self, x: &[f32], channel: usize, out: &mut [&mut [f32; Self::TILE_CHANNELS]], eps: f32) {
        let hidden_size = x.len() / self.tokens;
        assert!(x.len() == hidden_size * self.tokens && out.len() == self.tokens, "a row is made of whole tokens");
        assert!(channel + Self::TILE_CHANNELS <= hidden_size, "a tile is made of whole channels");
        assert!(is_supported(), "token mixing in integers needs AVX-512 with VNNI");
        #[cfg(target_arch = "x86_64")]
        #[expect(unsafe_code, reason = "the processor was asked for the instructions")]
        // SAFETY: `is_supported` asks for the features that the function is compiled for.
        unsafe {
            tokens::tile(&self.weights, x, channel, out, eps);
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = eps;
    }
}
