//! What the operator may say to `server`, and what it means. The doc comments are the operator's manual.
//! Flags about running the server stand in `operations`.

mod adapt;
mod operations;

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::FalseyValueParser;
use clap::{Parser, Subcommand};
use engine::LoadError;
use engine::default_policy::PolicyOverrides;
use engine::model::{checkpoints_in, shipped_directory};
use engine::registry::EngineLimits;
use engine::{Batching, PolicyLimits, Quantize, session_options};
use evaluation::bench::BenchArgs;
use evaluation::cli::EvalArgs;
use exporter::runtime::SessionOptions;

pub use adapt::AdaptArgs;

use crate::http::{HttpLimits, HttpOptions, KeySource, is_prefix};
use crate::jobs::JobOptions;
use crate::serving::{ConnectionLimits, DrainOptions};
use crate::site::SiteArgs;
use crate::telemetry::TelemetryOptions;

pub use operations::{AccessArgs, ConnectionArgs, ShutdownArgs, TelemetryArgs};

/// Solves puzzles over HTTP with tiny recursive models: POST /solve/sudoku, GET /health, GET /info.
///
/// Example: server &
///          curl localhost:8080/solve/sudoku -d '530070000600195000098000060800060003400803001700020006060000280000419005000080079'
#[derive(Debug, Clone, Parser)]
#[command(name = "server", version, verbatim_doc_comment)]
pub struct ServerArgs {
    /// Instead of serving.
    #[command(subcommand)]
    pub command: Option<ServerCommand>,

    /// Folder of a checkpoint (manifest.json, model.safetensors). May be given several times, in the order in which
    /// models of one task are asked; in the environment, separate folders with commas. Default: every shipped model.
    #[arg(long = "checkpoint", env = "TRM_CHECKPOINT", value_delimiter = ',', value_name = "DIR")]
    pub checkpoints: Vec<PathBuf>,

    /// Folder whose subfolders are the shipped models. Default: models/shipped in or above the current folder or that
    /// of the program, else the one in the source tree.
    #[arg(long, env = "TRM_MODELS_DIR", value_name = "DIR")]
    pub models_dir: Option<PathBuf>,

    /// Data set folder that an ARC model was trained on (`datasets build arc`, also with --names-only): tells which task
    /// each row of its puzzle-embedding table belongs to. May be given several times; each goes to the ARC models with
    /// as many rows as it has names. In the environment, separate folders with commas.
    #[arg(long = "arc-data", env = "TRM_ARC_DATA", value_delimiter = ',', value_name = "DIR")]
    pub arc_data: Vec<PathBuf>,

    /// Address and port to listen on; port 0 takes a free one, which the log names. 0.0.0.0 serves the network: set
    /// --api-keys-file or put a gateway before it.
    #[arg(long, env = "TRM_BIND", default_value = "127.0.0.1:8080", value_name = "ADDRESS:PORT", value_parser = bind_address)]
    pub bind: SocketAddr,

    /// Path under which the page and the interface are served, such as /puzzles, where a proxy passes it on. A proxy that
    /// takes it off says so in X-Forwarded-Prefix instead. Default: none.
    #[arg(long, env = "TRM_BASE_PATH", default_value = "", hide_default_value = true, value_name = "/PATH", value_parser = base_path)]
    pub base_path: String,

    /// Threads that compute, shared by all models. 0: one per physical core.
    #[arg(long, env = "TRM_THREADS", default_value_t = 0, value_name = "COUNT")]
    pub threads: usize,

    /// What products are computed in.
    #[arg(long, env = "TRM_QUANTIZE", value_enum, default_value_t, value_name = "TYPE")]
    pub quantize: Quantize,

    /// GPU to run on, by its index; needs a build with the feature `cuda` and an ONNX Runtime with CUDA. The server
    /// ends with an error rather than fall back to the processor. Default: the processor.
    #[arg(long, env = "TRM_CUDA_DEVICE", value_name = "INDEX")]
    pub cuda_device: Option<u16>,

    /// End with an error unless the models run on a GPU: the one of --cuda-device, else the first. For deployments
    /// that would rather have no replica than a slow one.
    #[arg(long, env = "TRM_REQUIRE_CUDA", value_parser = FalseyValueParser::new())]
    pub require_cuda: bool,

