//! Names of runs that have none: the reference's `<Dataset>-ACT-torch` and `<Model> <two words>`.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::PretrainConfig;

const ADJECTIVES: [&str; 32] = [
    "amber", "bold", "brisk", "calm", "clever", "copper", "curious", "eager", "early", "fair", "gentle", "golden",
    "green", "happy", "honest", "keen", "kind", "lively", "lucid", "mellow", "nimble", "patient", "plain", "proud",
    "quick", "quiet", "silver", "steady", "sunny", "tidy", "warm", "witty",
];
const ANIMALS: [&str; 32] = [
    "badger", "beaver", "bison", "crane", "cricket", "dolphin", "eagle", "falcon", "ferret", "finch", "fox", "gecko",
    "hare", "heron", "ibex", "jackal", "kestrel", "lark", "lemur", "lynx", "magpie", "marten", "newt", "otter", "owl",
    "panda", "puffin", "raven", "seal", "stork", "tapir", "wren",
];
/// Slugs to try before a number makes the name unique.
const ATTEMPTS: usize = 64;

impl PretrainConfig {
    /// Gives a run without names those that the reference gives, so that a second run does not meet the first one's
    /// folder: the data set and the architecture, with two words that no folder beside it has. A run with a given
    /// folder keeps it, and one with a `run_name` alone lies in `checkpoints`, as always.
    pub fn name_run(&mut self) {
        if self.checkpoint_path.is_some() || self.run_name.is_some() {
            return;
        }
        let project = self.project();
        let folder = Path::new(super::CHECKPOINTS).join(&project);
        self.project_name = Some(project);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_nanos() as u64);
        self.run_name =
            Some(free_name(self.arch.name(), now ^ u64::from(std::process::id()), |name| folder.join(name).exists()));
    }

    /// The project of the run: the one that is set, or the reference's `<Dataset>-ACT-torch`.
    pub(crate) fn project(&self) -> String {
        self.project_name.clone().unwrap_or_else(|| format!("{}-ACT-torch", self.data_name()))
    }

    /// The first data folder's name, or the generated boards', its first letter in upper case as Python's `capitalize`
    /// makes it.
    fn data_name(&self) -> String {
        let folder = self.data_paths.first().and_then(|path| path.file_name()).map(|name| name.to_string_lossy());
        let name = match (folder, self.generators().first()) {
            (Some(folder), _) => folder.into_owned(),
            (None, Some((generator, _))) => generator.task_name(),
            (None, None) => "data".to_owned(),
        };
        let mut letters = name.chars();
        letters.next().map_or_else(String::new, |first| {
            first.to_uppercase().chain(letters.flat_map(char::to_lowercase)).collect()
        })
    }
}

/// `{arch}-{adjective}-{animal}` that is not `taken`.
fn free_name(arch: &str, seed: u64, taken: impl Fn(&str) -> bool) -> String {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut slug = || {
        let word = |words: &[&'static str; 32], index: usize| words[index];
        let (first, second) = (rng.random_range(0..32), rng.random_range(0..32));
        format!("{arch}-{}-{}", word(&ADJECTIVES, first), word(&ANIMALS, second))
    };
    if let Some(free) = (0..ATTEMPTS).map(|_| slug()).find(|name| !taken(name)) {
        return free;
    }
    let (base, mut number) = (slug(), 2);
    loop {
        let name = format!("{base}-{number}");
        if !taken(&name) {
            return name;
        }
        number += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_name_is_not_given_again() {
        let first = free_name("trm", 7, |_| false);
        assert!(first.starts_with("trm-") && first.split('-').count() == 3, "{first}");
        assert_eq!(free_name("trm", 7, |_| false), first);
        assert_ne!(free_name("trm", 7, |name| name == first), first);
        // All slugs are taken: the first number that is free.
        let numbered = free_name("trm", 7, |name| !name.ends_with("-3"));
        assert!(numbered.ends_with("-3") && numbered.split('-').count() == 4, "{numbered}");
    }
}
