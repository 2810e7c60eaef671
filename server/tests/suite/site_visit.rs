//! A visit to the page without a server: the written site, a plain file server, and a browser on it.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::extract::{Path as UrlPath, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::{Value, json};
use server::site::{SiteArgs, write};
use tempfile::TempDir;
use tokio::net::TcpListener;

use crate::browser::{Browser, Programs, Screen};
use crate::not_run::not_run;

/// ONNX Runtime for browsers, as `cargo xtask setup` and `cargo xtask site` lay it out.
const RUNTIME: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../.native/onnxruntime-web");
/// The models that the site is written with.
pub(crate) const SHIPPED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/shipped");

/// What the browser tests need; `None`, and said so, where this machine lacks it.
pub(crate) fn needs() -> Option<Programs> {
    let promise = "the page without a server, in a browser";
    let Some(programs) = Programs::find() else {
        not_run(promise, "install Chromium and its driver (Debian: apt-get install chromium chromium-driver)");
        return None;
    };
    if !Path::new(RUNTIME).join("version").is_file() {
        not_run(promise, "install npm and run `cargo xtask site`, which fetches ONNX Runtime for browsers");
        return None;
    }
    Some(programs)
}

pub(crate) fn arguments(out: PathBuf) -> SiteArgs {
    SiteArgs {
        checkpoints: Vec::new(),
        models_dir: Some(SHIPPED.into()),
        onnxruntime_web: RUNTIME.into(),
        out,
        samples: 2,
    }
}

/// The site, written once for all tests.
pub(crate) fn site() -> &'static Path {
    static SITE: OnceLock<TempDir> = OnceLock::new();
    SITE.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        write(&arguments(folder.path().join("site"))).unwrap();
        folder
    })
    .path()
}

/// A file server that knows nothing but files, and counts their bytes.
pub(crate) struct FileServer {
    pub(crate) address: String,
    sent: Arc<AtomicUsize>,
}

impl FileServer {
    /// Serves `folder` below a path, as hosts of projects do.
    pub(crate) async fn start(folder: &Path) -> Self {
        let sent = Arc::new(AtomicUsize::new(0));
        let index = |State(state)| async move { file(&state, "index.html") };
        let other = |State(state), UrlPath(path): UrlPath<String>| async move { file(&state, &path) };
        let routes = Router::new()
            .route("/some/where/", get(index))
            .route("/some/where/{*path}", get(other))
            .with_state((folder.join("site"), sent.clone()));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = format!("http://{}/some/where/", listener.local_addr().unwrap());
        tokio::spawn(axum::serve(listener, routes).into_future());
        Self { address, sent }
    }

    pub(crate) fn sent(&self) -> usize {
        self.sent.load(Ordering::Relaxed)
    }
}

fn file((folder, sent): &(PathBuf, Arc<AtomicUsize>), path: &str) -> Response {
    let Ok(content) = std::fs::read(folder.join(path)) else { return StatusCode::NOT_FOUND.into_response() };
    sent.fetch_add(content.len(), Ordering::Relaxed);
    let content_type = match path.rsplit('.').next().unwrap() {
        "html" => "text/html",
        "css" => "text/css",
        "js" | "mjs" => "text/javascript",
        "json" => "application/json",
        "svg" => "image/svg+xml",
        _ => "application/octet-stream",
    };
    ([(header::CONTENT_TYPE, content_type)], content).into_response()
}

/// A browser on the site.
pub(crate) struct Visit {
    pub(crate) browser: Browser,
    pub(crate) files: FileServer,
}

impl Visit {
    pub(crate) async fn begin(programs: &Programs, screen: Screen) -> Self {
        let files = FileServer::start(site()).await;
        let browser = Browser::open(programs, screen, &[]).await;
        browser.window.goto(&files.address).await.unwrap();
        browser.wait_until("document.getElementById('sudoku-text').value.length === 81").await;
        Self { browser, files }
    }

    /// What the site's client makes of a puzzle: `{events}` and, where there is one, `problem`, in the server's forms.
    pub(crate) async fn solve(&self, task: &str, puzzle: &Value, options: &Value) -> Value {
        let script = "
            const [task, puzzle, options, done] = arguments;
            const events = [];
            import(new URL('site/client.js', document.baseURI)).then(async (client) => {
              const onStep = (step) => events.push(step);
              events.push(await client.solve(task, { puzzle }, options, onStep, new AbortController().signal));
              done({ events });
            }).catch(({ name, message, conflict }) => done({ events, problem: { name, detail: message, conflict } }));
        ";
        let arguments = vec![json!(task), puzzle.clone(), options.clone()];
        self.browser.window.execute_async(script, arguments).await.unwrap()
    }

    /// What the site reads in each text; null where it refuses.
    pub(crate) async fn read(&self, task: &str, texts: &[String]) -> Vec<Value> {
        let script = "
            const [task, texts, done] = arguments;
            import(new URL('site/client.js', document.baseURI)).then(async (client) => {
              done(await Promise.all(texts.map((text) => client.read(task, text).catch(() => null))));
            });
        ";
        let read = self.browser.window.execute_async(script, vec![json!(task), json!(texts)]).await.unwrap();
        read.as_array().unwrap().clone()
    }
}
