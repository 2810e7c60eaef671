//! The promise of `resume=`: whatever ended a run, it goes on as if nothing had happened, to the same bytes.

#![allow(clippy::missing_panics_doc, clippy::unwrap_used, reason = "a panic is a failed test")]

mod process;

use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use datasets::sudoku::SudokuShape;
use models::Checkpoint;
use process::kills::{assert_kills_leave_no_trace, assert_same_rows, fresh, resume};
use process::{Running, assert_same_content, content, metrics, refuse, succeed, tiny, tiny_model, words, write_data};
use rustix::process::Signal;
use tempfile::TempDir;

/// How often a test starts over when the machine is so slow that a run ends before it can be interrupted.
const ATTEMPTS: usize = 5;
/// Interruptions of one run.
const KILLS: usize = 4;

/// Settings of a run of 40 steps whose rows, evaluations, checkpoints and turns fall on steps of their own.
fn generated() -> Vec<String> {
    [tiny(40), words("eval_interval_steps=15 checkpoint_interval=4 log_interval=2 carried_batches=3")].concat()
}

/// The same length on a folder, with everything that the other run leaves out.
fn from_folder(data: &Path) -> Vec<String> {
    let settings = words(
        "arch.pos_encodings=rope arch.puzzle_emb_ndim=48 arch.puzzle_emb_len=2 \
         optimizer=adam_atan2 lr=1e-3 puzzle_emb_lr=1e-2 lr_warmup_steps=5 epochs=10 eval_interval=2 \
         checkpoint_interval=3 log_interval=2 seed=5",
    );
    [tiny_model(), settings, vec![format!("data_paths=[{}]", data.display())]].concat()
}

#[test]
fn kills_leave_no_trace_in_a_generated_bfloat16_run() {
    let settings = [generated(), words("arch.forward_dtype=bfloat16")].concat();
    assert_kills_leave_no_trace(&settings, 40, KILLS);
}

#[test]
fn kills_leave_no_trace_in_a_run_on_a_folder_with_puzzle_embedding() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data");
    write_data(&data, 64, 20, SudokuShape::FOUR);
    assert_kills_leave_no_trace(&from_folder(&data), 40, KILLS);
}

/// Batches of both sizes, with rows of their own, are in flight whenever the run is killed.
#[test]
fn kills_leave_no_trace_in_a_run_on_boards_of_two_sizes() {
    let sizes = words(
        "arch.mixer=units arch.pool_size=8 arch.expansion=2 generator.size=[4,6] \
         generator.weights=[1,2] eval_interval_steps=15 checkpoint_interval=4 log_interval=2",
    );
    assert_kills_leave_no_trace(&[tiny(40), sizes].concat(), 40, KILLS);
}

#[test]
fn signals_save_and_the_run_goes_on_to_the_same_bytes() {
    let folder = TempDir::new().unwrap();
    for name in ["undisturbed", "stopped"] {
        fs::create_dir(folder.path().join(name)).unwrap();
    }
    let (undisturbed, stopped) = (folder.path().join("undisturbed"), folder.path().join("stopped"));
    succeed(&undisturbed, &fresh(&generated(), "run"));
    let interrupted = (0..ATTEMPTS).any(|_| {
        let _ = fs::remove_dir_all(stopped.join("run"));
        let mut arguments = fresh(&generated(), "run");
        for signal in [Signal::TERM, Signal::INT] {
            let mut running = Running::start(&stopped, &arguments);
            running.read_lines(3);
            let (status, output) = running.signal(signal);
            if status == Some(0) {
                return false;
            }
            assert_eq!(status, Some(130), "{output}");
            let last = Checkpoint::open(stopped.join("run/last")).unwrap();
            let says = format!("stopped at step {}; go on with: trainer pretrain resume=run\n", last.manifest.step);
            assert!(last.manifest.step >= 4 && output.ends_with(&says), "{output}");
            arguments = resume("run").into();
        }
        true
    });
    assert!(interrupted, "the runs always ended before a signal reached them");
    // A checkpoint in the run means the run.
    succeed(&stopped, &resume("run/last"));
    assert_same_content(&undisturbed.join("run"), &stopped.join("run"));
    assert_same_rows(&undisturbed.join("run"), &stopped.join("run"), 40);
}

