//! How sessions of ONNX Runtime run, and what is reported about it.

use exporter::runtime::{Optimization, Provider, RuntimeInfo, SessionOptions};
use serde::Serialize;

/// The library and how sessions use it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RuntimeFacts {
    /// File name of ONNX Runtime, which names its version; the folder is not shown.
    pub library: String,
    /// Its build information.
    pub build: String,
    /// Execution provider that the sessions really run on: another one would have been an error.
    pub execution_provider: &'static str,
    /// Threads that share one operation; 0: one per physical core.
    pub threads: usize,
}

impl RuntimeFacts {
    /// The facts of a loaded library and the options of its sessions.
    pub fn new(info: &RuntimeInfo, options: &SessionOptions) -> Self {
        let file = info.library.canonicalize().unwrap_or_else(|_| info.library.clone());
        Self {
            library: file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default(),
            build: info.build.clone(),
            execution_provider: match options.provider {
                Provider::Cpu => "CPUExecutionProvider",
                Provider::Cuda { .. } => "CUDAExecutionProvider",
            },
            threads: options.threads,
        }
    }
}

/// Session options of `threads` threads (0: one per physical core) on a GPU, if one is named, else the processor.
pub fn session_options(threads: usize, cuda_device: Option<u16>) -> SessionOptions {
    let provider = cuda_device.map_or(Provider::Cpu, |device| Provider::Cuda { device });
    SessionOptions { threads, provider, optimization: Optimization::All, ..SessionOptions::default() }
}
