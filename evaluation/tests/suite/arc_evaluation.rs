//! ARC's evaluation: killed and resumed, shared out and merged, and what it writes against votes that are
//! counted here.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use datasets::scoring::predictions::PredictionSource;
use datasets::scoring::{ArcScorer, DEFAULT_PASS_KS};
use datasets::sudoku::SudokuShape;
use engine::arc::TaskIndex;
use engine::arc::held_out::{predict, rows_of};
use engine::registry::{EngineLimits, ServedModel};
use engine::session_options;
use engine::{Batching, EngineError};
use serde_json::Value;
use tempfile::TempDir;

use crate::arc_checkpoint::checkpoint;
use crate::arc_world::{STEPS, dataset_of};
use crate::evaluation::{done, refused, text, wait_for_block};
use crate::random_checkpoint::write_random;

/// Augmentations of each task besides itself: five blocks of rows.
const NUM_AUG: usize = 100;
/// Two held-out tasks, of which one has two test pairs, each with so many copies.
const ROWS: usize = 3 * (1 + NUM_AUG);

/// A model and its data set.
struct World {
    folder: TempDir,
    checkpoint: PathBuf,
    data: PathBuf,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        // An evaluation needs no examples.
        let data = dataset_of(folder.path(), true, NUM_AUG);
        let checkpoint = checkpoint(folder.path(), 1 + 3 * (1 + NUM_AUG));
        Self { folder, checkpoint, data }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The program with these arguments.
    fn eval(&self, out: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_speedrun-inference"));
        command.arg("arc1").args(self.arguments(out)).args(arguments);
        command
    }

    fn arguments(&self, out: &str) -> Vec<String> {
        let of = |path: &Path| text(path).to_owned();
        let named = |flag: &str, value: String| [format!("--{flag}"), value];
        let flags = [
            named("checkpoint", of(&self.checkpoint)),
            named("data", of(&self.data)),
            named("out", of(&self.at(out))),
            named("threads", "1".into()),
        ];
        flags.into_iter().flatten().collect()
    }

    fn merge(&self, shards: &[&str], out: &str) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_speedrun-inference"));
        let shards = shards.iter().map(|shard| self.at(shard));
        command.arg("merge").args(shards).arg("--out").arg(self.at(out)).output().unwrap()
    }

    fn report(&self, out: &str) -> Value {
        serde_json::from_slice(&fs::read(self.at(out).join("report.json")).unwrap()).unwrap()
    }

    fn submission(&self, out: &str) -> String {
        fs::read_to_string(self.at(out).join("submission.json")).unwrap()
    }

    /// What must not depend on how often a run was interrupted or shared out: everything but times and the command.
    fn figures(&self, out: &str) -> Value {
        let mut report = self.report(out);
        for time in ["seconds", "command"] {
            assert!(report.as_object_mut().unwrap().shift_remove(time).is_some(), "{time}");
        }
        report
    }
}

