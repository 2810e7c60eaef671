//! Runs that are killed again and again, against the same run left alone. Every second step must be logged.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use models::Checkpoint;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tempfile::TempDir;

use super::{Running, assert_same_content, metrics, succeed, words};

/// How often a test starts over when the machine is so slow that a run ends before it can be interrupted.
const ATTEMPTS: usize = 5;

/// Arguments that start a run.
pub fn fresh(settings: &[String], run: &str) -> Vec<String> {
    [&words("pretrain"), settings, &[format!("checkpoint_path={run}")]].concat()
}

/// Arguments that continue one.
pub fn resume(run: &str) -> [String; 2] {
    ["pretrain".into(), format!("resume={run}")]
}

/// Kills the run `name` `wanted` times and lets it end; tells whether it was killed that often.
fn train_with_kills(folder: &Path, name: &str, settings: &[String], rng: &mut ChaCha8Rng, wanted: usize) -> bool {
    let mut arguments = fresh(settings, name);
    let mut kills = 0;
    while kills < wanted {
        let mut running = Running::start(folder, &arguments);
        running.read_lines(rng.random_range(1..7));
        thread::sleep(Duration::from_micros(rng.random_range(0..20_000)));
        if !running.kill() {
            break;
        }
        kills += 1;
        let last = folder.join(name).join("last");
        if last.exists() {
            Checkpoint::open(&last).unwrap();
        }
        arguments = resume(name).into();
    }
    succeed(folder, &resume(name));
    kills == wanted
}

/// Trains `expected_steps` steps with `kills` kills and without, to the same bytes; gives the logged rows.
pub fn assert_kills_leave_no_trace(
    settings: &[String],
    expected_steps: u64,
    kills: usize,
) -> Vec<(u64, String, String, f64)> {
    let folder = TempDir::new().unwrap();
    // The settings of a run name its folder, and are compared, too: both runs are called the same.
    let (undisturbed, killed) = (folder.path().join("undisturbed"), folder.path().join("killed"));
    fs::create_dir(&undisturbed).unwrap();
    succeed(&undisturbed, &fresh(settings, "run"));
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let often_enough = (0..ATTEMPTS).any(|_| {
        // Nothing is there at the first attempt.
        let _ = fs::remove_dir_all(&killed);
        fs::create_dir(&killed).unwrap();
        train_with_kills(&killed, "run", settings, &mut rng, kills)
    });
    assert!(often_enough, "the runs always ended before they could be killed");

    assert_same_content(&undisturbed.join("run"), &killed.join("run"));
    let last = Checkpoint::open(killed.join("run/last")).unwrap();
    assert_eq!(last.manifest.step, expected_steps);
    assert_same_rows(&undisturbed.join("run"), &killed.join("run"), expected_steps);
    metrics(&undisturbed.join("run"))
}

/// Each second step once and none left out; what does not depend on the clock or on where an interval was cut is equal.
pub fn assert_same_rows(expected: &Path, found: &Path, steps: u64) {
    let (expected, found) = (metrics(expected), metrics(found));
    let names = |rows: &[(u64, String, String, f64)]| -> Vec<(u64, String, String)> {
        rows.iter().map(|(step, phase, metric, _)| (*step, phase.clone(), metric.clone())).collect()
    };
    assert_eq!(names(&expected), names(&found));
    let losses = |phase: &str| -> Vec<u64> {
        let rows = found.iter().filter(|(_, of, metric, _)| of == phase && metric == "lm_loss");
        rows.map(|(step, ..)| *step).collect()
    };
    assert_eq!(losses("train"), (1..=steps).filter(|step| step % 2 == 0).collect::<Vec<_>>());
    assert_eq!(losses("eval").last(), Some(&steps));
    for (expected, found) in expected.iter().zip(&found) {
        if expected.1 == "eval" || expected.2 == "lr" {
            assert_eq!(expected, found);
        }
    }
}
