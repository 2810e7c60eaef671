//! The two halves of a block, token mixing and channel mixing, in 8-bit integers, each as one operation on the processor:
//! product, gate, product, residual and norm, tile by tile, so that nothing in between leaves the cache. And plain
//! products, for what else a model has.
//!
//! Owns the packing of weights and the loops; leaves to its callers which processor and graph they are for (`exporter`),
//! the rounding of weights, and threads: an operation consists of tiles that may run in any order on any thread, and
//! its result does not depend on either.
//!
//! The halves compute `y / sqrt(mean(y²) + eps)` for `y = x + down(silu(gate(x)) · up(x))`, over the channels or over the
//! tokens. Activations are rounded to integers of their own scale for every token (every channel, when tokens are
//! mixed), so that neighbours in a batch change nothing. Sums of integers are exact.

#[cfg(target_arch = "x86_64")]
mod channels;
mod error;
#[cfg(target_arch = "x86_64")]
mod packed;
#[cfg(target_arch = "x86_64")]
mod product;
#[cfg(target_arch = "x86_64")]
mod simd;
pub mod sites;
mod swiglu;
#[cfg(target_arch = "x86_64")]
mod tokens;

pub use error::ShapeError;
pub use swiglu::{ChannelMixing, Linear, Matrix, SwiGlu, TokenMixing, is_supported, tile_tokens};
