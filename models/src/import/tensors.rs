//! What the names and shapes of a reference's state dict say about its model.
//! The names are those of `models/recursive_reasoning/*.py`; file names are not asked, for they are often wrong.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::ImportError;
use crate::checkpoint::{Dtype, WeightFile};
use crate::layers::swiglu_inner_size;

/// Layers of a module; bounds the work that a hostile file can ask for.
const MAX_LAYERS: usize = 1024;
/// Names that a message lists.
const SHOWN_NAMES: usize = 5;

/// What names and shapes settle.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensors {
    /// Name of the architecture.
    pub arch: &'static str,
    /// Fields of its config, by name.
    pub fields: BTreeMap<&'static str, Value>,
    /// Rows of the token embedding.
    pub vocab_size: usize,
    /// Width of an activation.
    pub hidden_size: usize,
    /// Rows of the puzzle table; `None` without one.
    pub num_puzzle_identifiers: Option<usize>,
    /// `seq_len` and the positions of the puzzle embedding together, where a tensor has that length.
    pub tokens: Option<usize>,
    /// `(width, inner width)` of each kind of SwiGLU.
    swiglus: Vec<(usize, usize)>,
    /// Rows of the projection to queries, keys and values, where there is attention.
    qkv_rows: Option<usize>,
}

impl Tensors {
    /// Looks at the names and shapes of `file`.
    ///
    /// # Errors
    /// [`ImportError::Unrecognised`] naming what is absent.
    pub fn of(file: &WeightFile) -> Result<Self, ImportError> {
        let shapes: BTreeMap<&str, &[usize]> = file.tensors().collect();
        let refused =
            |problem: String| ImportError::Unrecognised { origin: file.path().display().to_string(), problem };
        let Some(&&[vocab_size, hidden_size]) = shapes.get("inner.embed_tokens.embedding_weight") else {
            let names: Vec<_> = shapes.keys().take(SHOWN_NAMES).copied().collect();
            return Err(refused(format!(
                "holds no matrix `inner.embed_tokens.embedding_weight`, so these are not the weights of a recursive reasoner of the reference; found {} tensors: {} …",
                shapes.len(),
                names.join(", ")
            )));
        };
        let depth = |module: &str| layers(&shapes, module);
        let (h_layers, l_layers) = (depth("H_level"), depth("L_level"));
        let has = |name: &str| shapes.contains_key(name);
        let arch = match (h_layers, l_layers) {
            (0, 0) => {
                return Err(refused(
                    "holds neither `inner.L_level.layers.0` nor `inner.H_level.layers.0`: an architecture that is not imported".into(),
                ));
            }
            (_, 0) => "transformers_baseline",
            (0, _) if has("inner.L1_init") => "trm_hier6",
            (0, _) if has("inner.H_init") => "trm",
            (0, _) => "trm_singlez",
            _ => "hrm",
        };
        let block = if l_layers > 0 { "inner.L_level.layers.0" } else { "inner.H_level.layers.0" };
        let shape_of = |name: &str| shapes.get(format!("{block}.{name}").as_str()).copied();
        let mixing = shape_of("mlp_t.gate_up_proj.weight");

        let mut fields = BTreeMap::from([("hidden_size", json!(hidden_size)), ("H_layers", json!(h_layers))]);
        if arch != "transformers_baseline" {
            fields.insert("L_layers", json!(l_layers));
            fields.insert("mlp_t", json!(mixing.is_some()));
        }
        let table = match shapes.get("inner.puzzle_emb.weights") {
            Some(&&[rows, width]) => Some((rows, width)),
            _ => None,
        };
        fields.insert("puzzle_emb_ndim", json!(table.map_or(0, |(_, width)| width)));
        let positions = shapes.get("inner.embed_pos.embedding_weight").and_then(|shape| shape.first().copied());
        if positions.is_some() {
            fields.insert("pos_encodings", json!("learned"));
        } else if mixing.is_some() {
            // Whatever the config says: without attention nothing is rotated.
            fields.insert("pos_encodings", json!("none"));
        }
        let rotary = shapes.iter().find(|(name, _)| name.ends_with("rotary_emb.cos_cached")).map(|(_, shape)| *shape);
        if let Some(&[_, head_dim]) = rotary
            && head_dim > 0
            && hidden_size.is_multiple_of(head_dim)
        {
            fields.insert("num_heads", json!(hidden_size / head_dim));
            fields.insert("pos_encodings", json!("rope"));
        }
        if let Some(dtype) = forward_dtype(file) {
            fields.insert("forward_dtype", json!(dtype));
        }
        let tokens = positions.or_else(|| mixing.and_then(|shape| shape.get(1).copied())).or_else(|| {
            // The rotary table is as long as the sequence.
            rotary.and_then(|shape| shape.first().copied())
        });
        let inner = |shape: Option<&[usize]>| match shape {
            Some(&[rows, width]) => Some((width, rows / 2)),
            _ => None,
        };
        let swiglus = [inner(shape_of("mlp.gate_up_proj.weight")), inner(mixing)].into_iter().flatten().collect();
        Ok(Self {
            arch,
            fields,
            vocab_size,
            hidden_size,
            num_puzzle_identifiers: table.map(|(rows, _)| rows),
            tokens,
            swiglus,
            qkv_rows: shape_of("self_attn.qkv_proj.weight").and_then(|shape| shape.first().copied()),
        })
    }

    /// Whether attention with this many heads has the file's widths; without attention any number does.
    pub fn fits_heads(&self, num_heads: usize) -> bool {
        let width = |num_heads: usize| Some(3 * num_heads * self.hidden_size.checked_div(num_heads)?);
        self.qkv_rows.is_none_or(|rows| num_heads <= self.hidden_size && width(num_heads) == Some(rows))
    }

    /// Whether `expansion` gives every SwiGLU its inner width; many do, for the width is rounded up to 256.
    pub fn fits_expansion(&self, expansion: f64) -> bool {
        expansion > 0.0
            && expansion <= 64.0
            && self.swiglus.iter().all(|&(width, inner)| swiglu_inner_size(width, expansion) == inner)
    }

    /// An expansion that fits: 4 where it does, else a round number, else the one that the widths give.
    pub fn expansion(&self) -> Option<f64> {
        let round = (1..=32).map(|halves| f64::from(halves) / 2.0);
        let exact = self.swiglus.iter().map(|&(width, inner)| inner as f64 * 1.5 / width.max(1) as f64);
        std::iter::once(4.0).chain(round).chain(exact).find(|&expansion| self.fits_expansion(expansion))
    }
}

/// How many layers the module has, counted up to the first gap.
fn layers(shapes: &BTreeMap<&str, &[usize]>, module: &str) -> usize {
    (0..MAX_LAYERS)
        .take_while(|layer| {
            let prefix = format!("inner.{module}.layers.{layer}.");
            shapes.range(prefix.as_str()..).next().is_some_and(|(name, _)| name.starts_with(&prefix))
        })
        .count()
}

/// The reference stores its initial states, and nothing else, in the type that it computes in.
fn forward_dtype(file: &WeightFile) -> Option<&'static str> {
    let layout = ["inner.H_init", "inner.L_init"].iter().find_map(|name| file.layout(name).ok())?;
    match layout.dtype {
        Dtype::BF16 => Some("bfloat16"),
        Dtype::F32 => Some("float32"),
        _ => None,
    }
}
