//! The tools that must already be on the machine: rustfmt, clippy, a C++ compiler. Each one that lacks is one sentence
//! with the fix.

use std::env;
use std::io::Write as _;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};

use crate::native::Project;

/// Checks that the C++ compiler which torch-sys will call compiles C++17 with the standard library.
///
/// # Errors
/// If there is none, or it lacks the library's headers; the message says what to install.
pub(crate) fn check_cxx_compiler() -> Result<()> {
    let compiler = cxx_compiler();
    let mut child = match Command::new(&compiler)
        .args(["-std=c++17", "-fsyntax-only", "-x", "c++", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
    {
        Ok(child) => child,
        Err(error) => bail!(
            "the trainer needs a C++17 compiler, and `{compiler}` cannot be run ({error}): install one \
             (Debian, Ubuntu: `apt-get install g++`; Fedora: `dnf install gcc-c++`; macOS: `xcode-select --install`)"
        ),
    };
    // A compiler that stops early closes the pipe; its own message tells more than ours would.
    let _ = child.stdin.take().map(|mut stdin| stdin.write_all(b"#include <memory>\n#include <string>\n"));
    let output = child.wait_with_output().with_context(|| format!("cannot wait for `{compiler}`"))?;
    ensure!(
        output.status.success(),
        "`{compiler}` cannot compile C++17 with the standard library; install it anew or set CXX to another compiler \
         (Debian, Ubuntu: `apt-get install g++`). It says: {}",
        String::from_utf8_lossy(&output.stderr).lines().next().unwrap_or_default()
    );
    Ok(())
}

/// The C++ compiler that build scripts will call.
pub(crate) fn cxx_compiler() -> String {
    env::var("CXX").ok().filter(|value| !value.is_empty()).unwrap_or_else(|| "c++".to_owned())
}

/// Checks that cargo has a subcommand which is a component of its own.
pub(crate) fn check_component(project: &Project, subcommand: &str, component: &str) -> Result<()> {
    let found = project
        .cargo()
        .args([subcommand, "--version"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    ensure!(found, "`cargo {subcommand}` is not installed: run `rustup component add {component}`");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_component_says_how_to_add_it() {
        let project = Project::here();
        check_component(&project, "fmt", "rustfmt").unwrap();
        let message = check_component(&project, "no-such-subcommand", "nothing").unwrap_err().to_string();
        assert!(message.contains("rustup component add nothing"), "{message}");
    }

    #[test]
    fn the_compiler_of_this_machine_is_accepted() {
        check_cxx_compiler().unwrap();
    }
}