#[test]
fn a_kill_amid_a_checkpoint_leaves_the_last_one_whole_and_no_leftovers_after_resuming() {
    let folder = TempDir::new().unwrap();
    let run = folder.path().join("run");
    let leftovers = || -> Vec<String> {
        let entries = fs::read_dir(&run).into_iter().flatten();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.starts_with('.')).collect()
    };
    let settings = [tiny(100_000), words("eval_interval_steps=100000 checkpoint_interval=1")].concat();
    let mut arguments = fresh(&settings, "run");
    let (mut amid, mut last_step) = (0, 0);
    for _ in 0..40 {
        let mut running = Running::start(folder.path(), &arguments);
        running.read_lines(1);
        // The first line comes after the cleaning up, so that whatever is hidden now is being written.
        while leftovers().is_empty() && running.is_running() {
            thread::sleep(Duration::from_micros(50));
        }
        assert!(running.kill());
        let written = leftovers().iter().any(|name| name.starts_with(".step_"));
        if let Some(step) = step_of_last(&run) {
            assert!(step >= last_step, "step {last_step} was there, now it is {step}");
            last_step = step;
        }
        arguments = resume("run").into();
        amid += usize::from(written);
        if amid == 4 {
            break;
        }
    }
    assert!(amid > 0, "no kill fell into the writing of a checkpoint");
    let mut running = Running::start(folder.path(), &arguments);
    running.read_lines(1);
    running.signal(Signal::TERM);
    assert_eq!(leftovers(), Vec::<String>::new());
}

/// Step of the last checkpoint, which opens whenever there is one.
fn step_of_last(run: &Path) -> Option<u64> {
    fs::symlink_metadata(run.join("last")).ok()?;
    let last = Checkpoint::open(run.join("last")).unwrap();
    let counters = fs::read(run.join("last/training_state.json")).unwrap();
    let counters: serde_json::Value = serde_json::from_slice(&counters).unwrap();
    assert_eq!(counters["step"], last.manifest.step);
    models::checkpoint::WeightFile::open(&run.join("last/training_state.safetensors")).unwrap();
    Some(last.manifest.step)
}

#[test]
fn a_run_that_ended_before_its_first_checkpoint_begins_again() {
    let folder = TempDir::new().unwrap();
    let settings = [tiny(4), words("eval_interval_steps=4")].concat();
    succeed(folder.path(), &fresh(&settings, "run"));
    let run = folder.path().join("run");
    let expected = content(&run);
    for path in ["last", "best"] {
        fs::remove_file(run.join(path)).unwrap();
    }
    fs::remove_dir_all(run.join("step_4")).unwrap();
    succeed(folder.path(), &resume("run"));
    assert!(content(&run) == expected);
}

#[test]
fn what_does_not_fit_the_run_is_refused_and_nothing_changes() {
    let folder = TempDir::new().unwrap();
    let settings = [tiny(4), words("eval_interval_steps=4")].concat();
    succeed(folder.path(), &fresh(&settings, "run"));
    let run = folder.path().join("run");
    let everything = || (content(&run), fs::read(run.join("config.json")).unwrap(), metrics(&run).len());
    let before = everything();
    fs::create_dir(folder.path().join("empty")).unwrap();
    for (arguments, says) in [
        (vec!["resume=nowhere"], "nowhere: holds no config.json; name the folder of a run"),
        (vec!["resume=empty"], "empty: holds no config.json; name the folder of a run"),
        (vec!["resume=run/no_checkpoint"], "run/no_checkpoint: holds no config.json"),
        (
            vec!["resume=run", "global_batch_size=8"],
            "carries 16 rows, this run has 8; resume with the global_batch_size",
        ),
        (
            vec!["resume=run", "carried_batches=2"],
            "carries 16 rows, this run has 32; resume with the global_batch_size",
        ),
        (vec!["resume=run", "arch.hidden_size=64"], "arch: cannot change when a run is resumed (hidden_size is 32"),
        (vec!["resume=run", "arch.H_cycles=3"], "arch: cannot change when a run is resumed (H_cycles is 2 in the run"),
        (vec!["resume=run", "arch.hiden_size=64"], "did you mean `arch.hidden_size`?"),
        (vec!["--config", "run/config.json", "resume=run"], "--config and resume exclude each other"),
    ] {
        let message = refuse(folder.path(), &[&["pretrain"], arguments.as_slice()].concat());
        assert!(message.contains(says), "{arguments:?}: {message}");
        assert!(everything() == before, "{arguments:?} changed the run");
    }
}

#[test]
fn a_run_is_written_by_one_process_at_a_time() {
    let folder = TempDir::new().unwrap();
    let mut running = Running::start(folder.path(), &fresh(&tiny(100_000), "run"));
    running.read_lines(1);
    let message = refuse(folder.path(), &resume("run"));
    assert!(message.contains("run: is being written by another process"), "{message}");
    assert_eq!(running.signal(Signal::TERM).0, Some(130));
}
