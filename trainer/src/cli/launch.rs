//! `trainer launch`: its arguments and its messages.

use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::Args;
use trainer::launch::{Ended, Launch};
use trainer::stopping::{INTERRUPTED, on_signals};

/// Ranks to start and what they run.
#[derive(Args)]
pub(crate) struct LaunchArguments {
    /// Processes; each is a rank, and takes the GPU of its number under device=cuda
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(2..))]
    nproc: u16,
    /// How often all ranks are started anew, from the last checkpoint, after one has failed
    #[arg(long, value_name = "K", default_value_t = 0)]
    max_restarts: u64,
    /// pretrain and its settings
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<String>,
}

/// Runs the ranks to their end.
pub(crate) fn run(arguments: &LaunchArguments) -> anyhow::Result<ExitCode> {
    if arguments.command.first().is_none_or(|command| command != "pretrain") {
        bail!(
            "`{}` does not run on several ranks; write: trainer launch --nproc 2 -- pretrain …",
            arguments.command[0]
        );
    }
    let launch = Launch {
        nproc: usize::from(arguments.nproc),
        max_restarts: arguments.max_restarts,
        program: std::env::current_exe().context("cannot find this program's own file")?,
        arguments: arguments.command.clone(),
    };
    let stop = on_signals().context("cannot listen for signals")?;
    match launch.run(&stop, |note| eprintln!("{note}"))? {
        Ended::Finished => Ok(ExitCode::SUCCESS),
        Ended::Interrupted => Ok(ExitCode::from(INTERRUPTED)),
    }
}
