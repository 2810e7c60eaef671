use datasets::maze::{MazeOptions, ShortestPaths};
use datasets::sudoku::GeneratorOptions;

use super::*;

fn resolve(overrides: &[&str]) -> Result<PretrainConfig, TrainError> {
    let overrides: Vec<Override> = overrides.iter().map(|text| text.parse()).collect::<Result<_, _>>()?;
    PretrainConfig::resolve(&[], &overrides)
}

/// The published command for Sudoku-Extreme with only the program's name changed.
#[test]
fn the_published_sudoku_command_is_understood() {
    let config = resolve(&[
        "arch=trm",
        "data_paths=[data/sudoku-extreme-1k-aug-1000]",
        "evaluators=[]",
        "epochs=50000",
        "eval_interval=5000",
        "lr=1e-4",
        "puzzle_emb_lr=1e-4",
        "weight_decay=1.0",
        "puzzle_emb_weight_decay=1.0",
        "arch.mlp_t=True",
        "arch.pos_encodings=none",
        "arch.L_layers=2",
        "arch.H_cycles=3",
        "arch.L_cycles=6",
        "+run_name=pretrain_mlp_t_sudoku",
        "ema=True",
    ])
    .unwrap();
    let ArchitectureConfig::Trm(arch) = &config.arch else { panic!("{:?}", config.arch) };
    assert!(arch.mlp_t);
    assert_eq!(arch.pos_encodings, models::PosEncodings::None);
    assert_eq!((arch.H_cycles, arch.L_cycles, arch.puzzle_emb_ndim), (3, 6, 512));
    assert_eq!(config.data_paths, [PathBuf::from("data/sudoku-extreme-1k-aug-1000")]);
    assert!(config.ema && config.generator.is_none());
    assert_eq!((config.lr, config.weight_decay, config.epochs), (1e-4, 1.0, 50_000));
    assert_eq!(config.run_directory(), PathBuf::from("checkpoints/pretrain_mlp_t_sudoku"));
}

/// Commas, brackets and words such as `None` within quotes are text; a comma at the end is not an item.
#[test]
fn items_of_lists_may_be_quoted() {
    let paths = |text: &str| resolve(&[text]).map(|config| config.data_paths).map_err(|error| error.to_string());
    for (text, expected) in [
        ("data_paths=['a b','c']", vec!["a b", "c"]),
        ("data_paths=[\"a,b\", 'c[1]']", vec!["a,b", "c[1]"]),
        ("data_paths=['None',\"1\"]", vec!["None", "1"]),
        ("data_paths=[it's, x]", vec!["it's", "x"]),
        ("data_paths=[a,]", vec!["a"]),
    ] {
        assert_eq!(paths(text), Ok(expected.into_iter().map(PathBuf::from).collect()), "{text}");
    }
    assert!(paths("data_paths=['a, b]").unwrap_err().contains("lacks the quote that closes an item"));
    assert!(paths("data_paths=[a, [b]]").unwrap_err().contains("nests lists"));
}

#[test]
fn puzzle_embedding_follows_hidden_size_unless_set() {
    let ndim = |overrides: &[&str]| {
        let mut all = vec!["data_paths=[x]"];
        all.extend(overrides);
        resolve(&all).unwrap().arch.puzzle_emb_ndim()
    };
    assert_eq!(ndim(&["arch.hidden_size=128"]), 128);
    assert_eq!(ndim(&["arch.hidden_size=128", "arch.puzzle_emb_ndim=0"]), 0);
}

#[test]
fn unknown_keys_suggest_the_nearest() {
    let message = |text: &str| resolve(&["data_paths=[x]", text]).unwrap_err().to_string();
    assert_eq!(message("arch.H_cycle=3"), "arch.H_cycle: unknown key; did you mean `arch.H_cycles`?");
    assert_eq!(message("mlp_t=True"), "mlp_t: unknown key; did you mean `arch.mlp_t`?");
    assert_eq!(message("zzzz=1"), "zzzz: unknown key; `trainer pretrain --show-config` lists them");
}

#[test]
fn wrong_values_are_reported_under_their_key() {
    let message = |text: &str| resolve(&["data_paths=[x]", text]).unwrap_err().to_string();
    assert!(
        message("arch.hidden_size=wide").starts_with("arch.hidden_size: \"wide\""),
        "{}",
        message("arch.hidden_size=wide")
    );
    assert!(message("lr=fast").starts_with("lr: \"fast\""), "{}", message("lr=fast"));
    assert!(message("beta1=1.5").starts_with("beta1: is 1.5"), "{}", message("beta1=1.5"));
    assert!(message("arch=hrmm").starts_with("arch: unknown architecture `hrmm`"));
    assert!(message("data_paths=[x").contains("closing bracket"));
}

