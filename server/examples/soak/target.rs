//! The server under load: started on a port, watched, stopped by SIGTERM or killed.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use hyper::Request;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;

use crate::client;

/// A running server.
pub(crate) struct Target {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    child: Child,
    /// Ends with the log: whether it said that every accepted request has its answer.
    log: JoinHandle<bool>,
}

/// Any free port.
pub(crate) const ANY_PORT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

impl Target {
    /// Starts the server and returns when it listens, which is when its models are ready.
    pub(crate) async fn start(program: Option<PathBuf>, bind: SocketAddr, flags: &[String]) -> Result<Self> {
        let program = match program {
            Some(program) => program,
            None => beside_this_program()?,
        };
        let mut child = Command::new(&program)
            .args(["--bind", &bind.to_string()])
            .args(flags)
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {}; build it with --release first", program.display()))?;
        let stderr = child.stderr.take().context("no stderr")?;
        let mut lines = BufReader::new(stderr).lines();
        let address = loop {
            let line = lines.next_line().await?.context("the server ended before it listened")?;
            if let Some(address) = line.split("listening on http://").nth(1) {
                let address = address.split([';', ' ']).next().unwrap_or_default();
                break address.parse().with_context(|| format!("no address in {line:?}"))?;
            }
        };
        // Read to its end in any case: a full pipe would stop the server.
        let log = tokio::spawn(async move {
            let mut all_answered = false;
            while let Ok(Some(line)) = lines.next_line().await {
                all_answered |= line.contains("every accepted request has its answer");
            }
            all_answered
        });
        Ok(Self { address, child, log })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id().unwrap_or_default()
    }

    /// The engines' counters, by model.
    pub(crate) async fn counters(&self) -> Result<Value> {
        let reply = client::send(self.address, Request::get("/info").body(String::new())?).await?;
        let info: Value = serde_json::from_slice(&reply.body)?;
        let models = info["models"].as_array().context("/info names no models")?;
        let named = models.iter().map(|model| (text(&model["name"]), model["engine"]["counters"].clone()));
        Ok(Value::Object(named.collect()))
    }

    /// Kills it with SIGKILL.
    pub(crate) async fn kill(mut self) -> Result<()> {
        self.child.kill().await.context("SIGKILL could not be sent")
    }

    /// Sends SIGTERM and waits for the end: how long it took. An error when accepted requests were cut off.
    pub(crate) async fn stop(mut self) -> Result<Duration> {
        let started = std::time::Instant::now();
        let status = Command::new("kill").arg(self.pid().to_string()).status().await.context("kill")?;
        ensure!(status.success(), "SIGTERM could not be sent");
        let ended = tokio::time::timeout(Duration::from_mins(1), self.child.wait()).await;
        let status = ended.context("the server did not end within a minute of SIGTERM")??;
        ensure!(status.success(), "the server ended with {status}");
        ensure!(self.log.await.context("the log's reader broke")?, "the server cut off requests that it had accepted");
        Ok(started.elapsed())
    }
}

/// Resident memory of a process.
pub(crate) fn resident_bytes(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? << 10)
}

/// `target/release/server` for `target/release/examples/soak`.
fn beside_this_program() -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    let folder =
        own.parent().and_then(|examples| examples.parent()).context("this program lies in no target folder")?;
    Ok(folder.join("server"))
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
