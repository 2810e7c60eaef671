//! Which policy applies: the request's, the operator's, the checkpoint's, ours.

use std::path::Path;

use datasets::sudoku::SudokuShape;
use engine::LoadError;
use engine::default_policy::PolicySource::{BuiltIn, Flag, Manifest as InManifest};
use engine::default_policy::{DefaultPolicy, PolicyOverrides, PolicySources};
use engine::registry::{EngineLimits, ServedModel};
use engine::task::{Task, tokens_of};
use engine::{Halting, Policy, Request, Restarts, Stopped};
use exporter::runtime::SessionOptions;
use models::Manifest;
use models::checkpoint::{InferenceDefaults, MANIFEST_FILE, NoiseTarget};

use crate::oracle::{Oracle, STEPS, card};
use crate::random_checkpoint::write_random;

const NINE: Task = Task::Sudoku(SudokuShape::NINE);

fn measured() -> InferenceDefaults {
    InferenceDefaults {
        max_steps: 12,
        augmentations: 3,
        rollouts: 2,
        sigma: 0.5,
        noise: NoiseTarget::All,
        depth: 40,
        safe_max_steps: Some(128),
        ..InferenceDefaults::of_steps(12)
    }
}

#[test]
fn the_flag_comes_before_the_manifest_and_that_before_what_is_built_in() {
    let built_in = DefaultPolicy::of(NINE, 16, None, &PolicyOverrides::NONE);
    let restarts = Restarts { augmentations: 8, rollouts: 0, sigma: 0.25, noise: NoiseTarget::Latent, depth: 64 };
    assert_eq!(built_in.policy, Policy { restarts, ..Policy::plain(16) });
    let all = |source| PolicySources {
        max_steps: source,
        augmentations: source,
        rollouts: source,
        sigma: source,
        noise: source,
        depth: source,
    };
    assert_eq!(built_in.sources, all(BuiltIn));

    let of_manifest = DefaultPolicy::of(NINE, 16, Some(&measured()), &PolicyOverrides::NONE);
    let restarts = Restarts { augmentations: 3, rollouts: 2, sigma: 0.5, noise: NoiseTarget::All, depth: 40 };
    assert_eq!(of_manifest.policy, Policy { restarts, ..Policy::plain(12) });
    assert_eq!(of_manifest.sources, all(InManifest));

    let flags = PolicyOverrides { augmentations: Some(0), sigma: Some(0.1), ..PolicyOverrides::NONE };
    let mixed = DefaultPolicy::of(NINE, 16, Some(&measured()), &flags);
    assert_eq!(mixed.policy.restarts, Restarts { augmentations: 0, sigma: 0.1, ..restarts });
    assert_eq!(mixed.sources, PolicySources { augmentations: Flag, sigma: Flag, ..all(InManifest) });
    let none = DefaultPolicy::of(NINE, 16, Some(&measured()), &PolicyOverrides::of_restarts(Restarts::NONE));
    assert_eq!(none.policy.restarts, Restarts::NONE);
}

#[test]
fn tasks_without_rules_get_no_restarts_from_flags_or_manifest() {
    let flags = PolicyOverrides { augmentations: Some(4), ..PolicyOverrides::NONE };
    let arc = DefaultPolicy::of(Task::Arc, 16, None, &flags).policy;
    assert_eq!((arc.halting, arc.max_steps, arc.restarts), (Halting::Fixed, 4, Restarts::NONE));
    let arc = DefaultPolicy::of(Task::Arc, 16, Some(&measured()), &flags).policy;
    assert_eq!((arc.halting, arc.max_steps, arc.restarts), (Halting::Fixed, 12, Restarts::NONE));
}

/// Fewer steps than the oracle needs: whose word counts is seen in what the engine does.
#[test]
fn requests_follow_the_manifest_unless_they_set_a_policy_themselves() {
    let shape = SudokuShape::FOUR;
    let mut card = card("measured", shape);
    card.inference = Some(InferenceDefaults { max_steps: STEPS - 1, augmentations: 1, rollouts: 0, ..measured() });
    let limits = EngineLimits {
        overrides: PolicyOverrides { depth: Some(0), ..PolicyOverrides::NONE },
        ..EngineLimits::plain(2, 3, 64)
    };
    let model = ServedModel::start(card, Task::Sudoku(shape), Oracle::new(shape), limits).unwrap();
    assert_eq!(model.default_policy.sources.max_steps, InManifest);
    assert_eq!(model.default_policy.sources.depth, Flag);
    let puzzle = datasets::sudoku::Board::parse("1...............").unwrap();
    let ask = |policy: Option<Policy>| {
        let request = Request { policy, ..Request::new(tokens_of(&puzzle)) };
        model.engine.submit(request).unwrap().wait().unwrap()
    };
    let by_manifest = ask(None);
    assert_eq!((by_manifest.chains, by_manifest.total_steps, by_manifest.verified), (2, 2 * (STEPS - 1), false));
    let by_request = ask(Some(Policy::plain(STEPS)));
    assert_eq!((by_request.chains, by_request.total_steps, by_request.stopped), (1, STEPS, Stopped::Verified));
}

fn with_inference(parent: &Path, name: &str, inference: InferenceDefaults) -> std::path::PathBuf {
    let directory = write_random(parent, name, SudokuShape::FOUR);
    let path = directory.join(MANIFEST_FILE);
    let manifest = Manifest { inference: Some(inference), ..Manifest::read(&path).unwrap() };
    files::write(&path, manifest.to_json().as_bytes()).unwrap();
    directory
}

#[test]
fn a_checkpoint_brings_its_policy_along() {
    let folder = tempfile::tempdir().unwrap();
    let directory = with_inference(folder.path(), "measured", measured());
    let session = SessionOptions { threads: 1, ..SessionOptions::default() };
    let limits = EngineLimits { overrides: PolicyOverrides::NONE, ..EngineLimits::plain(2, 3, 8) };
    let model = ServedModel::load(&directory, &session, limits).unwrap();
    assert_eq!(model.engine.options().default_policy, model.default_policy.policy);
    assert_eq!(model.default_policy.policy.restarts.depth, 40);
    // What the checkpoint was measured with is allowed, whatever the limit on requests.
    assert_eq!(model.engine.options().limits.max_steps, 40);
}

#[test]
fn manifests_that_ask_for_too_much_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |change: fn(&mut InferenceDefaults)| {
        let mut inference = measured();
        change(&mut inference);
        let directory = with_inference(folder.path(), "greedy", inference);
        let error = engine::model::load(&directory, &SessionOptions::default()).unwrap_err();
        assert!(matches!(error, LoadError::Checkpoint(_)), "{error}");
        error.to_string()
    };
    for (message, says) in [
        (refused(|i| i.max_steps = 0), "inference.max_steps: expected 1 to 1024, found 0"),
        (refused(|i| i.depth = 1 << 40), "inference.depth: expected 0 to 1024"),
        (refused(|i| i.augmentations = usize::MAX), "inference.augmentations + rollouts: expected 0 to 128"),
        (refused(|i| i.sigma = 11.0), "inference.sigma: expected 0 to 10, found 11"),
        (refused(|i| i.sigma = 0.0), "inference.sigma: expected a number above 0"),
    ] {
        assert!(message.contains("manifest.json") && message.contains(says), "{message}");
    }
}
