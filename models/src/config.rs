//! What configs of all architectures are made of: sizes from the data, and the choices that several of them offer.
//! Leaves each config to its architecture's file, and checks to `outline`.

use serde::{Deserialize, Serialize};

/// What the data says about a model's size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelDims {
    /// Distinct tokens, padding included.
    pub vocab_size: usize,
    /// Tokens per example.
    pub seq_len: usize,
    /// Rows of the puzzle-embedding table.
    pub num_puzzle_identifiers: usize,
}

/// How positions are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PosEncodings {
    /// Rotary embedding of queries and keys.
    Rope,
    /// A learned table added to the input embedding.
    Learned,
    /// Not at all (the MLP token mixer and the LSTM know positions by themselves).
    None,
}

/// The type that activations are computed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ForwardDtype {
    /// 8-bit exponent, 8-bit significand: the reference's default.
    BFloat16,
    /// Single precision.
    Float32,
}

/// What the Q head reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum QHeadInput {
    /// Position 0, as the reference: a puzzle-embedding position where there is one, else the first cell.
    #[default]
    First,
    /// The mean over all positions; steadier for models without puzzle embedding.
    Mean,
}

/// When a row may halt before the step limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HaltingRule {
    /// `q_halt > 0`: the answer is more likely right than wrong (`no_ACT_continue`).
    QHalt,
    /// `q_halt > q_continue`: halting is worth more than going on.
    QHaltOverContinue,
}

impl HaltingRule {
    pub(crate) fn of(no_act_continue: bool) -> Self {
        if no_act_continue { Self::QHalt } else { Self::QHaltOverContinue }
    }
}
