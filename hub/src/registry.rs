//! What is published for this family of models, by short names. Owns which file of which repository is what, and the
//! settings that the file itself does not hold; leaves whatever its tensors say to the import, which never trusts a
//! name: some of these files are called after the other variant.

use crate::{FileReference, HubError, RepositoryKind};

/// A published checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublishedModel {
    /// Short name.
    pub name: &'static str,
    /// `owner/name` on the hub.
    pub repository: &'static str,
    /// File in the repository.
    pub file: &'static str,
    /// Branch, tag or commit.
    pub revision: &'static str,
    /// The run's own config in the repository, where it is published.
    pub config: Option<&'static str>,
    /// Our name of the architecture.
    pub architecture: &'static str,
    /// What the tokens mean.
    pub task: &'static str,
    /// Settings of the architecture that tensors do not show.
    pub settings: &'static [(&'static str, Setting)],
    /// Accuracy as published.
    pub accuracy: Option<Accuracy>,
    /// Licence as the repository names it.
    pub licence: &'static str,
    /// What else one should know.
    pub note: &'static str,
}

/// Value of a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setting {
    /// A count.
    Number(u64),
    /// A choice.
    Word(&'static str),
}

/// A published figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accuracy {
    /// With the metric and its error, as the source writes it.
    pub value: &'static str,
    /// Who says so.
    pub source: &'static str,
}

/// A published data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublishedDataset {
    /// Short name.
    pub name: &'static str,
    /// `owner/name` on the hub.
    pub repository: &'static str,
    /// Files in the repository.
    pub files: &'static [&'static str],
    /// Branch, tag or commit.
    pub revision: &'static str,
    /// What the tokens mean.
    pub task: &'static str,
    /// Licence as the repository names it.
    pub licence: &'static str,
    /// What is in it.
    pub note: &'static str,
}

const UNKNOWN: &str = "unknown";
const REPRODUCTION: &str = "REPORT.md of github.com/alphaXiv/TinyRecursiveModels";

const DEEP: &[(&str, Setting)] = &[
    ("H_cycles", Setting::Number(3)),
    ("L_cycles", Setting::Number(6)),
    ("halt_max_steps", Setting::Number(16)),
    ("num_heads", Setting::Number(8)),
    ("pos_encodings", Setting::Word("rope")),
    ("puzzle_emb_len", Setting::Number(16)),
];
const SHALLOW: &[(&str, Setting)] = &[
    ("H_cycles", Setting::Number(3)),
    ("L_cycles", Setting::Number(4)),
    ("halt_max_steps", Setting::Number(16)),
    ("num_heads", Setting::Number(8)),
    ("pos_encodings", Setting::Word("rope")),
    ("puzzle_emb_len", Setting::Number(16)),
];

const SUDOKU: PublishedModel = PublishedModel {
    name: "",
    repository: "alphaXiv/trm-model-sudoku",
    file: "",
    revision: "main",
    config: None,
    architecture: "trm",
    task: "sudoku",
    settings: DEEP,
    accuracy: None,
    licence: UNKNOWN,
    note: "",
};