    /// Puzzles that a model solves at the same time, 1 to 128. On a processor a puzzle's step costs the same in
    /// any batch, so that more slots only make all of them slower; on a GPU more slots raise throughput.
    #[arg(long, env = "TRM_SLOTS", default_value_t = 8, value_name = "COUNT")]
    pub slots: usize,

    /// How the slots are shared out.
    #[arg(long, env = "TRM_BATCHING", value_enum, default_value_t = Batching::Continuous, value_name = "HOW")]
    pub batching: Batching,

    /// Puzzles that may wait for a slot, for each model; beyond that clients get status 429.
    #[arg(long, env = "TRM_QUEUE_CAPACITY", default_value_t = 1024, value_name = "COUNT")]
    pub queue_capacity: usize,

    /// Longest time in milliseconds that a puzzle may have to wait for a slot, as far as the rate of the last seconds
    /// can tell; beyond that clients get status 429.
    #[arg(long, env = "TRM_MAX_WAIT_MS", default_value_t = 10_000, value_name = "MS")]
    pub max_wait_ms: u64,

    /// Largest `max_steps` that a request may ask for. Requests that name none get the model's
    /// `halt_max_steps`.
    #[arg(long, env = "TRM_MAX_STEPS", default_value_t = 1024, value_name = "COUNT")]
    pub max_steps: usize,

    /// Most chains of one request besides the first (`augmentations` + `rollouts`).
    #[arg(long, env = "TRM_MAX_CHAINS", default_value_t = 128, value_name = "COUNT")]
    pub max_chains: usize,

    /// Further chains of one request that run at the same time. One at a time wastes nothing on a processor,
    /// where a puzzle's step costs the same in any batch; on a GPU several at once answer sooner.
    /// Default: 1 on the processor, 8 on a GPU.
    #[arg(long, env = "TRM_CHAINS_AT_ONCE", value_name = "COUNT")]
    pub chains_at_once: Option<usize>,

    /// What is tried when the first chain has failed.
    #[command(flatten)]
    pub restarts: PolicyOverrides,

    /// Milliseconds for a body to arrive (else status 408), and then for its answer (else status 504).
    #[arg(long, env = "TRM_REQUEST_TIMEOUT_MS", default_value_t = 30_000, value_name = "MS")]
    pub request_timeout_ms: u64,

    /// Largest body in bytes; beyond that clients get status 413.
    #[arg(long, env = "TRM_MAX_BODY_BYTES", default_value_t = 1 << 20, value_name = "BYTES")]
    pub max_body_bytes: usize,

    /// Most puzzles in one request; beyond that clients get status 413.
    #[arg(long, env = "TRM_MAX_PUZZLES", default_value_t = 256, value_name = "COUNT")]
    pub max_puzzles: usize,

    /// How ARC tasks that no model knows are learned.
    #[command(flatten)]
    pub adapt: AdaptArgs,

    /// Bounds on connections.
    #[command(flatten)]
    pub connections: ConnectionArgs,

    /// Who may ask.
    #[command(flatten)]
    pub access: AccessArgs,

    /// How the process ends.
    #[command(flatten)]
    pub shutdown: ShutdownArgs,

    /// What the process tells.
    #[command(flatten)]
    pub telemetry: TelemetryArgs,
}

/// What the program does instead of serving.
#[derive(Debug, Clone, Subcommand)]
pub enum ServerCommand {
    /// Measure a model on a whole data set: accuracies raw and verified, curves, a policy for its manifest. Goes on
    /// where it was killed, and can be shared out between machines.
    ///
    /// Example: server eval --task sudoku --checkpoint DIR --data DIR --out results/mine
    Eval(Box<EvalArgs>),
    /// Measure this machine and how much of it the engine uses: products at the models' shapes, memory bandwidth, then
    /// steps in float32 and int8. Takes a minute or two.
    ///
    /// Example: server bench --config sudoku-9x9 --threads 1 --json bench.json
    Bench(Box<BenchArgs>),
    /// Write the page as a folder of files that any file host serves: puzzles are solved in the visitor's browser.
    /// `cargo xtask site` fetches ONNX Runtime for browsers and calls this.
    ///
    /// Example: server site --onnxruntime-web .native/onnxruntime-web --out site
    Site(Box<SiteArgs>),
}

