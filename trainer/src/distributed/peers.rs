//! The other processes before anything is computed: they agree on the run's name, check that all were started alike, wait
//! for rank 0 to prepare the folder, and connect.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use serde_json::Value;
use tch::Device;

use super::{DistributedError, Environment, ProcessGroup, Ranks, Store};

/// Settings that ranks may differ in.
const LOCAL_SETTINGS: [&str; 1] = ["config.threads"];
/// Differences that a message lists.
const MOST_DIFFERENCES: usize = 3;

/// This process and the store in which the others are met.
#[derive(Debug)]
pub struct Peers {
    /// What the launcher said.
    pub environment: Environment,
    store: Store,
    timeout: Duration,
}

impl Peers {
    /// Reaches the store, where all must have been started for the same number of ranks.
    ///
    /// # Errors
    /// When no store answers within `timeout`, which every later wait and collective has, too, or ranks disagree on
    /// their number.
    pub fn join(environment: Environment, timeout: Duration) -> Result<Self, DistributedError> {
        let store = Store::join(&environment, timeout)?;
        let Environment { rank, world_size, .. } = environment;
        let mine = format!("{world_size} {rank}");
        let first = store.set_first("world_size", &mine)?;
        if let Some((size, other)) = first.split_once(' ')
            && size != world_size.to_string()
        {
            let other = other.parse().unwrap_or(0);
            let problem = format!("WORLD_SIZE is {world_size} here and {size} there");
            let error = DistributedError::Different { rank, other, problem };
            store.post_failure(rank, &error.to_string());
            return Err(error);
        }
        Ok(Self { environment, store, timeout })
    }

    /// What rank 0 chose, which it may have done before the launcher started the processes anew.
    ///
    /// # Errors
    /// When rank 0 fails or is late.
    pub fn chosen(&self, key: &str, choose: impl FnOnce() -> String) -> Result<String, DistributedError> {
        if self.environment.is_first() {
            let value = self.store.set_first_of_job(key, &choose())?;
            self.store.set(key, &value)?;
            return Ok(value);
        }
        self.store.wait(key, &format!("the {key} that rank 0 chooses"))
    }

    /// Compares `settings`, a table, with those of every rank.
    ///
    /// # Errors
    /// On every rank alike when one of them differs from rank 0's, or a rank is late.
    pub fn check_settings(&self, settings: &Value) -> Result<(), DistributedError> {
        let Environment { rank, world_size, .. } = self.environment;
        let mine = flattened(settings);
        self.store.set(&format!("settings/{rank}"), &serde_json::to_string(&mine).unwrap_or_default())?;
        let mut first = None;
        for other in 0..world_size {
            let text = self.store.wait(&format!("settings/{other}"), &format!("the settings of rank {other}"))?;
            let theirs: BTreeMap<String, Value> = serde_json::from_str(&text).unwrap_or_default();
            let first = first.get_or_insert_with(|| theirs.clone());
            let problem = differences(first, &theirs);
            if !problem.is_empty() {
                return Err(DistributedError::Different { rank: other, other: 0, problem });
            }
        }
        Ok(())
    }

    /// On rank 0: lets the others go on. On the others: waits for that.
    ///
    /// # Errors
    /// When rank 0 fails or is late.
    pub fn after_the_first(&self, what: &str) -> Result<(), DistributedError> {
        if self.environment.is_first() {
            return self.store.set(what, "1");
        }
        self.store.wait(what, &format!("rank 0 to say `{what}`")).map(drop)
    }

    /// Connects to all ranks, for tensors on `device`.
    ///
    /// # Errors
    /// When a rank does not come.
    pub fn connect(&self, device: Device) -> Result<Ranks, DistributedError> {
        let group = ProcessGroup::connect(&self.environment, self.store.clone(), device, self.timeout)?;
        Ok(Ranks::of(Rc::new(group)))
    }

    /// Says why this process fails, so that the others name it.
    pub fn post_failure(&self, reason: &str) {
        self.store.post_failure(self.environment.rank, reason);
    }
}

/// Dotted keys and their values, without those that ranks may differ in.
fn flattened(settings: &Value) -> BTreeMap<String, Value> {
    fn walk(prefix: &str, value: &Value, into: &mut BTreeMap<String, Value>) {
        match value {
            Value::Object(table) => {
                for (key, value) in table {
                    walk(&if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") }, value, into);
                }
            }
            value => _ = into.insert(prefix.to_owned(), value.clone()),
        }
    }
    let mut flat = BTreeMap::new();
    walk("", settings, &mut flat);
    flat.retain(|key, _| !LOCAL_SETTINGS.contains(&key.as_str()));
    flat
}

/// `lr is 0.1 on one and 0.2 on the other`, empty where nothing differs.
fn differences(first: &BTreeMap<String, Value>, other: &BTreeMap<String, Value>) -> String {
    let missing = Value::Null;
    let keys: std::collections::BTreeSet<&String> = first.keys().chain(other.keys()).collect();
    let different = keys.into_iter().filter_map(|key| {
        let (expected, found) = (first.get(key).unwrap_or(&missing), other.get(key).unwrap_or(&missing));
        let name = key.strip_prefix("config.").unwrap_or(key);
        (expected != found).then(|| format!("{name} is {found}, and {expected} on rank 0"))
    });
    different.take(MOST_DIFFERENCES).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn differences_are_named_by_their_keys_and_threads_are_each_ranks_own() {
        let flat =
            |lr: f64, threads: u32| flattened(&json!({"config": {"lr": lr, "threads": threads, "arch": {"a": 1}}}));
        assert_eq!(differences(&flat(0.1, 1), &flat(0.1, 2)), "");
        assert_eq!(differences(&flat(0.1, 1), &flat(0.2, 1)), "lr is 0.2, and 0.1 on rank 0");
        let missing = flattened(&json!({"config": {"lr": 0.1}}));
        assert_eq!(differences(&flat(0.1, 1), &missing), "arch.a is null, and 1 on rank 0");
    }
}
