//! What every architecture's config comes down to for the code that runs a model: widths, positions, halting.
//! Owns the checks that configs share; leaves fields, defaults and further checks to the architectures' files.

use crate::ModelError;
use crate::config::{ForwardDtype, HaltingRule, Mixer, ModelDims, PosEncodings, QHeadInput, SizeRange};

/// The view of a config that does not depend on its architecture.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Outline {
    /// Width of an activation.
    pub(crate) hidden_size: usize,
    /// Width of a row of the puzzle-embedding table; 0: no puzzle embedding.
    pub(crate) puzzle_emb_ndim: usize,
    /// Positions that the puzzle embedding takes; 0: as many as `puzzle_emb_ndim` needs.
    pub(crate) puzzle_emb_len: usize,
    /// Position encoding.
    pub(crate) pos_encodings: PosEncodings,
    /// Type of the activations.
    pub(crate) forward_dtype: ForwardDtype,
    /// What the Q head reads.
    pub(crate) q_head_input: QHeadInput,
    /// How blocks mix tokens.
    pub(crate) mixing: MixingOutline,
    /// Attention, for the architectures and settings that have it.
    pub(crate) attention: Option<AttentionOutline>,
    /// SwiGLU expansion, where there is one.
    pub(crate) expansion: Option<f64>,
    /// Epsilon of the norms.
    pub(crate) rms_norm_eps: f64,
    /// Halting.
    pub(crate) halting: HaltingOutline,
}

/// How blocks mix tokens, and what the structured mixers need to know.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct MixingOutline {
    /// The mixer.
    pub(crate) mixer: Mixer,
    /// Channels that each kind of unit pools under [`Mixer::Units`].
    pub(crate) pool_size: usize,
    /// Tokens of cells that take no part under [`Mixer::Local`]: padding and walls.
    pub(crate) blocked_tokens: Vec<usize>,
    /// Whether a second head predicts moves, under [`Mixer::Local`].
    pub(crate) move_head: bool,
}

impl MixingOutline {
    /// A mixer that needs to know nothing else.
    pub(crate) fn of(mixer: Mixer) -> Self {
        Self { mixer, pool_size: 0, blocked_tokens: Vec::new(), move_head: false }
    }
}

/// Heads and rotary positions.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct AttentionOutline {
    /// Attention heads.
    pub(crate) num_heads: usize,
    /// Base of the rotary frequencies.
    pub(crate) rope_theta: f64,
}

/// How rows come to their end.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct HaltingOutline {
    /// Most supervision steps of an example.
    pub(crate) halt_max_steps: usize,
    /// Chance that a training row must go on past its first halt.
    pub(crate) halt_exploration_prob: f64,
    /// When a row may halt.
    pub(crate) rule: HaltingRule,
    /// Whether `q_continue` is trained on the value of one more step.
    pub(crate) learns_q_continue: bool,
    /// Whether training rows may halt before the limit.
    pub(crate) act_enabled: bool,
    /// Whether rows may halt before the limit when a model is evaluated.
    pub(crate) act_inference: bool,
}

impl HaltingOutline {
    /// Halting as the architectures with `no_ACT_continue` do it: what is not learned is not compared with either.
    pub(crate) fn new(halt_max_steps: usize, halt_exploration_prob: f64, no_act_continue: bool) -> Self {
        Self {
            halt_max_steps,
            halt_exploration_prob,
            rule: HaltingRule::of(no_act_continue),
            learns_q_continue: !no_act_continue,
            act_enabled: true,
            act_inference: false,
        }
    }
}

/// The rotary tables are computed whenever a config is looked at; ARC's have 60,000 angles.
const MAX_ROPE_ANGLES: usize = 1 << 24;
/// Bounds every product of sizes, and the memory that a hostile manifest can ask for.
const WIDEST: usize = 1 << 24;
/// Bounds the time that a hostile manifest can ask for.
const DEEPEST: usize = 1024;

impl Outline {
    /// Positions before the first token: 0 without puzzle embedding (where the reference crashes unless
    /// `puzzle_emb_len` is set to 0 too), else `puzzle_emb_len`, else as many as the embedding fills.
    pub(crate) fn puzzle_positions(&self) -> usize {
        match (self.puzzle_emb_ndim, self.puzzle_emb_len) {
            (0, _) => 0,
            (ndim, 0) => ndim.div_ceil(self.hidden_size),
            (_, len) => len,
        }
    }

    /// Checks every common field, alone and together.
    ///
    /// # Errors
    /// [`ModelError::Config`] naming the field and what to change.
    pub(crate) fn validate(&self, dims: &ModelDims) -> Result<(), ModelError> {
        check_depths(&[("halt_max_steps", self.halting.halt_max_steps)])?;
        check_widths(&[
            ("hidden_size", self.hidden_size),
            ("vocab_size", dims.vocab_size),
            ("seq_len", dims.seq_len),
            ("num_puzzle_identifiers", dims.num_puzzle_identifiers),
        ])?;
        for (field, value) in [("puzzle_emb_ndim", self.puzzle_emb_ndim), ("puzzle_emb_len", self.puzzle_emb_len)] {
            check_range(field, value, 0, WIDEST)?;
        }
        if let Some(expansion) = self.expansion
            && !(expansion > 0.0 && expansion <= 64.0)
        {
            return Err(ModelError::config("expansion", format!("is {expansion}, must lie in (0, 64]")));
        }
        let probability = self.halting.halt_exploration_prob;
        if !(0.0..=1.0).contains(&probability) {
            return Err(ModelError::config("halt_exploration_prob", format!("is {probability}, must lie in [0, 1]")));
        }
        if !(self.rms_norm_eps > 0.0 && self.rms_norm_eps < 1.0) {
            return Err(ModelError::config("rms_norm_eps", format!("is {}, must lie in (0, 1)", self.rms_norm_eps)));
        }
        if let Some(attention) = &self.attention {
            self.validate_attention(attention, dims)?;
        }
        self.validate_mixer(dims)?;
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
        Ok(())
    }

