//! The program `server`: loads models, answers HTTP until it is told to stop, drains, ends.
//! Leaves the meaning of its flags to `server::config` and everything it serves to the library.

use std::io::IsTerminal;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result};
use clap::Parser;
use exporter::runtime;
use server::RuntimeFacts;
use server::config::{ServerArgs, ServerConfig};
use server::http::router;
use server::registry::{Models, Registry, ServedModel};
use tokio::net::TcpListener;
use tracing::{info, warn};
use tracing_subscriber::EnvFilter;

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
    let config = ServerArgs::parse().resolve()?;
    let filter = EnvFilter::try_from_env("TRM_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .init();
    let library = runtime::load()?;
    let registry = load_models(&config)?;
    let facts = RuntimeFacts::new(&library, &config.session);
    tokio::runtime::Runtime::new()
        .context("cannot start the asynchronous runtime")?
        .block_on(serve(config, registry, facts))
}

fn load_models(config: &ServerConfig) -> Result<Registry> {
    let mut models = Vec::new();
    for directory in &config.checkpoints {
        let model = ServedModel::load(directory, &config.session, config.engine)?;
        let (name, task, parameters) = (&model.card.name, model.task, model.card.parameters);
        info!(name, sha256 = model.card.sha256, "loaded a model for {task} with {parameters} parameters");
        models.push(model);
    }
    Ok(Registry::new(models)?)
}

async fn serve(config: ServerConfig, registry: Registry, facts: RuntimeFacts) -> Result<()> {
    let listener = TcpListener::bind(config.bind).await.with_context(|| {
        format!("cannot listen on {}; choose another address with --bind, or stop what listens there", config.bind)
    })?;
    let address = listener.local_addr().context("the socket has no address")?;
    info!("listening on http://{address}; try: curl http://{address}/info");
    let (stop, stopped) = tokio::sync::watch::channel(());
    let mut on_stop = stopped.clone();
    let server = axum::serve(listener, router(Arc::new(Models::new(registry)), config.http, facts))
        .with_graceful_shutdown(async move {
            // An error means that the sender is gone, which is a reason to stop, too.
            let _ = on_stop.changed().await;
        });
    let mut server = tokio::spawn(server.into_future());
    tokio::select! {
        ended = &mut server => return ended.context("the server's task broke")?.context("the server ended by itself"),
        signal = stop_signal() => info!("{signal}: no new connections, finishing what was accepted"),
    }
    drop(stop);
    if let Ok(ended) = tokio::time::timeout(config.drain_timeout, server).await {
        return ended.context("the server's task broke")?.context("the server failed while draining");
    }
    warn!("some requests were not finished within {} ms and are dropped", config.drain_timeout.as_millis());
    Ok(())
}

/// Returns at the first SIGTERM or Ctrl-C.
async fn stop_signal() -> &'static str {
    let interrupted = async {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    #[cfg(unix)]
    let terminated = async {
        match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            Ok(mut signal) => _ = signal.recv().await,
            Err(_) => std::future::pending::<()>().await,
        }
    };
    #[cfg(not(unix))]
    let terminated = std::future::pending::<()>();
    tokio::select! {
        () = interrupted => "interrupted",
        () = terminated => "terminated",
    }
}
