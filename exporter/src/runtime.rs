//! The one place that finds ONNX Runtime, loads it, and opens sessions with stated options.
//! Leaves what runs in a session to its users.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use ort::environment::{Environment, GlobalThreadPoolOptions};
use ort::logging::LogLevel;
use ort::session::Session;
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};

use crate::providers::{CUDA_PROVIDER, RECORD_ASSIGNMENT, assigned_nodes};
use crate::{RuntimeError, operators};

/// Where set-up lays the library out, below the workspace.
const NATIVE_FOLDER: &str = ".native/onnxruntime/lib";
/// The library's file name on this platform.
const LIBRARY: &str = if cfg!(target_os = "windows") {
    "onnxruntime.dll"
} else if cfg!(target_os = "macos") {
    "libonnxruntime.dylib"
} else {
    "libonnxruntime.so"
};

/// How much ONNX Runtime may rewrite a graph on loading.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Optimization {
    /// Not at all: the graph runs as exported.
    None,
    /// Whatever ONNX Runtime knows.
    #[default]
    All,
}

/// What computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Provider {
    /// The processor.
    #[default]
    Cpu,
    /// An NVIDIA GPU; needs the feature `cuda` and an ONNX Runtime built with CUDA. A session that cannot use it is an
    /// error, never one on the processor.
    Cuda {
        /// Index of the GPU.
        device: u16,
    },
}

/// How a session runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionOptions {
    /// Threads that share one operation; 0: one per physical core. Of no effect on a session in the shared pool.
    pub threads: usize,
    /// Whether the session computes in the threads that all such sessions share, of which [`load_with_pool`] says how
    /// many there are, instead of its own: models that are busy at the same time then do not fight for the cores.
    pub shared_pool: bool,
    /// Graph rewriting.
    pub optimization: Optimization,
    /// What computes.
    pub provider: Provider,
    /// Whether idle threads wait actively: fastest while steps follow each other, and burns a core per thread.
    pub spinning: bool,
}

impl Default for SessionOptions {
    fn default() -> Self {
        Self {
            threads: 0,
            shared_pool: false,
            optimization: Optimization::All,
            provider: Provider::Cpu,
            spinning: true,
        }
    }
}

impl SessionOptions {
    /// How many threads share an operation, as far as is known before the session exists.
    fn threads_at_work(&self) -> usize {
        if self.threads > 0 && !self.shared_pool {
            return self.threads;
        }
        std::thread::available_parallelism().map_or(1, usize::from)
    }
}

/// The library in use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuntimeInfo {
    /// File that was loaded.
    pub library: PathBuf,
    /// Its build information: version, commit, flags.
    pub build: String,
}

/// Loads ONNX Runtime if that has not happened yet, and says which.
///
/// # Errors
/// [`RuntimeError::Missing`] or [`RuntimeError::Unusable`], with the fix.
pub fn load() -> Result<RuntimeInfo, RuntimeError> {
    Ok(loaded(None)?.info)
}

/// As [`load`], with a pool of threads for the sessions that share one (0: a thread per physical core). `spinning` as
/// in [`SessionOptions`].
///
/// # Errors
/// As [`load`]; also when the library was loaded before, since the pool belongs to it from the start.
pub fn load_with_pool(threads: usize, spinning: bool) -> Result<RuntimeInfo, RuntimeError> {
    let loaded = loaded(Some((threads, spinning)))?;
    loaded.check_pool()?;
    Ok(loaded.info)
}

/// Whether sessions with these options can be opened here, before there is a graph.
///
/// # Errors
/// When ONNX Runtime is missing or lacks the provider.
pub fn check(options: &SessionOptions) -> Result<(), RuntimeError> {
    builder(options).map(drop)
}

/// Opens a session on the graph in the file `path`.
///
/// # Errors
/// When ONNX Runtime is missing, lacks the provider, or rejects the graph.
pub fn open(path: &Path, options: &SessionOptions) -> Result<Session, RuntimeError> {
    let session = commit(builder(options)?, |builder| builder.commit_from_file(path));
    in_place(session.map_err(RuntimeError::session(format!("load {}", path.display())))?, options)
}