    /// What a size-free mixer leaves no choice about, and what only it has.
    fn validate_mixer(&self, dims: &ModelDims) -> Result<(), ModelError> {
        let MixingOutline { mixer, pool_size, blocked_tokens, move_head } = &self.mixing;
        if *move_head && *mixer != Mixer::Local {
            return Err(ModelError::config("move_head", "is for mazes under mixer=local; unset it or set mixer=local"));
        }
        let name = match (mixer, dims.sizes) {
            (Mixer::Attention | Mixer::Mlp, None) => return Ok(()),
            (Mixer::Attention | Mixer::Mlp, Some(_)) => {
                let problem =
                    "has weights for one board size, but the model names several; set mixer to units or local";
                return Err(ModelError::config("mixer", problem));
            }
            (Mixer::Units | Mixer::Local, None) => {
                let problem =
                    "takes boards of any size, but the model names one seq_len; name the sizes that it is for";
                return Err(ModelError::config("mixer", problem));
            }
            (Mixer::Units, Some(_)) => "units",
            (Mixer::Local, Some(_)) => "local",
        };
        let only = |field: &'static str, holds: bool, value: &str| {
            let problem = || ModelError::config(field, format!("must be {value} under mixer={name}"));
            holds.then_some(()).ok_or_else(problem)
        };
        if *mixer == Mixer::Units {
            only("puzzle_emb_ndim", self.puzzle_emb_ndim == 0, "0")?;
        }
        only(
            "puzzle_emb_len",
            self.puzzle_positions() <= 1,
            "1: one row of hidden_size numbers is added to every cell, so",
        )?;
        only("pos_encodings", self.pos_encodings == PosEncodings::None, "none")?;
        only("q_head_input", self.q_head_input == QHeadInput::Mean, "mean")?;
        if *mixer == Mixer::Units {
            check_range("pool_size", *pool_size, 2, WIDEST)?;
        }
        if !pool_size.is_multiple_of(2) {
            let problem =
                format!("is {pool_size}, must be even: half of the channels are summed, half give their maximum");
            return Err(ModelError::config("pool_size", problem));
        }
        if let Some(token) = blocked_tokens.iter().find(|&&token| token >= dims.vocab_size) {
            let problem = format!("has {token}, which is none of the tokens 0 to {}", dims.vocab_size - 1);
            return Err(ModelError::config("blocked_tokens", problem));
        }
        let side = dims.seq_len.isqrt();
        if side * side != dims.seq_len || side > SizeRange::MAX_SIDE {
            let problem = format!(
                "is {name}, which takes square boards of at most {0} x {0} cells, found {1} tokens",
                SizeRange::MAX_SIDE,
                dims.seq_len
            );
            return Err(ModelError::config("mixer", problem));
        }
        if *mixer == Mixer::Units && dims.vocab_size != side + 2 {
            let problem = format!(
                "is units, which takes {side} digits, blank and padding on a board of {side} x {side}, found {} tokens",
                dims.vocab_size
            );
            return Err(ModelError::config("mixer", problem));
        }
        Ok(())
    }

    fn validate_attention(&self, attention: &AttentionOutline, dims: &ModelDims) -> Result<(), ModelError> {
        let AttentionOutline { num_heads, rope_theta } = *attention;
        if num_heads == 0 || num_heads > self.hidden_size {
            return Err(ModelError::config(
                "num_heads",
                format!("is {num_heads}, must lie in 1..={} (hidden_size), and best divide it", self.hidden_size),
            ));
        }
        if self.pos_encodings != PosEncodings::Rope {
            return Ok(());
        }
        let head_dim = self.hidden_size / num_heads;
        if !head_dim.is_multiple_of(2) {
            return Err(ModelError::config(
                "num_heads",
                format!(
                    "is {num_heads}, which gives heads of odd width {head_dim} at hidden_size {}: they cannot be rotated; change num_heads or pos_encodings",
                    self.hidden_size
                ),
            ));
        }
        if !(rope_theta > 1.0 && rope_theta.is_finite()) {
            return Err(ModelError::config("rope_theta", format!("is {rope_theta}, must exceed 1")));
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
        Ok(())
    }
}

/// Checks widths of tensors.
pub(crate) fn check_widths(fields: &[(&'static str, usize)]) -> Result<(), ModelError> {
    fields.iter().try_for_each(|&(field, value)| check_range(field, value, 1, WIDEST))
}

/// Checks numbers of layers, cycles and steps.
pub(crate) fn check_depths(fields: &[(&'static str, usize)]) -> Result<(), ModelError> {
    fields.iter().try_for_each(|&(field, value)| check_range(field, value, 1, DEEPEST))
}

fn check_range(field: &'static str, value: usize, least: usize, most: usize) -> Result<(), ModelError> {
    if value < least {
        return Err(ModelError::config(field, format!("is {value}, must be at least {least}")));
    }
    if value > most {
        return Err(ModelError::config(field, format!("is {value}, must be at most {most}")));
    }
    Ok(())
}
