//! `cargo xtask doctor`: what this machine offers and which tools and libraries are used, each seen to work; the fix for
//! what is missing. It repairs nothing: that is `native`'s and `install`'s business.

use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context as _, Result, anyhow, ensure};

use crate::native::{Library, Place, Project};
use crate::pip::Pip;
use crate::recipe::LIBTORCH_VERSION;
use crate::tiny_session::CUDA;
use crate::{install, machine, probe, toolchain};

/// The report as it grows: lines are printed at once, what is missing is summed up at the end.
#[derive(Default)]
struct Report {
    missing: Vec<String>,
}

impl Report {
    fn needed(&mut self, name: &str, value: Result<String>) {
        match value {
            Ok(value) => fact(name, &value),
            Err(error) => {
                fact(name, "MISSING");
                self.missing.push(format!("{name}: {error:#}"));
            }
        }
    }
}

/// Prints the report. The exit code says whether everything that the libraries' users need is there.
pub(crate) fn examine(project: &Project, libraries: &[Library]) -> ExitCode {
    let mut report = Report::default();
    let training = libraries.contains(&Library::Libtorch);
    let training_on_gpus = libraries.contains(&Library::LibtorchCuda);
    tools(&mut report, project, training || training_on_gpus);
    if libraries.contains(&Library::OnnxRuntime) {
        report.needed("ONNX Runtime", examine_onnxruntime(project, Library::OnnxRuntime, "onnxruntime"));
    }
    if libraries.contains(&Library::OnnxRuntimeGpu) {
        report.needed("ONNX Runtime (GPU)", examine_onnxruntime(project, Library::OnnxRuntimeGpu, "onnxruntime-gpu"));
    }
    if training {
        report.needed("libtorch", examine_libtorch(project, Library::Libtorch, "torch"));
    }
    if training_on_gpus {
        report.needed("libtorch (GPU)", examine_libtorch(project, Library::LibtorchCuda, "torch-cuda"));
    }
    hardware(project);
    if report.missing.is_empty() {
        println!("\nNothing is missing.");
        return ExitCode::SUCCESS;
    }
    println!("\nMissing:");
    for missing in &report.missing {
        println!("- {missing}");
    }
    ExitCode::FAILURE
}

/// What `examine` asks of a process of its own: loads the library and prints what it says.
pub(crate) fn probe(library: Library, path: &Path) -> Result<()> {
    match library {
        Library::OnnxRuntime | Library::OnnxRuntimeGpu => {
            let found = probe::onnxruntime(path)?;
            let cuda =
                found.cuda_problem.map_or_else(String::new, |problem| format!("; CUDA cannot be used: {problem}"));
            println!(
                "{}, {}, computes on {} (built with {}){cuda}",
                found.version,
                path.display(),
                found.computes_on,
                found.providers.join(", ")
            );
            ensure!(
                library == Library::OnnxRuntime || found.computes_on == CUDA,
                "{}: computes on {}{cuda}; it needs an NVIDIA GPU and its driver, CUDA 13 and cuDNN 9",
                path.display(),
                found.computes_on
            );
        }
        Library::Libtorch | Library::LibtorchCuda => probe::loads(path)?,
    }
    Ok(())
}

fn tools(report: &mut Report, project: &Project, training: bool) {
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    report.needed("rustc", machine::first_line_of(&rustc, &["--version"]).context("install it through rustup"));
    for (subcommand, component) in [("fmt", "rustfmt"), ("clippy", "clippy")] {
        let found = toolchain::check_component(project, subcommand, component);
        report.needed(component, found.map(|()| "installed".to_owned()));
    }
    // pip is needed only to fetch what is not there yet; the library's own line says so then.
    let pip =
        Pip::find().map_or_else(|_| "not found; needed to fetch the native libraries".to_owned(), |pip| pip.version);
    fact("pip", &pip);
    if training {
        let compiler = toolchain::cxx_compiler();
        let version = machine::first_line_of(&compiler, &["--version"]).unwrap_or(compiler);
        report.needed("C++ compiler", toolchain::check_cxx_compiler().map(|()| version));
    }
}

/// The library for GPUs is missing something where it does not compute on one: CUDA, cuDNN, the driver.
fn examine_onnxruntime(project: &Project, library: Library, name: &str) -> Result<String> {
    let place = project.place(library);
    let flag = format!("--{name}");
    exists(&place, library, &flag)?;
    // What the library for GPUs lacks, once it is there, no set-up of ours brings.
    let advise = |error| if library == Library::OnnxRuntimeGpu { error } else { advised(error, &place, &flag) };
    let said = probe_apart(name, &place.path).map_err(advise)?;
    Ok(format!("{}{}", said.trim_end(), whose(&place)))
}

