//! What configs of all architectures are made of: sizes from the data, and the choices that several of them offer.
//! Leaves each config to its architecture's file, and checks to `outline`.

use serde::{Deserialize, Serialize};

/// What the data says about a model's size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "WrittenDims", into = "WrittenDims")]
pub struct ModelDims {
    /// Distinct tokens, padding included; of the largest board where there are `sizes`.
    pub vocab_size: usize,
    /// Tokens per example; of the largest board where there are `sizes`.
    pub seq_len: usize,
    /// Rows of the puzzle-embedding table.
    pub num_puzzle_identifiers: usize,
    /// Board sizes that a size-free model was trained on; `None` for models of one `seq_len`.
    pub sizes: Option<SizeRange>,
}

/// Board sizes from `least` to `greatest`: cells along a side of a square board. Written as `[least, greatest]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "(usize, usize)", into = "(usize, usize)")]
pub struct SizeRange {
    /// The smallest board.
    pub least: usize,
    /// The largest board.
    pub greatest: usize,
}

impl SizeRange {
    /// Largest side of a board that a size-free model is trained on.
    pub const MAX_SIDE: usize = 255;

    /// Whether boards of `side` were trained on.
    pub fn contains(self, side: usize) -> bool {
        (self.least..=self.greatest).contains(&side)
    }
}

impl From<(usize, usize)> for SizeRange {
    fn from((least, greatest): (usize, usize)) -> Self {
        Self { least, greatest }
    }
}

impl From<SizeRange> for (usize, usize) {
    fn from(SizeRange { least, greatest }: SizeRange) -> Self {
        (least, greatest)
    }
}

impl ModelDims {
    /// Sizes of data whose examples all have `seq_len` tokens.
    pub const fn fixed(vocab_size: usize, seq_len: usize, num_puzzle_identifiers: usize) -> Self {
        Self { vocab_size, seq_len, num_puzzle_identifiers, sizes: None }
    }
}

/// [`ModelDims`] as manifests have them: `sizes` in place of `seq_len` where there are any.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenDims {
    vocab_size: usize,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    seq_len: Option<usize>,
    num_puzzle_identifiers: usize,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sizes: Option<SizeRange>,
}

impl TryFrom<WrittenDims> for ModelDims {
    type Error = String;

    fn try_from(written: WrittenDims) -> Result<Self, String> {
        let WrittenDims { vocab_size, seq_len, num_puzzle_identifiers, sizes } = written;
        let seq_len = match (seq_len, sizes) {
            (Some(seq_len), None) => seq_len,
            (None, Some(SizeRange { least, greatest }))
                if (1..=greatest).contains(&least) && greatest <= SizeRange::MAX_SIDE =>
            {
                greatest * greatest
            }
            (None, Some(SizeRange { least, greatest })) => {
                return Err(format!(
                    "sizes: expected [least, greatest] with 1 <= least <= greatest <= {}, found [{least}, {greatest}]",
                    SizeRange::MAX_SIDE
                ));
            }
            (None, None) => return Err("missing field `seq_len` (or `sizes`, for models of boards of any size)".into()),
            (Some(_), Some(_)) => return Err("expected either `seq_len` or `sizes`, found both".into()),
        };
        Ok(Self { vocab_size, seq_len, num_puzzle_identifiers, sizes })
    }
}

impl From<ModelDims> for WrittenDims {
    fn from(dims: ModelDims) -> Self {
        let ModelDims { vocab_size, seq_len, num_puzzle_identifiers, sizes } = dims;
        Self { vocab_size, seq_len: sizes.is_none().then_some(seq_len), num_puzzle_identifiers, sizes }
    }
}

/// How a block lets tokens see each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mixer {
    /// Multi-head self-attention over all tokens.
    Attention,
    /// A SwiGLU over the token axis, whose length is fixed (`mlp_t` in the reference).
    Mlp,
    /// Pooling over the units of an exact cover (Sudoku): a state for each candidate, boards of any size.
    Units,
    /// A 3×3 depthwise stencil over neighbouring cells (mazes): a state for each cell, boards of any size.
    Local,
}

impl Mixer {
    /// Whether the weights do not depend on the size of the board.
    pub fn is_size_free(self) -> bool {
        matches!(self, Self::Units | Self::Local)
    }

    /// The mixer that a config names: `mixer` where it is set, else what `mlp_t` says.
    pub(crate) fn chosen(mixer: Option<Self>, mlp_t: bool) -> Self {
        mixer.unwrap_or(if mlp_t { Self::Mlp } else { Self::Attention })
    }
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
