//! The user's pip: whether there is one, where it would take a wheel from, and fetching through it. Index, mirror,
//! proxy and certificates are the user's own configuration, which only pip knows; downloading itself is `download`.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use crate::recipe::{PYTHON_VERSION, Wheel};

/// A way to call pip that has been seen to work.
#[derive(Debug, Clone)]
pub(crate) struct Pip {
    command: &'static [&'static str],
    /// What `pip --version` says.
    pub(crate) version: String,
}

/// How pip may be called, the likeliest first.
const COMMANDS: &[&[&str]] = &[&["python3", "-m", "pip"], &["python", "-m", "pip"], &["pip3"], &["pip"]];

impl Pip {
    /// The first pip that answers.
    pub(crate) fn find() -> Result<Self> {
        COMMANDS.iter().find_map(|command| Self::try_command(command)).context(
            "pip was not found, and native libraries and ARC tasks come from the Python package index: install it \
             (Debian, Ubuntu: `apt-get install python3-pip`; Fedora: `dnf install python3-pip`; \
             macOS: `brew install python`), or set ORT_DYLIB_PATH and LIBTORCH to libraries of your own",
        )
    }

    /// The address from which pip would take the wheel, or `None` if pip does not tell.
    ///
    /// pip's candidates are read from its debug log: `pip download --dry-run` does not exist, and
    /// `pip install --dry-run --report` fetches the whole file in the versions before 23.3. Where a version of pip
    /// words its log differently, or masks credentials in the address, the caller has [`Pip::download`].
    pub(crate) fn locate(&self, wheel: &Wheel) -> Option<String> {
        let output = self
            .command()
            .args(["-vv", "index", "versions", wheel.project])
            .args(target_options(wheel))
            .stdin(Stdio::null())
            .output()
            .ok()?;
        let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        stdout.lines().chain(stderr.lines()).find_map(|line| found_link(line, wheel.file_name))
    }

    /// Lets pip itself fetch the wheel into `folder`, with pip's own progress on the terminal.
    pub(crate) fn download(&self, wheel: &Wheel, folder: &Path) -> Result<()> {
        let requirement = format!("{}=={}", wheel.project, wheel.version);
        let status = self
            .command()
            .args(["download", "--no-deps", "--dest"])
            .arg(folder)
            .args(target_options(wheel))
            .arg(&requirement)
            .stdin(Stdio::null())
            .status()
            .with_context(|| format!("cannot run `{}`", self.command.join(" ")))?;
        if !status.success() {
            bail!(
                "`{} download {requirement}` failed ({status}): see pip's message above; without network, put {} into a \
                 folder and set TRM_NATIVE_CACHE to it",
                self.command.join(" "),
                wheel.file_name
            );
        }
        Ok(())
    }

    fn try_command(command: &'static [&'static str]) -> Option<Self> {
        let output =
            Command::new(command[0]).args(&command[1..]).arg("--version").stdin(Stdio::null()).output().ok()?;
        let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        (output.status.success() && version.starts_with("pip ")).then_some(Self { command, version })
    }

    fn command(&self) -> Command {
        let mut command = Command::new(self.command[0]);
        command.args(&self.command[1..]).env("PIP_DISABLE_PIP_VERSION_CHECK", "1");
        command
    }
}

/// The options that make pip choose the wheel of our platform tag whatever interpreter runs it.
fn target_options(wheel: &Wheel) -> [&str; 7] {
    [
        "--only-binary=:all:",
        "--platform",
        wheel.platform_tag,
        "--python-version",
        PYTHON_VERSION,
        "--implementation",
        "cp",
    ]
}

/// The address in a line `Found link ADDRESS [(from PAGE) …], version: …` of pip's log, if it is that of `file_name`.
fn found_link(line: &str, file_name: &str) -> Option<String> {
    let address = line.trim_start().strip_prefix("Found link ")?.split_whitespace().next()?;
    // A file of a local folder has no page that it is "(from …)", so that the comma of the sentence follows it.
    let address = address.trim_end_matches(',').split(['#', '?']).next()?;
    let usable = address.rsplit('/').next() == Some(file_name) && !address.contains("****");
    usable.then(|| address.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "torch-2.13.0-cp311-cp311-manylinux_2_28_x86_64.whl";

    #[test]
    fn the_address_is_read_from_the_log_of_pip() {
        let line = format!(
            "  Found link https://mirror.example/packages/01/79/{FILE}#sha256=60fc (from \
             https://mirror.example/simple/torch/) (requires-python:>=3.10), version: 2.13.0"
        );
        assert_eq!(found_link(&line, FILE), Some(format!("https://mirror.example/packages/01/79/{FILE}")));
        let local = format!("  Found link file:///opt/wheels/{FILE}, version: 2.13.0");
        assert_eq!(found_link(&local, FILE), Some(format!("file:///opt/wheels/{FILE}")));
    }

    #[test]
    fn other_files_other_lines_and_masked_credentials_are_not_taken() {
        let other = "  Found link https://mirror.example/torch-2.13.1-cp311-cp311-manylinux_2_28_x86_64.whl (from x)";
        assert_eq!(found_link(other, FILE), None);
        assert_eq!(
            found_link(&format!("Skipping link: wrong tag: https://mirror.example/{FILE} (from x)"), FILE),
            None
        );
        let masked = format!("Found link https://user:****@mirror.example/{FILE} (from x), version: 2.13.0");
        assert_eq!(found_link(&masked, FILE), None);
    }
}