/// An address with its port, by number or by name; of several addresses of a name, the first of version 4.
fn bind_address(text: &str) -> Result<SocketAddr, String> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    if !text.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok()) {
        return Err("expected an address and a port, such as 127.0.0.1:8080, [::1]:8080 or localhost:8080".to_owned());
    }
    let found = text.to_socket_addrs().map_err(|error| format!("the name is not known: {error}"))?;
    let found: Vec<SocketAddr> = found.collect();
    let first = found.iter().find(|address| address.is_ipv4()).or(found.first());
    first.copied().ok_or_else(|| "the name has no address".to_owned())
}

/// A path that begins with a slash and ends without one; empty where there is none.
fn base_path(text: &str) -> Result<String, String> {
    let path = text.trim_end_matches('/');
    if is_prefix(path) || path.is_empty() {
        return Ok(path.to_owned());
    }
    Err("expected a path of letters, digits and -_.~ between slashes, such as /puzzles".to_owned())
}

/// What the arguments mean.
#[derive(Debug, Clone)]
pub struct ServerConfig {
    /// Checkpoints to load.
    pub checkpoints: CheckpointSource,
    /// Data sets of ARC models.
    pub arc_data: Vec<PathBuf>,
    /// Where to listen.
    pub bind: SocketAddr,
    /// What models compute products in.
    pub quantize: Quantize,
    /// How sessions run.
    pub session: SessionOptions,
    /// Limits of every engine.
    pub engine: EngineLimits,
    /// Limits and manners of the HTTP side.
    pub http: HttpOptions,
    /// How ARC tasks that no model knows are learned; `None`: they are refused.
    pub adapt: Option<JobOptions>,
    /// Where API keys come from.
    pub keys: KeySource,
    /// Bounds on connections.
    pub connections: ConnectionLimits,
    /// How a shutdown goes.
    pub drain: DrainOptions,
    /// What the process tells.
    pub telemetry: TelemetryOptions,
}

/// Where checkpoints are looked for, at the start and at every reload.
#[derive(Debug, Clone)]
pub struct CheckpointSource {
    /// Folders of checkpoints; empty: every one in the folder of shipped models.
    named: Vec<PathBuf>,
    models_dir: Option<PathBuf>,
}

impl CheckpointSource {
    /// The checkpoints that are there now.
    ///
    /// # Errors
    /// [`LoadError::NoModel`] when none is named and none is shipped.
    pub fn folders(&self) -> Result<Vec<PathBuf>, LoadError> {
        if self.named.is_empty() {
            return checkpoints_in(&shipped_directory(self.models_dir.as_deref())?);
        }
        Ok(self.named.clone())
    }
}

impl ServerArgs {
    /// Resolves defaults.
    ///
    /// # Errors
    /// [`LoadError::NoModel`] when no checkpoint is named and none is shipped.
    pub fn resolve(self) -> Result<ServerConfig, LoadError> {
        // A variable that is set to nothing names no checkpoint.
        let named: Vec<PathBuf> = self.checkpoints.into_iter().filter(|path| !path.as_os_str().is_empty()).collect();
        let checkpoints = CheckpointSource { named, models_dir: self.models_dir };
        // Better now than after the listener is open.
        checkpoints.folders()?;
        let cuda_device = self.cuda_device.or(self.require_cuda.then_some(0));
        Ok(ServerConfig {
            checkpoints,
            arc_data: self.arc_data.into_iter().filter(|path| !path.as_os_str().is_empty()).collect(),
            bind: self.bind,
            quantize: self.quantize,
            session: SessionOptions { shared_pool: true, ..session_options(self.threads, cuda_device) },
            engine: EngineLimits {
                slots: self.slots,
                queue_capacity: self.queue_capacity,
                max_wait: Duration::from_millis(self.max_wait_ms),
                batching: self.batching,
                chains_at_once: self.chains_at_once.unwrap_or(if cuda_device.is_some() { 8 } else { 1 }),
                policy: PolicyLimits { max_steps: self.max_steps, chains: self.max_chains },
                overrides: self.restarts,
            },
            http: HttpOptions {
                limits: HttpLimits {
                    max_body_bytes: self.max_body_bytes,
                    max_puzzles: self.max_puzzles.min(self.queue_capacity),
                    request_timeout: Duration::from_millis(self.request_timeout_ms),
                },
                max_in_flight: self.connections.max_in_flight,
                protect_metrics: self.access.protect_metrics,
                cors: self.access.origins(),
                base_path: self.base_path,
            },
            adapt: self.adapt.options(self.threads),
            keys: self.access.keys(),
            connections: self.connections.limits(),
            drain: self.shutdown.options(),
            telemetry: self.telemetry.options(),
        })
    }
}
