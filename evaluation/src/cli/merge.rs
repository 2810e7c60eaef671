//! `server eval merge`: the report of a whole run from the folders of its shards.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use super::logs::{Part, log_path, read_run, report};
use super::output::say;
use super::{MergeArgs, arc, command_line};
use crate::log::{LogHeader, difference, header_of};
use crate::report::RunFacts;

pub(super) fn merge(args: &MergeArgs) -> Result<()> {
    if log_path(&args.shards[0], arc::PART).is_file() {
        let headers = headers(args, arc::PART)?;
        check(&headers)?;
        return arc::report(&args.shards, &args.out);
    }
    let mut facts = read_run(&args.shards[0])?;
    let mut parts = vec![Part::Steps, Part::Served];
    if !facts.chain_points.is_empty() {
        parts.push(Part::Chains);
    }
    let mut clients = 0;
    for part in parts {
        let headers = headers(args, part.name())?;
        check(&headers)?;
        clients = headers[0].1.run["clients"].as_u64().unwrap_or_default() as usize;
    }
    facts = RunFacts { command: command_line(), ..facts };
    let (report, _) = report(&args.shards, facts, clients, None)?;
    say(report.to_terminal())?;
    report.write(&args.out)?;
    say(format_args!("report   {} and report.md", args.out.join("report.json").display()))
}

fn headers<'a>(args: &'a MergeArgs, part: &str) -> Result<Vec<(&'a Path, LogHeader)>> {
    let of = |folder: &'a PathBuf| Ok((folder.as_path(), header_of(&log_path(folder, part))?));
    args.shards.iter().map(of).collect()
}

/// Whether the logs are all shards of one run, each once.
fn check(headers: &[(&Path, LogHeader)]) -> Result<()> {
    let (first_folder, first) = &headers[0];
    let mut seen = BTreeSet::new();
    for (folder, header) in headers {
        if let Some((field, left, right)) = difference(&first.run, &header.run) {
            bail!(
                "cannot merge {} and {}: `{field}` is {left} in the one and {right} in the other",
                first_folder.display(),
                folder.display()
            );
        }
        if header.shard.of != first.shard.of {
            let (left, right) = (first.shard, header.shard);
            bail!("cannot merge shard {left} with shard {right}: they are parts of different divisions");
        }
        if !seen.insert(header.shard.index) {
            bail!("cannot merge: shard {} is there twice, the second time in {}", header.shard, folder.display());
        }
    }
    if let Some(missing) = (1..=first.shard.of).find(|index| !seen.contains(index)) {
        bail!("cannot merge: shard {missing}/{} is missing; name the folders of all shards", first.shard.of);
    }
    Ok(())
}