/// Every published checkpoint that is known here.
pub const MODELS: &[PublishedModel] = &[
    PublishedModel {
        name: "trm-sudoku-mlp",
        file: "step_39060_sudoku_60k_epoch_attn_type",
        accuracy: Some(Accuracy { value: "75.57 % ± 0.13 exact accuracy", source: REPRODUCTION }),
        note: "token mixing by an MLP, though its file is called attn_type; 60,000 epochs",
        ..SUDOKU
    },
    PublishedModel {
        name: "trm-sudoku-att",
        file: "step_39060_sudoku_epoch_60k",
        accuracy: Some(Accuracy { value: "73.66 % ± 0.13 exact accuracy", source: REPRODUCTION }),
        note: "attention; 60,000 epochs",
        ..SUDOKU
    },
    PublishedModel {
        name: "trm-sudoku-50k",
        file: "step_32550_sudoku_epoch50k",
        note: "50,000 epochs; which variant it is, its tensors say (79.37 % reported for MLP, 69.69 % for attention)",
        ..SUDOKU
    },
    PublishedModel {
        name: "trm-sudoku-gar",
        repository: "MaximeILL/GAR_ckpts",
        file: "TRM-MLP-Sudoku-Extreme.pt",
        config: Some("TRM-MLP-Sudoku-Extreme.yaml"),
        note: "token mixing by an MLP",
        ..SUDOKU
    },
    PublishedModel {
        name: "trm-maze",
        repository: "alphaXiv/trm-model-maze",
        file: "maze_hard_step_32550",
        task: "maze",
        settings: SHALLOW,
        accuracy: Some(Accuracy { value: "83.67 % ± 2.28 exact accuracy", source: REPRODUCTION }),
        note: "attention, H3 L4; 50,000 epochs",
        ..SUDOKU
    },
    PublishedModel {
        name: "trm-maze-sanjin",
        repository: "Sanjin2024/TinyRecursiveModel-Maze-Hard",
        file: "step_9765",
        task: "maze",
        settings: SHALLOW,
        note: "attention; cycles are those of the reference's recipe for mazes",
        ..SUDOKU
    },
    PublishedModel {
        name: "trm-arc1-h3l4",
        repository: "alphaXiv/trm-model-arc-agi-1",
        file: "step_259320_arc_ag1_attn_type_h3l4",
        task: "arc",
        settings: SHALLOW,
        accuracy: Some(Accuracy { value: "43.00 % ± 0.16 pass@2", source: REPRODUCTION }),
        note: "attention, H3 L4; puzzle table of 876,406 rows (1.8 GB)",
        ..SUDOKU
    },
    PublishedModel {
        name: "trm-arc1-verification",
        repository: "arcprize/trm_arc_prize_verification",
        file: "arc_v1_public/step_518071",
        config: Some("arc_v1_public/all_config.yaml"),
        task: "arc",
        settings: &[],
        note: "attention; the run that the ARC Prize verified on ARC-AGI-1; settings from its own config",
        ..SUDOKU
    },
    PublishedModel {
        name: "trm-arc2-verification",
        repository: "arcprize/trm_arc_prize_verification",
        file: "arc_v2_public/step_723914",
        config: Some("arc_v2_public/all_config.yaml"),
        task: "arc",
        settings: &[],
        note: "attention; the run that the ARC Prize verified on ARC-AGI-2; settings from its own config",
        ..SUDOKU
    },
];

/// Every published data set that is known here.
pub const DATASETS: &[PublishedDataset] = &[
    PublishedDataset {
        name: "sudoku-extreme",
        repository: "sapientinc/sudoku-extreme",
        files: &["train.csv", "test.csv"],
        revision: "main",
        task: "sudoku",
        licence: UNKNOWN,
        note: "3.8 million puzzles for training, 423 thousand for testing; columns source, question, answer, rating",
    },
    PublishedDataset {
        name: "maze-hard",
        repository: "sapientinc/maze-30x30-hard-1k",
        files: &["train.csv", "test.csv"],
        revision: "main",
        task: "maze",
        licence: UNKNOWN,
        note: "1,000 mazes of 30x30 for training, 1,000 for testing; columns source, question, answer, rating",
    },
];

/// The published checkpoint of this short name.
pub fn model(name: &str) -> Option<&'static PublishedModel> {
    MODELS.iter().find(|model| model.name == name)
}

/// The published checkpoint that is this file, if it is one.
pub fn model_of(reference: &FileReference) -> Option<&'static PublishedModel> {
    MODELS.iter().find(|model| model.repository == reference.repository() && model.file == reference.file())
}

/// The published data set of this short name.
pub fn dataset(name: &str) -> Option<&'static PublishedDataset> {
    DATASETS.iter().find(|dataset| dataset.name == name)
}

/// The checkpoint that stands for a task where somebody asks for "the published one".
pub fn model_for_task(task: &str) -> Option<&'static PublishedModel> {
    MODELS.iter().find(|model| model.task == task)
}

impl PublishedModel {
    /// Its file on the hub.
    ///
    /// # Errors
    /// Never for the entries of [`MODELS`].
    pub fn reference(&self) -> Result<FileReference, HubError> {
        FileReference::new(RepositoryKind::Model, self.repository, self.file, self.revision)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_unique_and_files_can_be_named() {
        let names: BTreeSet<_> =
            MODELS.iter().map(|model| model.name).chain(DATASETS.iter().map(|set| set.name)).collect();
        assert_eq!(names.len(), MODELS.len() + DATASETS.len());
        for model in MODELS {
            let reference = model.reference().unwrap();
            assert_eq!(model_of(&reference), Some(model));
            assert_eq!(super::model(model.name), Some(model));
            if let Some(config) = model.config {
                reference.sibling(config).unwrap();
            }
        }
        for set in DATASETS {
            for file in set.files {
                FileReference::new(RepositoryKind::Dataset, set.repository, file, set.revision).unwrap();
            }
        }
        assert_eq!(model_for_task("sudoku").map(|model| model.name), Some("trm-sudoku-mlp"));
    }
}
