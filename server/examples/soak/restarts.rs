//! Servers that come and go under load: replaced as a rolling update does it, and killed.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde::Serialize;

use crate::load::{Load, Service};
use crate::report::{KindReport, Tally};
use crate::target::{ANY_PORT, Target};

/// Undisturbed time before each restart.
const CALM: Duration = Duration::from_secs(15);
/// Between the moment when clients are sent elsewhere and SIGTERM: the `preStop` of `deploy/kubernetes`.
const BEFORE_SIGTERM: Duration = Duration::from_secs(1);
/// How long no server listens after SIGKILL.
const DOWN: Duration = Duration::from_secs(1);
/// The drain's bound is that of `deploy/kubernetes`. The old server works off its queue beside the new one here, on the
/// same cores and hence at half its speed or less: the queue is kept so short that the last of it is in time all the same.
const FLAGS: [&str; 4] = ["--drain-timeout-ms", "40000", "--max-wait-ms", "5000"];

/// What happened.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Restarts {
    /// From SIGTERM to the end, of each server that was replaced.
    pub(crate) drain_seconds: Vec<f64>,
    /// From SIGKILL to readiness, of each that was killed.
    pub(crate) outage_seconds: Vec<f64>,
    pub(crate) not_sent: usize,
    pub(crate) kinds: Vec<KindReport>,
}

/// Sends `load` to servers that are replaced and killed in turns. An error when a replaced server cut off a request.
pub(crate) async fn run(program: Option<PathBuf>, flags: &[String], load: Load) -> Result<Restarts> {
    let flags: Vec<String> = flags.iter().cloned().chain(FLAGS.map(str::to_owned)).collect();
    let mut target = Target::start(program.clone(), ANY_PORT, &flags).await?;
    let service = Arc::new(Service::new(target.address));
    let tally = Arc::new(Tally::default());
    let mut restarts = Restarts::default();
    let clients = {
        let (service, tally) = (service.clone(), tally.clone());
        tokio::spawn(async move { load.send(&service, &tally).await })
    };
    while !clients.is_finished() {
        tokio::time::sleep(CALM).await;
        if restarts.drain_seconds.len() <= restarts.outage_seconds.len() {
            let next = Target::start(program.clone(), ANY_PORT, &flags).await?;
            service.move_to(next.address);
            tokio::time::sleep(BEFORE_SIGTERM).await;
            let drained = std::mem::replace(&mut target, next).stop().await?;
            restarts.drain_seconds.push(drained.as_secs_f64());
        } else {
            let (address, died) = (target.address, Instant::now());
            service.dies();
            target.kill().await?;
            service.is_dead();
            tokio::time::sleep(DOWN).await;
            target = Target::start(program.clone(), address, &flags).await?;
            service.lives();
            restarts.outage_seconds.push(died.elapsed().as_secs_f64());
        }
    }
    restarts.not_sent = clients.await.context("the clients broke")??;
    target.stop().await?;
    restarts.kinds = tally.by_kind();
    Ok(restarts)
}
