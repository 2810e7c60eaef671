//! The configurations that benchmarks time, by name. Owns nothing but the list: the published models' and the small
//! one's sizes, and the shipped models' as their manifests say.

use crate::{ArchitectureConfig, Manifest, ModelDims, ModelError, PosEncodings, QHeadInput, TrmConfig};

/// A model that is timed.
#[derive(Debug, Clone, PartialEq)]
pub struct BenchmarkConfig {
    /// What `--config` calls it.
    pub name: &'static str,
    /// What it is, in a line.
    pub description: &'static str,
    /// Architecture.
    pub arch: ArchitectureConfig,
    /// Sizes from the data.
    pub dims: ModelDims,
    /// What the tokens mean: `sudoku`, `maze` or `arc`.
    pub task: &'static str,
    /// Rows of a training batch.
    pub batch_size: usize,
}

impl BenchmarkConfig {
    /// Every name, in the order in which they are timed.
    pub const NAMES: [&'static str; 10] = [
        "sudoku",
        "maze",
        "arc",
        "sudoku-4x4",
        "sudoku-9x9",
        "maze-10x10",
        "small",
        "sudoku-mlp",
        "sudoku-attention",
        "maze-attention",
    ];

    /// The configurations called `names`; those called `default` where none is named, and every one for `all`.
    ///
    /// # Errors
    /// As [`named`](Self::named).
    pub fn selected(names: &[String], default: &[&str]) -> Result<Vec<Self>, ModelError> {
        if names.iter().any(|name| name == "all") {
            return Self::NAMES.into_iter().map(Self::named).collect();
        }
        if names.is_empty() {
            return default.iter().copied().map(Self::named).collect();
        }
        names.iter().map(|name| Self::named(name)).collect()
    }

    /// The configuration of that name.
    ///
    /// # Errors
    /// [`ModelError::Config`] listing the names.
    pub fn named(name: &str) -> Result<Self, ModelError> {
        let published =
            TrmConfig { mlp_t: true, pos_encodings: PosEncodings::None, puzzle_emb_len: 16, ..TrmConfig::default() };
        let small = TrmConfig {
            hidden_size: 128,
            num_heads: 4,
            puzzle_emb_ndim: 0,
            puzzle_emb_len: 0,
            q_head_input: QHeadInput::Mean,
            ..published.clone()
        };
        let attention = TrmConfig { mlp_t: false, pos_encodings: PosEncodings::Rope, ..published.clone() };
        let maze = ModelDims { vocab_size: 6, seq_len: 900, num_puzzle_identifiers: 1, sizes: None };
        let of = |name, description, arch, batch_size| Self {
            name,
            description,
            arch: ArchitectureConfig::Trm(arch),
            dims: ModelDims { vocab_size: 11, seq_len: 81, num_puzzle_identifiers: 1, sizes: None },
            task: "sudoku",
            batch_size,
        };
        Ok(match name {
            "sudoku" => {
                let model =
                    shipped("sudoku", "the shipped Sudoku model on 9x9: units mixing", "sudoku", SHIPPED_SUDOKU)?;
                model.on_boards_of(9, 32)
            }
            "maze" => {
                let model = shipped("maze", "the shipped maze model on 30x30: local mixing", "maze", SHIPPED_MAZE)?;
                model.on_boards_of(30, 16)
            }
            "arc" => {
                let description = "the shipped ARC model: local mixing, a puzzle embedding on every cell";
                Self { batch_size: 32, ..shipped("arc", description, "arc", SHIPPED_ARC)? }
            }
            "sudoku-4x4" => shipped("sudoku-4x4", "the shipped 4x4 model: hidden 64, H2 L3", "sudoku", SHIPPED_4X4)?,
            "sudoku-9x9" => shipped("sudoku-9x9", "the shipped 9x9 model: hidden 128, H2 L3", "sudoku", SHIPPED_9X9)?,
            "maze-10x10" => shipped(
                "maze-10x10",
                "the shipped maze model: hidden 128, H2 L3, attention",
                "maze",
                SHIPPED_MAZE_10X10,
            )?,
            "small" => of("small", "hidden 128, H3 L6, 81 tokens, token mixing", small, 64),
            "sudoku-mlp" => of("sudoku-mlp", "the published Sudoku model: hidden 512, H3 L6, 97 tokens", published, 16),
            "sudoku-attention" => of("sudoku-attention", "the same with attention", attention, 16),
            "maze-attention" => Self {
                dims: maze,
                task: "maze",
                ..of(
                    "maze-attention",
                    "the published maze model: hidden 512, H3 L4, 916 tokens",
                    TrmConfig { L_cycles: 4, ..attention },
                    1,
                )
            },
            _ => {
                let names = Self::NAMES.join(", ");
                let problem = format!("unknown configuration `{name}`; expected one of {names}");
                return Err(ModelError::config("config", problem));
            }
        })
    }

    /// The model of a size-free mixer on boards of `side` × `side`, in batches of `batch_size` rows.
    fn on_boards_of(self, side: usize, batch_size: usize) -> Self {
        Self { dims: self.arch.dims_at(&self.dims, side), batch_size, ..self }
    }
}

const SHIPPED_4X4: &str = include_str!("../../shipped/sudoku-4x4/manifest.json");
const SHIPPED_9X9: &str = include_str!("../../shipped/sudoku-9x9/manifest.json");
const SHIPPED_MAZE_10X10: &str = include_str!("../../shipped/maze-10x10/manifest.json");
const SHIPPED_SUDOKU: &str = include_str!("../../shipped/sudoku/manifest.json");
const SHIPPED_ARC: &str = include_str!("../../shipped/arc/manifest.json");
const SHIPPED_MAZE: &str = include_str!("../../shipped/maze/manifest.json");

fn shipped(
    name: &'static str,
    description: &'static str,
    task: &'static str,
    manifest: &'static str,
) -> Result<BenchmarkConfig, ModelError> {
    let manifest: Manifest = serde_json::from_str(manifest).map_err(|error| ModelError::Format {
        path: format!("models/shipped/{name}/manifest.json").into(),
        problem: error.to_string(),
    })?;
    Ok(BenchmarkConfig { name, description, arch: manifest.arch, dims: manifest.dims, task, batch_size: 64 })
}
