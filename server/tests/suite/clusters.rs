//! What `deploy/` says about training and evaluation on clusters: the ranks that schedulers start are numbered for the trainer,
//! jobs go on from their last checkpoint, and the shards of an evaluation are all of it.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use clap::Parser;
use evaluation::Shard;
use evaluation::cli::EvalArgs;
use serde_json::Value;

fn deploy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy")
}

fn of_kind(name: &str, kind: &str) -> Value {
    let text = fs::read_to_string(deploy().join("kubernetes").join(name)).unwrap();
    let document: Value = serde_saphyr::from_str(&text).unwrap();
    assert_eq!(document["kind"], kind);
    document
}

fn strings(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|item| item.as_str().unwrap()).collect()
}

/// The value of a variable of a container.
fn variable<'v>(container: &'v Value, name: &str) -> &'v str {
    let list = container["env"].as_array().unwrap();
    list.iter().find(|entry| entry["name"] == name).unwrap()["value"].as_str().unwrap()
}

/// A folder with a program of that name that prints its arguments.
fn stand_in(name: &str, script: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    folder
}

/// Runs `start-rank.sh` with these variables in front of a trainer that prints its ranks and arguments.
fn start_rank(run: &Path, environment: &[(&str, &str)], arguments: &[&str]) -> Output {
    let trainer = stand_in(
        "trainer",
        "echo $RANK/$WORLD_SIZE $LOCAL_RANK/$LOCAL_WORLD_SIZE $MASTER_ADDR:$MASTER_PORT\nprintf '%s\\n' \"$@\"",
    );
    let path = format!("{}:/usr/bin:/bin", trainer.path().display());
    let mut command = Command::new(deploy().join("cluster/start-rank.sh"));
    command.env_clear().env("PATH", path).envs(environment.iter().copied()).arg(run).args(arguments);
    command.output().unwrap()
}

fn lines(output: &Output) -> Vec<String> {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
}

#[test]
fn every_scheduler_numbers_the_ranks() {
    let slurm: &[_] = &[
        ("SLURM_PROCID", "5"),
        ("SLURM_NTASKS", "8"),
        ("SLURM_LOCALID", "1"),
        ("SLURM_STEP_TASKS_PER_NODE", "4(x2)"),
        ("MASTER_ADDR", "node0"),
        ("MASTER_PORT", "20007"),
    ];
    let kubeflow: &[_] = &[
        ("PET_NODE_RANK", "5"),
        ("PET_NNODES", "8"),
        ("PET_MASTER_ADDR", "node0"),
        ("PET_MASTER_PORT", "20007"),
        ("JOB_COMPLETION_INDEX", "3"),
    ];
    let indexed: &[_] =
        &[("JOB_COMPLETION_INDEX", "5"), ("WORLD_SIZE", "8"), ("MASTER_ADDR", "node0"), ("MASTER_PORT", "20007")];
    let run = tempfile::tempdir().unwrap();
    for (environment, local) in [(slurm, "1/4"), (kubeflow, "0/1"), (indexed, "0/1")] {
        let printed = lines(&start_rank(run.path(), environment, &["lr=1e-4", "data_paths=[\"a b\"]"]));
        let checkpoints = format!("checkpoint_path={}", run.path().display());
        assert_eq!(printed[0], format!("5/8 {local} node0:20007"));
        assert_eq!(printed[1..], ["pretrain", "lr=1e-4", "data_paths=[\"a b\"]", &checkpoints]);
    }
    let alone = lines(&start_rank(run.path(), &[("NPROC", "4")], &["lr=1e-4"]));
    assert_eq!(alone[1..8], ["launch", "--nproc", "4", "--max-restarts", "3", "--", "pretrain"]);
    let unplaced = start_rank(run.path(), &[], &[]);
    assert_eq!(unplaced.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&unplaced.stderr).contains("NPROC"));
}

#[test]
fn a_job_that_is_started_again_goes_on_from_its_last_checkpoint() {
    let run = tempfile::tempdir().unwrap();
    fs::create_dir(run.path().join("last")).unwrap();
    let environment = [("JOB_COMPLETION_INDEX", "0"), ("WORLD_SIZE", "2"), ("MASTER_ADDR", "a"), ("MASTER_PORT", "1")];
    let printed = lines(&start_rank(run.path(), &environment, &["--config", "studies/arc1.toml"]));
    assert_eq!(printed[1..], ["pretrain".to_owned(), format!("resume={}", run.path().display())]);
}

