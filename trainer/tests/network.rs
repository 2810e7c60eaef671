//! Two ranks on two machines, which are network namespaces joined by a virtual cable: when the cable is pulled, both end
//! and name the other, and the run goes on from a whole checkpoint to the bytes of one that was never cut.

#![allow(clippy::unwrap_used, reason = "a panic is a failed test")]

#[path = "../../tests/src/not_run.rs"]
#[allow(clippy::unwrap_used, unreachable_pub, reason = "a file of a crate whose tests are its library")]
mod not_run;
mod process;

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use models::Checkpoint;
use not_run::not_run;
use process::{assert_same_content, succeed, tiny, words};
use tempfile::TempDir;

const STEPS: u64 = 60;

/// Lays the cable, runs the command as two ranks, and cuts it once a line comes in. This shell's own namespace is the
/// machine of rank 0; the second lives as long as the sleeping process. Each rank's status is left in a file.
const TWO_MACHINES: &str = r#"
set -e
ip link set lo up
unshare --net sleep 600 & far=$!
trap 'kill $far' EXIT
until [ "$(readlink /proc/$far/ns/net)" != "$(readlink /proc/$$/ns/net)" ]; do sleep 0.01; done
ip link add near type veth peer name far
ip link set far netns $far
ip address add 10.77.0.1/24 dev near
ip link set near up
nsenter --net=/proc/$far/ns/net sh -c 'ip link set lo up; ip address add 10.77.0.2/24 dev far; ip link set far up'
export WORLD_SIZE=2 LOCAL_RANK=0 LOCAL_WORLD_SIZE=1 MASTER_ADDR=10.77.0.1 MASTER_PORT=29500
(status=0; RANK=0 GLOO_SOCKET_IFNAME=near "$@" 2> rank0.log || status=$?; echo $status > rank0.status) & zero=$!
(status=0; RANK=1 GLOO_SOCKET_IFNAME=far nsenter --net=/proc/$far/ns/net -- "$@" 2> rank1.log || status=$?
    echo $status > rank1.status) & one=$!
if read -r end; then
    if [ "$end" = near ]; then ip link set near down; else nsenter --net=/proc/$far/ns/net ip link set far down; fi
fi
wait $zero $one
"#;

/// What this machine lacks, if anything. Root may make namespaces, and so may others where user namespaces are allowed.
fn namespaces() -> Result<&'static [&'static str], &'static str> {
    let works = |options: &[&str]| {
        let test = "ip link add near type veth peer name far && nsenter --net=/proc/$$/ns/net true";
        let status = Command::new("unshare").args(options).args(["sh", "-c", test]).stderr(Stdio::null()).status();
        status.is_ok_and(|status| status.success())
    };
    for options in [&["--net"][..], &["--net", "--map-root-user"]] {
        if works(options) {
            return Ok(options);
        }
    }
    Err(
        "run it where `unshare --net ip link add near type veth peer name far` works (Debian: iproute2; root, or user namespaces)",
    )
}

/// Both ranks, and the cable between them.
struct TwoMachines(Child);

impl TwoMachines {
    fn start(unshare: &[&str], folder: &Path, arguments: &[String]) -> Self {
        let mut command = Command::new("unshare");
        command.args(unshare).args(["sh", "-c", TWO_MACHINES, "sh", env!("CARGO_BIN_EXE_trainer")]).args(arguments);
        command.current_dir(folder).env("OMP_NUM_THREADS", "1").env("RUST_BACKTRACE", "0");
        Self(command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::inherit()).spawn().unwrap())
    }

    /// Takes the interface `end` down.
    fn cut(&mut self, end: &str) {
        writeln!(self.0.stdin.as_mut().unwrap(), "{end}").unwrap();
    }

    /// Waits for both ranks; gives their statuses.
    fn end(mut self, folder: &Path) -> (ExitStatus, [i32; 2]) {
        drop(self.0.stdin.take());
        let status = self.0.wait().unwrap();
        (status, [0, 1].map(|rank| said(folder, rank, "status").trim().parse().unwrap()))
    }
}

fn said(folder: &Path, rank: usize, what: &str) -> String {
    fs::read_to_string(folder.join(format!("rank{rank}.{what}"))).unwrap_or_default()
}

fn wait_for_checkpoint_after(step: u64, folder: &Path) -> u64 {
    loop {
        let last = fs::read_link(folder.join("run/last")).ok();
        let found = last.and_then(|last| last.to_str()?.trim_start_matches("step_").parse().ok());
        if let Some(found) = found.filter(|&found| found > step) {
            return found;
        }
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_cut_cable_ends_both_ranks_and_leaves_a_checkpoint_to_go_on_from() {
    let unshare = match namespaces() {
        Ok(unshare) => unshare,
        Err(how) => return not_run("ranks whose network is cut", how),
    };
    let settings =
        words("eval_interval_steps=1000 checkpoint_interval=2 log_interval=1 checkpoint_path=run eval_count=8");
    let fresh = [words("pretrain"), tiny(STEPS), settings, words("collective_timeout=6")].concat();
    let expected = TempDir::new().unwrap();
    succeed(expected.path(), &[words("launch --nproc 2 --"), fresh.clone()].concat());

    let folder = TempDir::new().unwrap();
    let (mut arguments, mut step) = (fresh, 0);
    for end in ["near", "far"] {
        let mut machines = TwoMachines::start(unshare, folder.path(), &arguments);
        step = wait_for_checkpoint_after(step, folder.path());
        machines.cut(end);
        let begin = Instant::now();
        let (_, statuses) = machines.end(folder.path());
        println!("cut at the {end} end after step {step}: both ended within {:.1} s", begin.elapsed().as_secs_f64());
        let messages = [0, 1].map(|rank| said(folder.path(), rank, "log"));
        assert_eq!(statuses, [1, 1], "{messages:?}");
        for (message, other) in messages.iter().zip([1, 0]) {
            let says = format!("rank {other} ended, hangs or cannot be reached: no answer after ");
            assert!(message.contains(&says), "{message}");
            println!("{}", message.lines().last().unwrap_or_default());
        }
        // What `last` leads to is whole: manifest, weights, and the state of both ranks.
        let last = folder.path().join("run/last");
        Checkpoint::open(&last).unwrap();
        assert!(last.join("training_state.rank1.safetensors").is_file());
        arguments = words("pretrain resume=run");
    }
    let (_, statuses) = TwoMachines::start(unshare, folder.path(), &arguments).end(folder.path());
    assert_eq!(statuses, [0, 0], "{}", said(folder.path(), 0, "log"));
    assert_same_content(&expected.path().join("run"), &folder.path().join("run"));
}