#[test]
fn every_architecture_has_its_own_keys_and_the_references_defaults() {
    let arch = |overrides: &[&str]| {
        let mut all = vec!["data_paths=[x]"];
        all.extend(overrides);
        resolve(&all).map(|config| config.arch)
    };
    for name in ArchitectureConfig::NAMES {
        assert_eq!(arch(&[&format!("arch={name}")]).unwrap(), ArchitectureConfig::default_of(name).unwrap());
    }
    // The choice comes first wherever it stands, and the last choice counts.
    let ArchitectureConfig::Hrm(hrm) =
        arch(&["arch.H_layers=2", "arch=trm", "arch=hrm", "arch.hidden_size=64"]).unwrap()
    else {
        panic!("no HRM");
    };
    assert_eq!((hrm.H_layers, hrm.L_layers, hrm.hidden_size, hrm.puzzle_emb_ndim), (2, 4, 64, 64));
    let name = "arch.name=recursive_reasoning.transformers_baseline@Model_ACTV2";
    assert_eq!(arch(&[name, "arch.act_inference=True"]).unwrap().name(), "transformers_baseline");
    assert_eq!(arch(&["arch=lstm", "arch.hidden_size=32"]).unwrap().puzzle_emb_ndim(), 0);
    let message = |overrides: &[&str]| arch(overrides).unwrap_err().to_string();
    assert_eq!(
        message(&["arch=lstm", "arch.num_layer=2"]),
        "arch.num_layer: unknown key; did you mean `arch.num_layers`?"
    );
    assert!(message(&["arch=lstm", "arch.H_cycles=2"]).starts_with("arch.H_cycles: unknown key"));
    assert!(
        message(&["arch=hrmm"])
            .ends_with("expected one of trm, trm_singlez, trm_hier6, hrm, transformers_baseline, lstm, transformer")
    );
}

#[test]
fn a_file_may_choose_the_architecture() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hrm.toml");
    std::fs::write(&path, "data_paths = [\"x\"]\n[arch]\nname = \"hrm\"\nH_layers = 3\n").unwrap();
    let config = PretrainConfig::resolve(std::slice::from_ref(&path), &[]).unwrap();
    assert!(matches!(&config.arch, ArchitectureConfig::Hrm(hrm) if hrm.H_layers == 3), "{:?}", config.arch);
    let overridden = PretrainConfig::resolve(&[path], &["arch=lstm".parse().unwrap()]).unwrap_err().to_string();
    assert!(
        overridden.ends_with("hrm.toml: arch.H_layers: unknown key; did you mean `arch.num_layers`?"),
        "{overridden}"
    );
}

#[test]
fn a_generator_needs_steps_and_excludes_folders() {
    let generated = resolve(&["generator.size=4", "generator.extra_clues=[0,5]", "max_steps=10"]).unwrap();
    let sudoku = GeneratorOptions { size: 4, extra_clues: (0, 5), ..GeneratorOptions::default() };
    assert_eq!(generated.generator, Some(Generator::Sudoku(sudoku)));
    assert!(resolve(&["generator.size=4"]).unwrap_err().to_string().starts_with("max_steps:"));
    assert!(resolve(&["generator.size=4", "max_steps=1", "data_paths=[x]"]).is_err());
    assert!(resolve(&[]).unwrap_err().to_string().starts_with("data_paths:"));
}

#[test]
fn mazes_are_generated_on_request() {
    let hard = resolve(&["generator.task=maze", "max_steps=10"]).unwrap();
    assert_eq!(hard.generator, Some(Generator::Maze(MazeOptions::default())), "30x30 unless said otherwise");
    let settings = ["generator.task=maze", "generator.size=10", "generator.shortest_paths=unique", "max_steps=10"];
    let config = resolve(&settings).unwrap();
    let options = MazeOptions { size: 10, shortest_paths: ShortestPaths::Unique, ..MazeOptions::default() };
    assert_eq!(config.generator, Some(Generator::Maze(options)));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.json");
    std::fs::write(&path, serde_json::to_string(&config).unwrap()).unwrap();
    assert_eq!(PretrainConfig::resolve_resumed(&path, &[]).unwrap(), config);

    for (wrong, message) in [
        ("generator.task=chess", "generator.task: "),
        ("generator.extra_clues=[0,5]", "generator.extra_clues: is [0,5], which generator.task=\"maze\" does not have"),
        ("generator.style=spiral", "generator.style: "),
        ("generator.size=41", "5 to 40 cells per side"),
    ] {
        let error = resolve(&[&settings[..], &[wrong]].concat()).unwrap_err().to_string();
        assert!(error.contains(message), "{error}\nshould contain {message}");
    }
    let error = resolve(&["generator.size=9", "generator.style=perfect", "max_steps=1"]).unwrap_err().to_string();
    assert!(error.starts_with("generator.style: is \"perfect\", which generator.task=\"sudoku\""), "{error}");
}

