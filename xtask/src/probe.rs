//! Loading a native library to see whether it works and what it says about itself. A library may crash while it loads,
//! so that `doctor` does this in a process of its own.

use std::ffi::{CStr, c_char, c_int};
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use libloading::Library;

use crate::tiny_session::{self, CUDA};

/// What an ONNX Runtime says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OnnxRuntime {
    /// Its version.
    pub(crate) version: String,
    /// The execution providers it was built with, best first.
    pub(crate) providers: Vec<String>,
    /// The execution provider that computed a session of ours: CUDA's where it is built in and works.
    pub(crate) computes_on: String,
    /// Why that is not CUDA, though it is built in.
    pub(crate) cuda_problem: Option<String>,
}

/// Loads ONNX Runtime, asks for its version and execution providers, and runs a tiny session.
#[expect(unsafe_code, reason = "a C library is loaded and asked through its C API")]
pub(crate) fn onnxruntime(path: &Path) -> Result<OnnxRuntime> {
    // SAFETY: the initialisers of the library that the user or `install` has named run; that is what is wanted.
    let library = unsafe { Library::new(path) }.with_context(|| format!("cannot load {}", path.display()))?;
    // SAFETY: every ONNX Runtime since 1.0 exports this function with this signature.
    let base = unsafe {
        let entry = library
            .get::<unsafe extern "system" fn() -> *const ort_sys::OrtApiBase>(b"OrtGetApiBase\0")
            .with_context(|| format!("{} is not ONNX Runtime", path.display()))?;
        entry().as_ref().context("ONNX Runtime returns no API")?
    };
    // SAFETY: the version is a constant string of the library, which is loaded.
    let version = unsafe { text((base.GetVersionString)()) };
    // SAFETY: a null pointer is the documented answer of a library that is too old.
    let Some(api) = (unsafe { (base.GetApi)(ort_sys::ORT_API_VERSION).as_ref() }) else {
        bail!(
            "{} is ONNX Runtime {version}, and API version {} is needed: use 1.{0} or newer",
            path.display(),
            ort_sys::ORT_API_VERSION
        );
    };
    let (mut names, mut count): (*mut *mut c_char, c_int) = (std::ptr::null_mut(), 0);
    // SAFETY: both pointers are valid for writing; on success `names` holds `count` strings until they are released.
    let providers = unsafe {
        tiny_session::check(api, (api.GetAvailableProviders)(&raw mut names, &raw mut count))
            .with_context(|| format!("ONNX Runtime {version} does not list its execution providers"))?;
        let providers: Vec<_> = (0..usize::try_from(count).unwrap_or(0)).map(|i| text(*names.add(i))).collect();
        tiny_session::check(api, (api.ReleaseAvailableProviders)(names, count))?;
        providers
    };
    let (computes_on, cuda_problem) = if providers.iter().any(|name| name == CUDA) {
        match tiny_session::computing_provider(api, true) {
            Ok(provider) => (provider, None),
            Err(problem) => (tiny_session::computing_provider(api, false)?, Some(format!("{problem:#}"))),
        }
    } else {
        (tiny_session::computing_provider(api, false)?, None)
    };
    // Its threads may still be about: unloading the library would take the ground from under them.
    std::mem::forget(library);
    Ok(OnnxRuntime { version, providers, computes_on, cuda_problem })
}

/// Loads a shared library with everything it depends on.
#[expect(unsafe_code, reason = "loading a library is unsafe by nature")]
pub(crate) fn loads(path: &Path) -> Result<()> {
    // SAFETY: the initialisers of the library that the user or `install` has named run; that is what is wanted.
    let library = unsafe { Library::new(path) }.with_context(|| format!("cannot load {}", path.display()))?;
    // libtorch does not survive being unloaded.
    std::mem::forget(library);
    Ok(())
}

/// # Safety
/// `pointer` must be null or point at a string that ends in a zero byte.
#[expect(unsafe_code, reason = "strings of a C API")]
unsafe fn text(pointer: *const c_char) -> String {
    if pointer.is_null() {
        return String::new();
    }
    // SAFETY: promised by the caller.
    unsafe { CStr::from_ptr(pointer) }.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_library_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("libonnxruntime.so");
        std::fs::write(&path, "not a library").unwrap();
        let message = format!("{:#}", onnxruntime(&path).unwrap_err());
        assert!(message.contains("cannot load") && message.contains("libonnxruntime.so"), "{message}");
        assert!(loads(&folder.path().join("absent.so")).is_err());
    }

    /// The same library that the exporter's and server's tests load.
    #[test]
    fn the_project_s_onnx_runtime_tells_its_version_and_providers() {
        let project = crate::native::Project::here();
        let place = project.place(crate::native::Library::OnnxRuntime);
        let found = onnxruntime(&place.path).unwrap();
        if !place.users_own {
            assert_eq!(found.version, crate::recipe::ONNXRUNTIME_VERSION);
        }
        assert!(found.providers.iter().any(|name| name == "CPUExecutionProvider"), "{:?}", found.providers);
        // What computed is one of those that are built in, and CUDA only where nothing was said against it.
        assert!(found.providers.contains(&found.computes_on), "{found:?}");
        let has_cuda = found.providers.iter().any(|name| name == CUDA);
        assert_eq!(found.computes_on == CUDA, has_cuda && found.cuda_problem.is_none(), "{found:?}");
        if !has_cuda {
            assert_eq!((found.computes_on.as_str(), found.cuda_problem), ("CPUExecutionProvider", None));
        }
    }
}