/// Opens a session on the graph `bytes`.
///
/// # Errors
/// When ONNX Runtime is missing, lacks the provider, or rejects the graph.
pub fn open_bytes(bytes: &[u8], options: &SessionOptions) -> Result<Session, RuntimeError> {
    let session = commit(builder(options)?, |builder| builder.commit_from_memory(bytes));
    in_place(session.map_err(RuntimeError::session("load the graph"))?, options)
}

/// Whether a session of this process has been opened.
static DOMAIN_IS_KNOWN: Mutex<bool> = Mutex::new(false);

/// Opens a session, the first one alone: it enters the operators' domain in ONNX Runtime's table of the process, which
/// looks whether the domain is there and adds it in two steps, so that of two first sessions at a time one fails.
fn commit(
    mut builder: SessionBuilder,
    open: impl FnOnce(&mut SessionBuilder) -> ort::Result<Session>,
) -> ort::Result<Session> {
    let mut known = DOMAIN_IS_KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if *known {
        drop(known);
        return open(&mut builder);
    }
    let session = open(&mut builder)?;
    *known = true;
    Ok(session)
}

/// The session, if it computes where it was configured. ONNX Runtime gives the processor whatever its other
/// providers have no kernel for, in the worst case everything.
fn in_place(session: Session, options: &SessionOptions) -> Result<Session, RuntimeError> {
    if let Provider::Cuda { device } = options.provider {
        let assigned = assigned_nodes(&session)?;
        if !assigned.contains_key(CUDA_PROVIDER) {
            let problem = format!(
                "device {device} was asked for, and ONNX Runtime computes no node of the graph there: {assigned:?}"
            );
            return Err(RuntimeError::Provider { provider: "CUDA", problem });
        }
    }
    Ok(session)
}

fn builder(options: &SessionOptions) -> Result<SessionBuilder, RuntimeError> {
    let loaded = loaded(None)?;
    if options.shared_pool {
        loaded.check_pool()?;
    }
    let level = match options.optimization {
        Optimization::None => GraphOptimizationLevel::Disable,
        Optimization::All => GraphOptimizationLevel::All,
    };
    let builder = Session::builder(&loaded.environment)
        .map_err(RuntimeError::session("create session options"))?
        .with_optimization_level(level)
        .map_err(RuntimeError::session("set the optimization level"))?
        .with_config_entry(RECORD_ASSIGNMENT, "1")
        .map_err(RuntimeError::session("record execution providers"))?;
    let builder = if options.shared_pool { builder } else { with_own_threads(builder, options)? };
    let operators = operators::domain(options.threads_at_work()).map_err(RuntimeError::session("create operators"))?;
    let builder = builder.with_operators(operators).map_err(RuntimeError::session("register operators"))?;
    match options.provider {
        Provider::Cpu => Ok(builder),
        Provider::Cuda { device } => with_cuda(builder, device),
    }
}

fn with_own_threads(builder: SessionBuilder, options: &SessionOptions) -> Result<SessionBuilder, RuntimeError> {
    builder
        .with_independent_thread_pool()
        .map_err(RuntimeError::session("use threads of its own"))?
        .with_intra_threads(options.threads)
        .map_err(RuntimeError::session(format!("use {} threads", options.threads)))?
        .with_intra_op_spinning(options.spinning)
        .map_err(RuntimeError::session("set spinning"))
}

#[cfg(feature = "cuda")]
fn with_cuda(builder: SessionBuilder, device: u16) -> Result<SessionBuilder, RuntimeError> {
    let provider = ort::ep::CUDA::default().with_device_id(i32::from(device)).build().error_on_failure();
    builder.with_execution_providers([provider]).map_err(|error| RuntimeError::Provider {
        provider: "CUDA",
        problem: format!(
            "device {device} cannot be used: {}; run `cargo xtask setup --onnxruntime-gpu`, set ORT_DYLIB_PATH to the library that it names, and check the driver with nvidia-smi",
            // ONNX Runtime's own ends in a line break.
            error.to_string().trim_end()
        ),
    })
}

#[cfg(not(feature = "cuda"))]
fn with_cuda(_builder: SessionBuilder, device: u16) -> Result<SessionBuilder, RuntimeError> {
    Err(RuntimeError::Provider {
        provider: "CUDA",
        problem: format!(
            "device {device} was asked for, but this program was built without the feature `cuda`; build it with `--features cuda`"
        ),
    })
}