/// A run keeps the number of puzzles that its pools had when it began, and says what it mixes.
#[test]
fn pools_are_pinned_when_a_run_begins() {
    let folder = tempfile::tempdir().unwrap();
    let pool = folder.path().join("hard.txt");
    let puzzle = "53..7....6..195....98....6.8...6...34..8.3..17...2...6.6....28....419..5....8..79";
    std::fs::write(&pool, format!("# a pool\n{puzzle} # 30 givens\n")).unwrap();
    let pools = format!("generator.pools=[{}]", pool.display());
    let settings = [&pools, "generator.size=9", "generator.random_weight=3", "max_steps=10"];
    let error = resolve(&settings).unwrap_err().to_string();
    assert!(error.contains("pool_weights") && error.contains("one for each of 1 pools"), "{error}");
    let config = resolve(&[&settings[..], &["generator.pool_weights=[2]"]].concat()).unwrap();
    let saved = folder.path().join("config.json");
    std::fs::write(&saved, serde_json::to_string(&config).unwrap()).unwrap();
    std::fs::write(&pool, format!("{puzzle}\n{puzzle}\n")).unwrap();
    let resumed = PretrainConfig::resolve_resumed(&saved, &["max_steps=20".parse().unwrap()]).unwrap();
    let Some(generator @ Generator::Sudoku(options)) = &resumed.generator else { panic!("{:?}", resumed.generator) };
    assert_eq!((&options.pool_puzzles[..], options.random_weight, &options.pool_weights[..]), (&[1][..], 3, &[2][..]));
    assert_eq!(
        generator.description(),
        "3 parts of generated 9x9 Sudoku, minimal plus 0-0 clues, seed 0; 2 parts of hard.txt (1 puzzles), \
         each plus 0-0 clues"
    );
}