#[test]
fn an_arc_evaluation_is_killed_resumed_and_merged_to_the_same_bits() {
    let world = World::new();
    let said = done(world.eval("whole", &[]));
    assert!(said.contains(&format!("rows     {ROWS} (")), "{said}");
    assert_eq!(world.report("whole")["report"]["coverage"]["rows"].as_u64(), Some(ROWS as u64));

    let log = world.at("killed/log/arc.jsonl");
    let mut process = world.eval("killed", &[]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    wait_for_block(&mut process, &log);
    // SIGKILL.
    process.kill().unwrap();
    process.wait().unwrap();
    assert!(!world.at("killed/report.json").exists());
    let until_kill = fs::read_to_string(&log).unwrap();
    let (sealed, _) = until_kill.rsplit_once("{\"block\":").unwrap();
    done(world.eval("killed", &[]));
    assert!(fs::read_to_string(&log).unwrap().starts_with(sealed), "what was saved was asked again");
    assert_eq!(world.figures("killed"), world.figures("whole"));
    assert_eq!(world.submission("killed"), world.submission("whole"));

    for shard in ["1", "2"] {
        let said = done(world.eval(shard, &["--shard", &format!("{shard}/2")]));
        assert!(said.contains("server eval merge") && !world.at(shard).join("report.json").exists(), "{said}");
    }
    let missing = refused(&world.merge(&["2"], "none"));
    assert!(missing.contains("shard 1/2 is missing"), "{missing}");
    let merged = world.merge(&["2", "1"], "merged");
    assert!(merged.status.success(), "{}", String::from_utf8_lossy(&merged.stderr));
    assert_eq!(world.figures("merged"), world.figures("whole"));
    assert_eq!(world.submission("merged"), world.submission("whole"));
    for file in ["report.md", "curve-votes.svg", "curve-votes.png"] {
        assert!(fs::metadata(world.at("merged").join(file)).unwrap().len() > 500, "{file}");
    }

    // Other steps are another run, and so is another table.
    let other = refused(&world.eval("whole", &["--steps", "3"]).output().unwrap());
    assert!(other.contains("its `policy.max_steps` is 4, this run's is 3"), "{other}");
    let smaller = dataset_of(&world.at("smaller"), true, 1);
    let arguments = ["arc1", "--checkpoint", text(&world.checkpoint), "--data", text(&smaller)];
    let unfit = refused(&Command::new(env!("CARGO_BIN_EXE_speedrun-inference")).args(arguments).output().unwrap());
    assert!(unfit.contains("numbers 7 puzzles") && unfit.contains("has 304 rows"), "{unfit}");
    let sudoku = write_random(&world.at("other"), "random", SudokuShape::FOUR);
    let arguments = ["arc1", "--checkpoint", text(&sudoku), "--data", text(&world.data)];
    let unfit = refused(&Command::new(env!("CARGO_BIN_EXE_speedrun-inference")).args(arguments).output().unwrap());
    assert!(unfit.contains("not for ARC"), "{unfit}");
}

#[test]
fn what_speedrun_inference_reports_of_arc_are_the_votes_of_the_engine() {
    const COPIES: usize = 6;
    let world = World::new();
    let mut command = Command::new(env!("CARGO_BIN_EXE_speedrun-inference"));
    let copies = COPIES.to_string();
    command.arg("arc1").args(world.arguments("run")).args(["--augmentations", &copies]);
    let said = done(command);
    assert!(said.contains("rows     18 (") && said.contains("pass@2"), "{said}");

    let index = TaskIndex::open(&world.data).unwrap();
    let limits = EngineLimits { batching: Batching::Padded, ..EngineLimits::plain(8, 64, 64) };
    let model = ServedModel::load(&world.checkpoint, &session_options(1, None), limits).unwrap();
    let mut predictions = Vec::new();
    let policy = model.engine.options().default_policy;
    predict(&model.engine, &index, index.test_rows(COPIES), policy, 64, |prediction| {
        predictions.push(prediction);
        Ok::<(), EngineError>(())
    })
    .unwrap();
    let mut scorer = ArcScorer::open(&world.data).unwrap();
    let source = PredictionSource { path: world.data.clone(), augmentations: 1 };
    scorer.add(&rows_of(&predictions, 0), &source).unwrap();
    let expected = world.at("expected.json");
    scorer.write_submission(&expected, 2).unwrap();
    assert_eq!(world.submission("run"), fs::read_to_string(&expected).unwrap());

    let report = world.report("run");
    assert_eq!((&report["task"], report["rows"].as_u64()), (&Value::from("arc1"), Some(18)));
    assert_eq!(report["steps"].as_u64(), Some((18 * STEPS) as u64));
    let augmentations: Vec<u64> =
        report["curve"].as_array().unwrap().iter().map(|point| point["augmentations"].as_u64().unwrap()).collect();
    assert_eq!(augmentations, [1, 2, 4, 6]);
    let names = ["test".to_owned()];
    let counted = serde_json::to_value(scorer.report(&names, &DEFAULT_PASS_KS).unwrap().accuracies).unwrap();
    assert_eq!(report["report"]["accuracies"], counted);
    assert_eq!(report["curve"][3]["pass_at_2"]["interval"], counted[1]["interval"]);
}

#[test]
fn without_a_folder_the_unfinished_run_goes_on() {
    let world = World::new();
    let run = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_speedrun-inference"));
        let own = world.arguments("unused");
        // All but --out and its value.
        command.arg("arc1").args(&own[..4]).args(&own[6..]).args(["--augmentations", "2"]).args(arguments);
        command.current_dir(world.folder.path());
        done(command)
    };
    run(&["--shard", "1/2"]);
    let again = run(&["--shard", "1/2"]);
    assert!(again.contains("going on in results/"), "{again}");
    run(&["--shard", "2/2"]);
    let folders: Vec<String> = fs::read_dir(world.at("results"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(folders.len(), 2, "{folders:?}");
    let of = |ending: &str| folders.iter().filter(|name| name.ends_with(ending)).count();
    assert_eq!((of("-arc1-1-of-2"), of("-arc1-2-of-2")), (1, 1), "{folders:?}");
}
