//! Which stages of a speedrun are done, and how long they took: a text file that is replaced whole after each stage.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

const FILE: &str = "stages.txt";

/// The stages that are done.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    speedrun: String,
    done: Vec<(String, f64)>,
}

impl Journal {
    /// That of the speedrun in `folder`, which must be the one that is named.
    pub(super) fn open(folder: &Path, speedrun: &str) -> Result<Self> {
        let path = folder.join(FILE);
        let mut journal = Self { path, speedrun: speedrun.to_owned(), done: Vec::new() };
        if !journal.path.exists() {
            journal.save()?;
            return Ok(journal);
        }
        let text = fs::read_to_string(&journal.path)?;
        let mut lines = text.lines();
        let found = lines.next().unwrap_or_default();
        ensure!(
            found == speedrun,
            "{} is the folder of the speedrun `{found}`, not of `{speedrun}`; choose another --out",
            folder.display()
        );
        for line in lines {
            let entry =
                line.split_once(' ').and_then(|(stage, seconds)| Some((stage.to_owned(), seconds.parse().ok()?)));
            let entry = entry.with_context(|| format!("{}: `{line}` is not a stage", journal.path.display()))?;
            journal.done.push(entry);
        }
        Ok(journal)
    }

    /// How long `stage` took, if it is done.
    pub(super) fn seconds(&self, stage: &str) -> Option<f64> {
        self.done.iter().find(|(name, _)| name == stage).map(|&(_, seconds)| seconds)
    }

    /// Notes that `stage` is done; of one that was interrupted, `took` counts the last part.
    pub(super) fn done(&mut self, stage: &str, took: Duration) -> Result<()> {
        self.done.push((stage.to_owned(), took.as_secs_f64()));
        self.save()
    }

    fn save(&self) -> Result<()> {
        let stages = self.done.iter().map(|(stage, seconds)| format!("{stage} {seconds:.1}\n"));
        Ok(files::write(&self.path, format!("{}\n", self.speedrun) + &stages.collect::<String>())?)
    }
}
