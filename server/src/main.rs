//! The program `server`: loads models, listens, answers HTTP until it receives a signal to stop, drains, ends.
//! Leaves the meaning of its flags to `server::config` and everything it serves to the library.

mod signals;

use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::Parser;
use engine::registry::{Models, Registry, ServedModel, attach_arc_data};
use engine::{LoadError, Quantize, RuntimeFacts};
use evaluation::bench;
use evaluation::cli;
use exporter::runtime;
use server::config::{ServerArgs, ServerCommand, ServerConfig};
use server::http::{Access, ServerParts, routes};
use server::jobs::Jobs;
use server::lifecycle::{Lifecycle, Phase};
use server::reload::Reloader;
use server::serving::{self, Drained, ReservedAddress};
use server::site::{self, SiteArgs};
use server::telemetry;
use tokio::sync::oneshot;
use tracing::{info, warn};

use crate::signals::Signals;

/// The C library's allocator keeps what bursts of large bodies leave behind in the arenas of many threads: in half an
/// hour of overload it grew by a quarter beyond its fifth minute.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How long the engines get to finish the step that they are in when everything else has ended.
const ENGINES_END: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let args = ServerArgs::parse();
    match &args.command {
        Some(ServerCommand::Eval(eval_args)) => return cli::eval(eval_args),
        Some(ServerCommand::Bench(bench_args)) => return bench::run(bench_args),
        Some(ServerCommand::Site(site_args)) => return write_site(site_args),
        None => {}
    }
    let config = args.resolve()?;
    let telemetry = telemetry::start(&config.telemetry)?;
    signals::allow_all_descriptors();
    let library = runtime::load_with_pool(config.session.threads, config.session.spinning)?;
    runtime::check(&config.session)?;
    let access = Arc::new(Access::open(config.keys.clone())?);
    let facts = RuntimeFacts::new(&library, &config.session);
    let models = Arc::new(Models::new(Registry::empty()));
    let runtime = tokio::runtime::Runtime::new().context("cannot start the asynchronous runtime")?;
    let result = runtime.block_on(serve(&config, models.clone(), access, facts));
    drop(telemetry);
    let ended = within(ENGINES_END, move || {
        // First what may hold a model, then the models with their engines.
        drop(runtime);
        drop(models);
    });
    if !ended {
        // Something still computes. Leaving the ordinary way would tear down the libraries that it computes with.
        if let Err(error) = &result {
            eprintln!("error: {error:#}");
        }
        signals::exit_now(i32::from(result.is_err()));
    }
    result
}

fn write_site(args: &SiteArgs) -> Result<()> {
    let summary = site::write(args)?;
    for (name, bytes) in &summary.files {
        println!("{bytes:>10}  {name}");
    }
    let out = args.out.display();
    println!("wrote {out}; any file host serves it, such as: python3 -m http.server -d {out}");
    Ok(())
}

/// Serves until a signal or an error ends it.
async fn serve(config: &ServerConfig, models: Arc<Models>, access: Arc<Access>, facts: RuntimeFacts) -> Result<()> {
    let mut signals = Signals::listen().context("cannot wait for signals")?;
    let taken =
        || format!("cannot listen on {}; choose another address with --bind, or stop what listens there", config.bind);
    let reserved = ReservedAddress::reserve(config.bind).with_context(taken)?;
    let address = reserved.address().context("the socket has no address")?;
    info!("loading the models; until they are ready {address} refuses connections");

    let started = Instant::now();
    let loader = config.clone();
    let load = move || load_models(&loader);
    tokio::select! {
        loaded = tokio::task::spawn_blocking(load.clone()) => {
            models.swap(loaded.context("loading the models broke off")??);
        }
        signal = signals.stop() => {
            info!("{signal}: nothing had been accepted");
            return Ok(());
        }
    }
    let lifecycle = Arc::new(Lifecycle::new(Phase::Ready));
    let reloader = Arc::new(Reloader::new(models.clone(), access.clone(), Box::new(load)));
    let jobs = open_jobs(config)?;
    let router = routes(ServerParts {
        models: models.clone(),
        lifecycle: lifecycle.clone(),
        access,
        reloader: Some(reloader.clone()),
        jobs,
        runtime: facts,
        options: config.http.clone(),
    });
    let listener = reserved.listen().with_context(taken)?;
    let seconds = started.elapsed().as_secs_f64();
    info!(seconds, "listening on http://{address}; try: curl http://{address}/info");

    let (stop, on_stop) = oneshot::channel::<()>();
    // An error means that the sender is gone, which is a reason to stop, too.
    let on_stop = async { _ = on_stop.await };
    let serving = serving::serve(listener, router, config.connections, config.drain, lifecycle, on_stop);
    let mut serving = tokio::spawn(serving);

    let stopped_by = signals.stop_or_reload(&reloader).await;
    info!("{stopped_by}: finishing what was accepted");
    drop(stop);
    tokio::select! {
        drained = &mut serving => match drained.context("the server's task broke")? {
            Drained::Completely => info!("every accepted request has its answer"),
            Drained::CutOff(count) => warn!(
                "{count} connections had requests that were not finished within {} ms, and were cut off",
                config.drain.timeout.as_millis()
            ),
        },
        signal = signals.stop() => {
            warn!("{signal} again: ending at once");
            signals::exit_now(1);
        }
    }
    Ok(())
}

/// What learns tasks, where the operator wants it; its results are loaded as the models are, in float32.
fn open_jobs(config: &ServerConfig) -> Result<Option<Arc<Jobs>>> {
    let Some(options) = config.adapt.clone() else { return Ok(None) };
    let folder = options.folder.display().to_string();
    let held_to = match options.cores.processors.as_slice() {
        [] => "any processor, after everything else".to_owned(),
        processors => format!("the processors {processors:?}"),
    };
    let (session, limits) = (config.session, config.engine);
    let load = move |checkpoint: &Path, data: &Path| {
        let mut models = ServedModel::load_warm(checkpoint, Quantize::Float32, &session, limits)?;
        attach_arc_data(&mut models, &[data.to_owned()])?;
        Registry::new(models)
    };
    let jobs = Jobs::open(options, Box::new(load)).context("cannot learn tasks (--adapt)")?;
    info!("ARC tasks that no model knows are learned in {folder}, on {held_to}");
    Ok(Some(Arc::new(jobs)))
}

fn load_models(config: &ServerConfig) -> Result<Registry, LoadError> {
    let mut models = Vec::new();
    for directory in config.checkpoints.folders()? {
        let started = Instant::now();
        let loaded = ServedModel::load_warm(&directory, config.quantize, &config.session, config.engine)?;
        let seconds = started.elapsed().as_secs_f64();
        if let Some(ServedModel { card, .. }) = loaded.first() {
            let tasks: Vec<String> = loaded.iter().map(|model| model.task.to_string()).collect();
            let (name, sha256, parameters, tasks) = (&card.name, &card.sha256, card.parameters, tasks.join(", "));
            info!(name, sha256, seconds, "loaded a model for {tasks} with {parameters} parameters");
        }
        models.extend(loaded);
    }
    attach_arc_data(&mut models, &config.arc_data)?;
    Registry::new(models)
}

/// Whether `work` is done within `limit`; it goes on elsewhere if not.
fn within(limit: Duration, work: impl FnOnce() + Send + 'static) -> bool {
    let (done, on_done) = mpsc::channel();
    std::thread::spawn(move || {
        work();
        // The receiver is gone when the time was too short.
        let _ = done.send(());
    });
    on_done.recv_timeout(limit).is_ok()
}
