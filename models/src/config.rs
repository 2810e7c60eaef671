//! Architecture configs with the reference's field names, validated before anything is built.
//! Owns names, defaults and checks; leaves parsing of files and command lines to the programs.

use serde::{Deserialize, Serialize};

use crate::ModelError;

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
    /// Not at all (the MLP token mixer knows positions by itself).
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

/// Tiny Recursive Model (arXiv 2510.04871; `models/recursive_reasoning/trm.py` in the reference).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(non_snake_case, reason = "the reference's config field names are the user's interface")]
pub struct TrmConfig {
    /// Chance that a training row must go on thinking past its first halt.
    pub halt_exploration_prob: f64,
    /// Supervision steps per example.
    pub halt_max_steps: usize,
    /// Times `z_H` is updated per supervision step; only the last has gradients.
    pub H_cycles: usize,
    /// Times `z_L` is updated per H cycle.
    pub L_cycles: usize,
    /// Kept for the reference's files; TRM has no separate H module.
    pub H_layers: usize,
    /// Blocks of the one network.
    pub L_layers: usize,
    /// Width of an activation.
    pub hidden_size: usize,
    /// Attention heads.
    pub num_heads: usize,
    /// SwiGLU expansion before the 2/3 rule.
    pub expansion: f64,
    /// Width of a row of the puzzle-embedding table; 0: no puzzle embedding.
    pub puzzle_emb_ndim: usize,
    /// Positions that the puzzle embedding takes; 0: as many as `puzzle_emb_ndim` needs.
    pub puzzle_emb_len: usize,
    /// Position encoding.
    pub pos_encodings: PosEncodings,
    /// Type of the activations.
    pub forward_dtype: ForwardDtype,
    /// Mix tokens with an MLP in place of attention.
    pub mlp_t: bool,
    /// Halt on the sign of `q_halt` alone (the paper's choice).
    pub no_ACT_continue: bool,
    /// Epsilon of the RMS norms.
    pub rms_norm_eps: f64,
    /// Base of the rotary frequencies.
    pub rope_theta: f64,
    /// What the Q head reads (not in the reference, which reads the first position).
    pub q_head_input: QHeadInput,
}

impl Default for TrmConfig {
    /// `config/arch/trm.yaml` of the reference.
    fn default() -> Self {
        Self {
            halt_exploration_prob: 0.1,
            halt_max_steps: 16,
            H_cycles: 3,
            L_cycles: 6,
            H_layers: 0,
            L_layers: 2,
            hidden_size: 512,
            num_heads: 8,
            expansion: 4.0,
            puzzle_emb_ndim: 512,
            puzzle_emb_len: 16,
            pos_encodings: PosEncodings::Rope,
            forward_dtype: ForwardDtype::BFloat16,
            mlp_t: false,
            no_ACT_continue: true,
            rms_norm_eps: 1e-5,
            rope_theta: 10_000.0,
            q_head_input: QHeadInput::First,
        }
    }
}

/// The rotary tables are computed whenever a config is looked at; ARC's have 60,000 angles.
const MAX_ROPE_ANGLES: usize = 1 << 24;

impl TrmConfig {
    /// Positions before the first token: 0 without puzzle embedding (where the reference crashes unless
    /// `puzzle_emb_len` is set to 0 too), else `puzzle_emb_len`, else as many as the embedding fills.
    pub fn puzzle_positions(&self) -> usize {
        match (self.puzzle_emb_ndim, self.puzzle_emb_len) {
            (0, _) => 0,
            (ndim, 0) => ndim.div_ceil(self.hidden_size),
            (_, len) => len,
        }
    }

    /// Checks every field, alone and together.
    ///
    /// # Errors
    /// [`ModelError::Config`] naming the field and what to change.
    pub fn validate(&self, dims: &ModelDims) -> Result<(), ModelError> {
        // Bounds every product below, and the time and memory that a hostile manifest can ask for.
        let (widest, deepest) = (1 << 24, 1024);
        let sizes = [
            ("hidden_size", self.hidden_size, 1, widest),
            ("halt_max_steps", self.halt_max_steps, 1, deepest),
            ("H_cycles", self.H_cycles, 1, deepest),
            ("L_cycles", self.L_cycles, 1, deepest),
            ("L_layers", self.L_layers, 1, deepest),
            ("puzzle_emb_ndim", self.puzzle_emb_ndim, 0, widest),
            ("puzzle_emb_len", self.puzzle_emb_len, 0, widest),
            ("vocab_size", dims.vocab_size, 1, widest),
            ("seq_len", dims.seq_len, 1, widest),
            ("num_puzzle_identifiers", dims.num_puzzle_identifiers, 1, widest),
        ];
        for (field, value, least, most) in sizes {
            if value < least {
                return Err(ModelError::config(field, format!("is {value}, must be at least {least}")));
            }
            if value > most {
                return Err(ModelError::config(field, format!("is {value}, must be at most {most}")));
            }
        }
        if !(self.expansion > 0.0 && self.expansion <= 64.0) {
            return Err(ModelError::config("expansion", format!("is {}, must lie in (0, 64]", self.expansion)));
        }
        if !(0.0..=1.0).contains(&self.halt_exploration_prob) {
            let found = self.halt_exploration_prob;
            return Err(ModelError::config("halt_exploration_prob", format!("is {found}, must lie in [0, 1]")));
        }
        if !(self.rms_norm_eps > 0.0 && self.rms_norm_eps < 1.0) {
            return Err(ModelError::config("rms_norm_eps", format!("is {}, must lie in (0, 1)", self.rms_norm_eps)));
        }
        self.validate_attention(dims)?;
        let capacity = self.puzzle_positions() * self.hidden_size;
        if self.puzzle_emb_ndim > capacity {
            return Err(ModelError::config(
                "puzzle_emb_ndim",
                format!(
                    "is {}, but puzzle_emb_len {} x hidden_size {} holds only {capacity}; raise puzzle_emb_len or set it to 0",
                    self.puzzle_emb_ndim, self.puzzle_emb_len, self.hidden_size
                ),
            ));
        }
        if !self.no_ACT_continue {
            return Err(ModelError::config(
                "no_ACT_continue",
                "is False; TRM halts on q_halt alone (and the reference crashes in training otherwise): set it to True",
            ));
        }
        Ok(())
    }

    fn validate_attention(&self, dims: &ModelDims) -> Result<(), ModelError> {
        if self.mlp_t {
            return Ok(());
        }
        if self.num_heads == 0 || !self.hidden_size.is_multiple_of(self.num_heads) {
            return Err(ModelError::config(
                "num_heads",
                format!("is {}, must divide hidden_size {}", self.num_heads, self.hidden_size),
            ));
        }
        let head_dim = self.hidden_size / self.num_heads;
        if self.pos_encodings == PosEncodings::Rope {
            if !head_dim.is_multiple_of(2) {
                return Err(ModelError::config(
                    "num_heads",
                    format!(
                        "gives heads of odd width {head_dim}, which cannot be rotated; change num_heads or pos_encodings"
                    ),
                ));
            }
            if !(self.rope_theta > 1.0 && self.rope_theta.is_finite()) {
                return Err(ModelError::config("rope_theta", format!("is {}, must exceed 1", self.rope_theta)));
            }
            let angles = (dims.seq_len + self.puzzle_positions()) * head_dim;
            if angles > MAX_ROPE_ANGLES {
                return Err(ModelError::config(
                    "pos_encodings",
                    format!(
                        "is rope, whose table would hold {angles} angles, at most {MAX_ROPE_ANGLES}; check seq_len and num_heads"
                    ),
                ));
            }
        }
        Ok(())
    }
}