#[test]
fn training_jobs_have_as_many_pods_as_ranks() {
    let ranks = 8;
    let job = of_kind("training/indexed-job.yaml", "Job");
    let service = of_kind("training/service.yaml", "Service");
    assert_eq!((&job["spec"]["completions"], &job["spec"]["parallelism"]), (&ranks.into(), &ranks.into()));
    let pod = &job["spec"]["template"]["spec"];
    let container = &pod["containers"][0];
    assert_eq!(variable(container, "WORLD_SIZE"), ranks.to_string());
    let (job_name, domain) = (job["metadata"]["name"].as_str().unwrap(), pod["subdomain"].as_str().unwrap());
    assert_eq!(variable(container, "MASTER_ADDR"), format!("{job_name}-0.{domain}"));
    assert_eq!(variable(container, "MASTER_PORT"), service["spec"]["ports"][0]["port"].to_string());
    assert_eq!(service["metadata"]["name"], domain);
    assert_eq!(service["spec"]["selector"], job["spec"]["template"]["metadata"]["labels"]);

    let replicas = &of_kind("training/pytorchjob.yaml", "PyTorchJob")["spec"]["pytorchReplicaSpecs"];
    let of = |kind: &str| replicas[kind]["replicas"].as_u64().unwrap();
    assert_eq!(of("Master") + of("Worker"), ranks);
    let trainer = &of_kind("training/trainjob.yaml", "TrainJob")["spec"]["trainer"];
    assert_eq!((&trainer["numNodes"], &trainer["numProcPerNode"]), (&ranks.into(), &1.into()));

    // All train the same thing, on one GPU for each rank.
    let local = of_kind("training/job.yaml", "Job")["spec"]["template"]["spec"]["containers"][0].clone();
    assert_eq!(variable(&local, "NPROC"), local["resources"]["limits"]["nvidia.com/gpu"]);
    let worker = &replicas["Worker"]["template"]["spec"]["containers"][0];
    for other in [container, worker, &replicas["Master"]["template"]["spec"]["containers"][0], trainer] {
        for field in ["image", "command", "args"] {
            assert_eq!(other[field], local[field], "{field}");
        }
        let resources = other.get("resources").unwrap_or(&other["resourcesPerNode"]);
        assert_eq!(resources["limits"]["nvidia.com/gpu"], "1");
    }
    let program = local["command"][0].as_str().unwrap();
    let dockerfile = fs::read_to_string(deploy().join("docker/Dockerfile.trainer")).unwrap();
    assert!(dockerfile.contains(&format!("ENTRYPOINT [\"{program}\"]")), "{program}");
    let config = strings(&local["args"])[2].strip_prefix("/opt/trm/").unwrap();
    assert!(deploy().join("..").join(config).is_file(), "{config}");
    let claim = of_kind("training/storage.yaml", "PersistentVolumeClaim");
    assert_eq!(pod["volumes"][0]["persistentVolumeClaim"]["claimName"], claim["metadata"]["name"]);
}

#[test]
fn the_shards_of_an_evaluation_are_all_of_it() {
    #[derive(Debug, Parser)]
    struct Program {
        #[command(flatten)]
        eval: EvalArgs,
    }
    let server = stand_in("server", "printf '%s\\n' \"$@\"");
    let job = of_kind("evaluation/job.yaml", "Job");
    let container = &job["spec"]["template"]["spec"]["containers"][0];
    let command = strings(&container["command"]);
    let script = command[2].replace("/opt/trm/bin/server", &server.path().join("server").display().to_string());
    let shards = job["spec"]["completions"].as_u64().unwrap();
    assert_eq!(variable(container, "SHARDS"), shards.to_string());
    let (mut found, mut folders) = (BTreeSet::new(), BTreeSet::new());
    for index in 0..shards {
        let environment = [("JOB_COMPLETION_INDEX", index.to_string()), ("SHARDS", shards.to_string())];
        let output = Command::new(command[0]).args([command[1], &script]).envs(environment).output().unwrap();
        let printed = lines(&output);
        assert_eq!(printed[0], "eval");
        let Program { eval } = Program::try_parse_from(&printed).unwrap_or_else(|error| panic!("{printed:?}: {error}"));
        let Shard { index, of } = eval.args.shard;
        assert_eq!(of, shards);
        found.insert(index);
        folders.insert(eval.args.out.unwrap().display().to_string());
    }
    assert_eq!(found.len() as u64, shards);

    let merge = of_kind("evaluation/merge.yaml", "Job");
    let command = strings(&merge["spec"]["template"]["spec"]["containers"][0]["command"]);
    assert_eq!(command[..3], ["/opt/trm/bin/server", "eval", "merge"]);
    let merged: BTreeSet<String> =
        command[3..].iter().take_while(|part| **part != "--out").map(|&part| part.to_owned()).collect();
    assert_eq!(merged, folders);
    Program::try_parse_from(&command[1..]).unwrap_or_else(|error| panic!("{command:?}: {error}"));
}