/// ONNX Runtime allows one environment per process, and forgets it when the last handle is dropped.
static LOADED: Mutex<Option<Loaded>> = Mutex::new(None);

#[derive(Clone)]
struct Loaded {
    environment: Environment,
    info: RuntimeInfo,
    has_pool: bool,
}

impl Loaded {
    fn check_pool(&self) -> Result<(), RuntimeError> {
        if self.has_pool {
            return Ok(());
        }
        let problem = "it was loaded without the pool of threads that sessions are to share".to_owned();
        Err(RuntimeError::Unusable { path: self.info.library.clone(), problem })
    }
}

/// `pool`: threads and spinning of the shared pool, if there is to be one.
fn loaded(pool: Option<(usize, bool)>) -> Result<Loaded, RuntimeError> {
    let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    if loaded.is_none() {
        let library = find_library(
            std::env::var_os("ORT_DYLIB_PATH").filter(|path| !path.is_empty()).map(PathBuf::from),
            &[std::env::current_dir().ok(), std::env::current_exe().ok()],
        )?;
        let mut environment = ort::init_from(&library)
            .map_err(|error| RuntimeError::Unusable { path: library.clone(), problem: error.to_string() })?
            .with_name("trm")
            .with_telemetry(false);
        if let Some((threads, spinning)) = pool {
            let options = GlobalThreadPoolOptions::default()
                .with_intra_threads(threads)
                .and_then(|options| options.with_spin_control(spinning))
                .map_err(RuntimeError::session(format!("share {threads} threads")))?;
            environment = environment.with_global_thread_pool(options);
        }
        let environment = environment.build().map_err(RuntimeError::session("start"))?;
        // Below this it reports on devices that the machine does not have.
        environment.set_log_level(LogLevel::Error);
        let info = RuntimeInfo { library, build: ort::info().to_owned() };
        *loaded = Some(Loaded { environment, info, has_pool: pool.is_some() });
    }
    Ok(loaded.clone().expect("it was filled above"))
}

/// `named` if given, else the first `.native/onnxruntime` in or above one of `starts`.
fn find_library(named: Option<PathBuf>, starts: &[Option<PathBuf>]) -> Result<PathBuf, RuntimeError> {
    if let Some(path) = named {
        return match path.canonicalize() {
            Ok(found) => Ok(found),
            Err(error) => {
                Err(RuntimeError::Missing { searched: format!("ORT_DYLIB_PATH names {}: {error}", path.display()) })
            }
        };
    }
    starts
        .iter()
        .flatten()
        .flat_map(|start| start.ancestors())
        .map(|folder| folder.join(NATIVE_FOLDER).join(LIBRARY))
        .find(|path| path.is_file())
        .ok_or_else(|| RuntimeError::Missing {
            searched: format!(
                "ORT_DYLIB_PATH is not set, and no folder above the current one or above the program holds {NATIVE_FOLDER}/{LIBRARY}"
            ),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_library_is_searched_upwards_and_a_named_one_wins() {
        let root = tempfile::tempdir().unwrap();
        let inner = root.path().join("a/b");
        std::fs::create_dir_all(&inner).unwrap();
        let missing = find_library(None, &[Some(inner.clone())]).unwrap_err().to_string();
        assert!(missing.contains("cargo xtask setup --onnxruntime") && missing.contains("ORT_DYLIB_PATH"), "{missing}");

        let laid_out = root.path().join(NATIVE_FOLDER);
        std::fs::create_dir_all(&laid_out).unwrap();
        std::fs::write(laid_out.join(LIBRARY), b"").unwrap();
        assert_eq!(find_library(None, &[None, Some(inner.clone())]).unwrap(), laid_out.join(LIBRARY));

        let named = root.path().join("a/own.so");
        std::fs::write(&named, b"").unwrap();
        let found = find_library(Some(named.clone()), &[Some(inner)]).unwrap();
        assert_eq!(found, named.canonicalize().unwrap());
        let gone = find_library(Some(root.path().join("gone.so")), &[]).unwrap_err().to_string();
        assert!(gone.contains("gone.so") && gone.contains("cargo xtask setup --onnxruntime"), "{gone}");
    }
}
