//! What a launcher tells a process: the variables of `torchrun`, read and checked.

use std::env;
use std::str::FromStr;

use super::DistributedError;

/// This process among those that train together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Environment {
    /// `RANK`: number of this process, from 0.
    pub rank: usize,
    /// `WORLD_SIZE`: processes on all machines.
    pub world_size: usize,
    /// `LOCAL_RANK`: number of this process on its machine, which is also that of its GPU.
    pub local_rank: usize,
    /// `LOCAL_WORLD_SIZE`: processes on this machine.
    pub local_world_size: usize,
    /// `MASTER_ADDR`: host of the store.
    pub master_addr: String,
    /// `MASTER_PORT`: its port.
    pub master_port: u16,
    /// `TORCHELASTIC_RUN_ID`: keeps the stores' keys of several jobs apart.
    pub run_id: String,
    /// `TORCHELASTIC_RESTART_COUNT`: how often the launcher has started the processes anew.
    pub restart_count: u64,
    /// `TORCHELASTIC_USE_AGENT_STORE`: the launcher holds the store; without it rank 0 does.
    pub agent_holds_store: bool,
}

impl Environment {
    /// That of this process; `None` where no launcher has started several, so that it trains alone.
    ///
    /// # Errors
    /// When a variable is missing or impossible.
    pub fn from_env() -> Result<Option<Self>, DistributedError> {
        Self::read(|name| env::var(name).ok())
    }

    /// The same from any source of variables.
    ///
    /// # Errors
    /// When a variable is missing or impossible.
    pub fn read(get: impl Fn(&str) -> Option<String>) -> Result<Option<Self>, DistributedError> {
        let get = |name: &'static str| get(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
        let Some(world_size) = number::<usize>("WORLD_SIZE", get("WORLD_SIZE"))? else { return Ok(None) };
        if world_size == 0 {
            return Err(problem("WORLD_SIZE", "is 0, expected the number of processes"));
        }
        if world_size == 1 {
            return Ok(None);
        }
        let rank = needed("RANK", number("RANK", get("RANK"))?)?;
        let local_rank = number("LOCAL_RANK", get("LOCAL_RANK"))?.unwrap_or(rank);
        let local_world_size = number("LOCAL_WORLD_SIZE", get("LOCAL_WORLD_SIZE"))?.unwrap_or(world_size);
        for (variable, value, below) in [("RANK", rank, world_size), ("LOCAL_RANK", local_rank, local_world_size)] {
            if value >= below {
                return Err(problem(variable, format!("is {value}, expected a number below {below}")));
            }
        }
        if local_world_size > world_size {
            return Err(problem("LOCAL_WORLD_SIZE", format!("is {local_world_size}, but WORLD_SIZE is {world_size}")));
        }
        Ok(Some(Self {
            rank,
            world_size,
            local_rank,
            local_world_size,
            master_addr: needed("MASTER_ADDR", get("MASTER_ADDR"))?,
            master_port: needed("MASTER_PORT", number("MASTER_PORT", get("MASTER_PORT"))?)?,
            run_id: get("TORCHELASTIC_RUN_ID").unwrap_or_else(|| "none".to_owned()),
            restart_count: number("TORCHELASTIC_RESTART_COUNT", get("TORCHELASTIC_RESTART_COUNT"))?.unwrap_or(0),
            agent_holds_store: get("TORCHELASTIC_USE_AGENT_STORE").is_some_and(|value| value == "True"),
        }))
    }

    /// Whether this process owns the run's folder and log.
    pub fn is_first(&self) -> bool {
        self.rank == 0
    }

    /// Threads of this process where the machine's cores are shared evenly: at least 1.
    pub fn share_of(&self, cores: usize) -> usize {
        (cores / self.local_world_size).max(1)
    }

    /// Who holds the store, for messages.
    pub(super) fn store_holder(&self) -> &'static str {
        if self.agent_holds_store { "the launcher" } else { "rank 0" }
    }
}

fn number<T: FromStr>(variable: &'static str, value: Option<String>) -> Result<Option<T>, DistributedError> {
    let parsed =
        |value: String| value.parse().map_err(|_| problem(variable, format!("is `{value}`, expected a number")));
    value.map(parsed).transpose()
}

fn needed<T>(variable: &'static str, value: Option<T>) -> Result<T, DistributedError> {
    value.ok_or_else(|| {
        problem(
            variable,
            "is not set, but WORLD_SIZE is above 1; start with torchrun or trainer launch, or unset WORLD_SIZE",
        )
    })
}

fn problem(variable: &'static str, problem: impl Into<String>) -> DistributedError {
    DistributedError::Environment { variable, problem: problem.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Option<Environment>, String> {
        let find = |name: &str| {
            line.split_whitespace()
                .filter_map(|pair| pair.split_once('='))
                .find(|pair| pair.0 == name)
                .map(|pair| pair.1.to_owned())
        };
        Environment::read(find).map_err(|error| error.to_string())
    }

    #[test]
    fn the_variables_of_torchrun_are_read() {
        let line = "RANK=5 WORLD_SIZE=8 LOCAL_RANK=1 LOCAL_WORLD_SIZE=4 MASTER_ADDR=node0 MASTER_PORT=29500 \
                    TORCHELASTIC_RUN_ID=job TORCHELASTIC_RESTART_COUNT=2 TORCHELASTIC_USE_AGENT_STORE=True";
        let found = read(line).expect("complete").expect("several processes");
        assert_eq!((found.rank, found.world_size, found.local_rank, found.local_world_size), (5, 8, 1, 4));
        assert_eq!((found.master_addr.as_str(), found.master_port, found.restart_count), ("node0", 29500, 2));
        assert!(found.agent_holds_store && !found.is_first());
        assert_eq!((found.share_of(16), found.share_of(2)), (4, 1));
        // Without an elastic launcher.
        let plain = read("RANK=0 WORLD_SIZE=2 MASTER_ADDR=::1 MASTER_PORT=1").expect("complete").expect("several");
        assert_eq!((plain.local_rank, plain.local_world_size, plain.agent_holds_store), (0, 2, false));
    }

    #[test]
    fn one_process_is_alone_and_impossible_values_are_named() {
        for alone in ["", "WORLD_SIZE=1", "WORLD_SIZE= RANK=3"] {
            assert_eq!(read(alone), Ok(None));
        }
        for (line, says) in [
            ("WORLD_SIZE=two", "WORLD_SIZE: is `two`, expected a number"),
            ("WORLD_SIZE=0", "WORLD_SIZE: is 0"),
            ("WORLD_SIZE=2", "RANK: is not set, but WORLD_SIZE is above 1"),
            ("WORLD_SIZE=2 RANK=2 MASTER_ADDR=a MASTER_PORT=1", "RANK: is 2, expected a number below 2"),
            ("WORLD_SIZE=2 RANK=1 MASTER_PORT=1", "MASTER_ADDR: is not set"),
            ("WORLD_SIZE=2 RANK=1 MASTER_ADDR=a MASTER_PORT=70000", "MASTER_PORT: is `70000`, expected a number"),
            ("WORLD_SIZE=2 RANK=1 LOCAL_WORLD_SIZE=4 MASTER_ADDR=a MASTER_PORT=1", "LOCAL_WORLD_SIZE: is 4"),
        ] {
            let message = read(line).expect_err("impossible");
            assert!(message.contains(says), "{line}: {message}");
        }
    }
}
