//! Which native libraries are used: the project's own below `.native`, or the user's, named by `LIBTORCH` and
//! `ORT_DYLIB_PATH`. Installing the project's own is `install`'s business.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, ensure};

use crate::fetch::Store;
use crate::install;
use crate::recipe::{self, Platform};
use crate::recipe_cuda;

/// The folder of this project and what `.cargo/config.toml` promises below it.
#[derive(Debug, Clone)]
pub(crate) struct Project {
    /// The workspace's folder.
    pub(crate) root: PathBuf,
}

/// A native library that the project uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Library {
    /// Needed for exporting, serving and `speedrun-inference`.
    OnnxRuntime,
    /// The same for NVIDIA GPUs, in place of the other.
    OnnxRuntimeGpu,
    /// Needed for training, and for the tests that compare with it.
    Libtorch,
    /// The same with CUDA, in place of the other.
    LibtorchCuda,
}

/// Where a library is, and whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// ONNX Runtime's shared object; libtorch's folder.
    pub(crate) path: PathBuf,
    /// Whether the user named it: then nothing is fetched and nothing changed.
    pub(crate) users_own: bool,
}

impl Project {
    /// The project that this program was built in.
    pub(crate) fn here() -> Self {
        let manifest = env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
        let root = Path::new(&manifest).parent().map_or_else(PathBuf::new, Path::to_path_buf);
        Self { root }
    }

    /// Where the project's own native libraries are laid out.
    pub(crate) fn native(&self) -> PathBuf {
        self.root.join(".native")
    }

    /// Where data is laid out.
    pub(crate) fn data(&self) -> PathBuf {
        self.root.join("data")
    }

    /// Where the library is according to the environment.
    pub(crate) fn place(&self, library: Library) -> Place {
        library.place(&self.root, env::var_os(library.variable()))
    }

    /// Makes sure that the library is there: fetches the project's own where the user names none.
    pub(crate) fn set_up(&self, library: Library) -> Result<()> {
        let place = self.place(library);
        if place.users_own {
            ensure!(
                place.path.exists(),
                "{} is set to {}, which does not exist: correct it, or unset it and the library is fetched",
                library.variable(),
                place.path.display()
            );
            return Ok(());
        }
        if matches!(library, Library::Libtorch | Library::LibtorchCuda) && env::var_os("LIBTORCH_USE_PYTORCH").is_some()
        {
            return Ok(());
        }
        let platform = Platform::current()?;
        let recipe = match library {
            Library::OnnxRuntime => recipe::onnxruntime(platform),
            Library::OnnxRuntimeGpu => recipe::onnxruntime_gpu(platform)?,
            Library::Libtorch => recipe::libtorch(platform)?,
            Library::LibtorchCuda => recipe_cuda::libtorch_cuda(platform)?,
        };
        let native = self.native();
        install::ensure_installed(&recipe, &native, &Store::from_environment(&native))?;
        Ok(())
    }

    /// The cargo that runs us, in the environment that the user's own cargo would have.
    ///
    /// The outer cargo has put the `[env]` table of `.cargo/config.toml` and facts about this package into our
    /// environment. Handed on, they would look like the user's settings and make build scripts run again.
    pub(crate) fn cargo(&self) -> Command {
        let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        for library in [Library::OnnxRuntime, Library::Libtorch] {
            if !self.place(library).users_own {
                cargo.env_remove(library.variable());
            }
        }
        for (name, _) in env::vars_os() {
            if name.to_str().is_some_and(|name| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")) {
                cargo.env_remove(name);
            }
        }
        cargo
    }
}

impl Library {
    /// The environment variable by which a user names a library of their own.
    pub(crate) fn variable(self) -> &'static str {
        match self {
            Self::OnnxRuntime | Self::OnnxRuntimeGpu => "ORT_DYLIB_PATH",
            Self::Libtorch | Self::LibtorchCuda => "LIBTORCH",
        }
    }

    fn place(self, root: &Path, variable: Option<OsString>) -> Place {
        let own = root.join(self.folder());
        // `.cargo/config.toml` names the one for processors: then it was not the user who chose it over the one for GPUs.
        let by_config = match self {
            Self::OnnxRuntimeGpu => Some(Self::OnnxRuntime),
            Self::LibtorchCuda => Some(Self::Libtorch),
            Self::OnnxRuntime | Self::Libtorch => None,
        };
        let by_config = by_config.map(|library| root.join(library.folder()));
        let is_chosen = |path: &PathBuf| *path != own && Some(path) != by_config.as_ref();
        match variable.filter(|value| !value.is_empty()).map(PathBuf::from) {
            Some(path) if is_chosen(&path) => Place { path, users_own: true },
            _ => Place { path: own, users_own: false },
        }
    }

    /// Where the project's own is laid out, below the workspace.
    fn folder(self) -> &'static str {
        match self {
            Self::OnnxRuntime => ".native/onnxruntime/lib/libonnxruntime.so",
            Self::OnnxRuntimeGpu => ".native/onnxruntime-gpu/lib/libonnxruntime.so",
            Self::Libtorch => ".native/libtorch",
            Self::LibtorchCuda => ".native/libtorch-cuda",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_of_the_config_is_the_project_s_own() {
        let root = Path::new("/somewhere/project");
        let own = PathBuf::from("/somewhere/project/.native/libtorch");
        let ours = Place { path: own.clone(), users_own: false };
        assert_eq!(Library::Libtorch.place(root, None), ours);
        assert_eq!(Library::Libtorch.place(root, Some("".into())), ours);
        assert_eq!(Library::Libtorch.place(root, Some(own.into())), ours);
        // The library for processors, which cargo's config names, was not chosen over the one for GPUs; the other way round
        // it was, and is handed on.
        let gpu = PathBuf::from("/somewhere/project/.native/onnxruntime-gpu/lib/libonnxruntime.so");
        let cpu = OsString::from("/somewhere/project/.native/onnxruntime/lib/libonnxruntime.so");
        assert_eq!(Library::OnnxRuntimeGpu.place(root, Some(cpu)), Place { path: gpu.clone(), users_own: false });
        assert_eq!(Library::OnnxRuntime.place(root, Some(gpu.clone().into())), Place { path: gpu, users_own: true });
        let cuda = PathBuf::from("/somewhere/project/.native/libtorch-cuda");
        let by_config = OsString::from("/somewhere/project/.native/libtorch");
        assert_eq!(Library::LibtorchCuda.place(root, Some(by_config)), Place { path: cuda, users_own: false });
        let theirs = Place { path: "/opt/libtorch".into(), users_own: true };
        assert_eq!(Library::Libtorch.place(root, Some("/opt/libtorch".into())), theirs);
    }

    #[test]
    fn the_config_of_cargo_names_these_places() {
        let project = Project::here();
        let config = std::fs::read_to_string(project.root.join(".cargo/config.toml")).unwrap();
        for library in [Library::OnnxRuntime, Library::Libtorch] {
            let place = library.place(Path::new(""), None).path;
            let line = format!("{} = {{ value = \"{}\", relative = true }}", library.variable(), place.display());
            assert!(config.lines().any(|found| found == line), "{line}");
        }
    }
}