/// Runs from before there were mazes have no `task` among their settings.
#[test]
fn a_generator_without_task_draws_sudoku() {
    let generator: Generator = serde_json::from_str(r#"{"size": 9, "seed": 3}"#).unwrap();
    assert_eq!(generator, Generator::Sudoku(GeneratorOptions { seed: 3, ..GeneratorOptions::default() }));
}

#[test]
fn a_saved_config_resolves_to_itself() {
    let config = resolve(&["generator.size=9", "max_steps=10", "arch.mlp_t=True", "optimizer=adamw"]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.json");
    std::fs::write(&path, serde_json::to_string(&config).unwrap()).unwrap();
    assert_eq!(PretrainConfig::resolve_resumed(&path, &[]).unwrap(), config);
    let change = PretrainConfig::resolve_resumed(&path, &["arch=hrm".parse().unwrap()]).unwrap_err().to_string();
    assert_eq!(change, "arch: is trm in the run and cannot become hrm; start a new run");
    let folders = resolve(&["data_paths=[a,b]"]).unwrap();
    std::fs::write(&path, serde_json::to_string(&folders).unwrap()).unwrap();
    let longer = PretrainConfig::resolve_resumed(&path, &["epochs=5".parse().unwrap()]).unwrap();
    assert_eq!((longer.epochs, &longer.data_paths), (5, &folders.data_paths));
}

/// Hydra's files: config groups, its own table, interpolation; and W&B's tables of evaluators.
#[test]
fn the_references_yaml_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cfg_pretrain.yaml");
    let text = "defaults:\n  - arch: hrm\n  - _self_\nhydra:\n  output_subdir: null\n\
                data_paths: ['data/arc1concept-aug-1000']\ndata_paths_test: []\n\
                evaluators:\n  - name: arc@ARC\nglobal_batch_size: 768\nlr: 1e-4\nload_checkpoint: null\n\
                arch:\n  H_layers: 2\n  hidden_size: 64\n  num_heads: 2\n  puzzle_emb_ndim: ${.hidden_size}\n\
                eval_save_outputs: [preds]\ncheckpoint_every_eval: True\n";
    std::fs::write(&path, text).unwrap();
    let config = PretrainConfig::resolve(std::slice::from_ref(&path), &[]).unwrap();
    let ArchitectureConfig::Hrm(arch) = &config.arch else { panic!("{:?}", config.arch) };
    assert_eq!((arch.H_layers, arch.hidden_size, arch.puzzle_emb_ndim), (2, 64, 64));
    assert_eq!((config.lr, config.checkpoint_every_eval), (1e-4, true));
    assert_eq!(config.eval_save_outputs, [PredictionArray::Preds]);
    let [evaluator] = &config.evaluators[..] else { panic!("{:?}", config.evaluators) };
    assert_eq!((evaluator.submission_k, &evaluator.pass_ks[..]), (2, &[1, 2, 5, 10, 100, 1000][..]));
    // What a run saved is read as what it was.
    let saved = folder.path().join("config.json");
    std::fs::write(&saved, serde_json::to_string(&config).unwrap()).unwrap();
    assert_eq!(PretrainConfig::resolve_resumed(&saved, &[]).unwrap(), config);
    let other = PretrainConfig::resolve(std::slice::from_ref(&path), &["arch=trm_mlp".parse().unwrap()]);
    assert!(other.is_ok_and(|config| config.arch.name() == "trm"));
    std::fs::write(&path, "lr: [1\n").unwrap();
    let message = PretrainConfig::resolve(&[path], &[]).unwrap_err().to_string();
    assert!(message.contains("cfg_pretrain.yaml: is not YAML"), "{message}");
}

#[test]
fn trm_mlp_is_trm_that_mixes_with_an_mlp() {
    let config = resolve(&["arch=trm_mlp", "data_paths=[x]", "arch.hidden_size=64"]).unwrap();
    let ArchitectureConfig::Trm(arch) = &config.arch else { panic!("{:?}", config.arch) };
    assert!(arch.mlp_t && arch.pos_encodings == models::PosEncodings::None && arch.hidden_size == 64);
    // Settings count after the name, wherever it stands.
    let config = resolve(&["arch.mlp_t=False", "arch=trm_mlp", "data_paths=[x]"]).unwrap();
    assert!(matches!(&config.arch, ArchitectureConfig::Trm(arch) if !arch.mlp_t));
}

#[test]
fn evaluators_are_checked_with_a_sentence() {
    let message = |text: &str| resolve(&["data_paths=[x]", text]).unwrap_err().to_string();
    for (text, says) in [
        ("evaluators=arc", "\"arc\" is not a list; write evaluators="),
        ("evaluators=[{name: sudoku@Sudoku}]", "knows no `sudoku@Sudoku`; there is arc@ARC"),
        ("evaluators=[{submission_K: 2}]", "has no name"),
        ("evaluators=[{name: arc@ARC, pass_K: 2}]", "unknown field `pass_K`"),
        ("evaluators=[{name: arc@ARC, pass_Ks: [0]}]", "must be at least 1"),
        ("evaluators=[{name: arc@ARC}, {name: arc@ARC}]", "has 2 entries"),
        ("evaluators=[{name: arc@ARC, aggregated_voting: false}]", "aggregated_voting"),
        ("evaluators=[{name: arc@ARC", "is not a list of tables"),
        ("grad_clip=0", "grad_clip: is 0, which would stop all learning"),
        ("micro_batch_size=0", "micro_batch_size: is 0"),
        ("device=tpu", "device: \"tpu\""),
    ] {
        assert!(message(text).contains(says), "{text}: {}", message(text));
    }
    let config = resolve(&["data_paths=[x]", "evaluators=[{name: arc@ARC, submission_K: 3, pass_Ks: [1,2]}]"]).unwrap();
    assert_eq!((config.evaluators[0].submission_k, &config.evaluators[0].pass_ks), (3, &vec![1, 2]));
}

/// The reference's names, in the folder `checkpoints`; a `run_name` alone stays where it always was.
#[test]
fn a_run_without_names_gets_the_references() {
    let named = |overrides: &[&str]| {
        let mut config = resolve(overrides).unwrap();
        config.name_run();
        config.run_directory().display().to_string()
    };
    let folder = named(&["data_paths=[data/sudoku-Extreme-1k]"]);
    assert!(folder.starts_with("checkpoints/Sudoku-extreme-1k-ACT-torch/trm-"), "{folder}");
    let generated = named(&["generator.size=6", "max_steps=1", "arch=hrm"]);
    assert!(generated.starts_with("checkpoints/Sudoku-6x6-ACT-torch/hrm-"), "{generated}");
    assert!(named(&["data_paths=[x]", "project_name=mine"]).starts_with("checkpoints/mine/trm-"));
    assert_eq!(named(&["data_paths=[x]", "run_name=first"]), "checkpoints/first");
    assert_eq!(named(&["data_paths=[x]", "project_name=mine", "run_name=first"]), "checkpoints/mine/first");
    assert_eq!(named(&["data_paths=[x]", "checkpoint_path=here"]), "here");
}