fn examine_libtorch(project: &Project, library: Library, name: &str) -> Result<String> {
    let place = project.place(library);
    let flag = format!("--{name}");
    exists(&place, library, &flag)?;
    let library = shared_object(&place.path);
    ensure!(library.exists(), "{} lacks {}: {}", place.path.display(), library.display(), advice(&flag));
    let version = fs::read_to_string(place.path.join("build-version")).unwrap_or_default();
    let version = version.trim().split('+').next().unwrap_or_default().to_owned();
    ensure!(
        version.is_empty() || version == LIBTORCH_VERSION,
        "{} is version {version}, and tch needs {LIBTORCH_VERSION}",
        place.path.display()
    );
    probe_apart(name, &library).map_err(|error| advised(error, &place, &flag))?;
    let version = if version.is_empty() { "unknown version".to_owned() } else { version };
    let device = if place.path.join("lib/libtorch_cuda.so").exists() { "CUDA" } else { "CPU" };
    Ok(format!("{version} ({device}), {}, loads{}", place.path.display(), whose(&place)))
}

fn hardware(project: &Project) {
    fact("processor", &machine::processor());
    let features = machine::processor_features();
    let list = |wanted: bool| {
        let names: Vec<_> = features.iter().filter(|(_, there)| *there == wanted).map(|(name, _)| *name).collect();
        if names.is_empty() { "none".to_owned() } else { names.join(" ") }
    };
    fact("processor features", &format!("{} (lacking: {})", list(true), list(false)));
    if let Some((total, available)) = machine::memory() {
        let available = available.map_or_else(String::new, |bytes| format!(", {} available", gibibytes(bytes)));
        fact("memory", &format!("{}{available}", gibibytes(total)));
    }
    if let Ok(free) = install::free_bytes(&project.root) {
        fact("disk", &format!("{} free at {}", gibibytes(free), project.root.display()));
    }
    let gpus = machine::gpus();
    fact("GPU", &if gpus.is_empty() { "none that nvidia-smi reports".to_owned() } else { gpus.join("; ") });
    for name in ["OMP_NUM_THREADS", "RAYON_NUM_THREADS", "CARGO_TARGET_DIR", crate::fetch::CACHE_VARIABLE] {
        if let Ok(value) = std::env::var(name) {
            fact(name, &value);
        }
    }
}

fn fact(name: &str, value: &str) {
    println!("{name:<20} {value}");
}

fn exists(place: &Place, library: Library, flag: &str) -> Result<()> {
    let there = match library {
        Library::OnnxRuntime | Library::OnnxRuntimeGpu => place.path.exists(),
        // The folder alone may hold no more than the advice for torch-sys.
        Library::Libtorch | Library::LibtorchCuda => place.path.join("lib").exists(),
    };
    if there {
        return Ok(());
    }
    if place.users_own {
        return Err(anyhow!(
            "{} is set to {}, which is not there: correct or unset it",
            library.variable(),
            place.path.display()
        ));
    }
    Err(anyhow!("{} is not there: {}", place.path.display(), advice(flag)))
}

fn advice(flag: &str) -> String {
    format!("run `cargo xtask setup {flag}`")
}

/// Set-up notices most damage to the project's own library and lays it out anew; the user's own is theirs to mend.
fn advised(error: anyhow::Error, place: &Place, flag: &str) -> anyhow::Error {
    if place.users_own { error } else { anyhow!("{error:#}; {}", advice(flag)) }
}

fn shared_object(libtorch: &Path) -> PathBuf {
    libtorch.join(if cfg!(target_os = "macos") { "lib/libtorch.dylib" } else { "lib/libtorch.so" })
}

fn whose(place: &Place) -> &'static str {
    if place.users_own { " (yours)" } else { "" }
}

/// Loads the library in a process of its own and returns what that prints.
fn probe_apart(library: &str, path: &Path) -> Result<String> {
    let own = std::env::current_exe().context("cannot find this program")?;
    let output = Command::new(own)
        .args(["probe", library])
        .arg(path)
        .stdin(Stdio::null())
        .output()
        .context("cannot run this program again")?;
    let said = String::from_utf8_lossy(&output.stderr);
    if let Some(signal) = output.status.signal() {
        return Err(anyhow!("{} crashes while it is loaded (signal {signal}): {}", path.display(), said.trim()));
    }
    ensure!(output.status.success(), "{}", said.trim().trim_start_matches("error: "));
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn gibibytes(bytes: u64) -> String {
    format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_that_is_not_there_is_advised_on() {
        let ours = Place { path: "/nowhere/libonnxruntime.so".into(), users_own: false };
        let message = exists(&ours, Library::OnnxRuntime, "--onnxruntime").unwrap_err().to_string();
        assert!(message.contains("cargo xtask setup --onnxruntime"), "{message}");
        let theirs = Place { path: "/nowhere".into(), users_own: true };
        let message = exists(&theirs, Library::Libtorch, "--torch").unwrap_err().to_string();
        assert!(message.contains("LIBTORCH is set to /nowhere"), "{message}");
    }

    #[test]
    fn the_advice_for_torch_sys_is_not_taken_for_libtorch() {
        let native = tempfile::tempdir().unwrap();
        install::advise_torch_sys(native.path()).unwrap();
        let place = Place { path: native.path().join("libtorch"), users_own: false };
        assert!(exists(&place, Library::Libtorch, "--torch").is_err());
    }

    #[test]
    fn what_is_missing_is_remembered() {
        let mut report = Report::default();
        report.needed("there", Ok("1.0".to_owned()));
        report.needed("absent", Err(anyhow!("install it")));
        assert_eq!(report.missing, ["absent: install it"]);
    }
}
