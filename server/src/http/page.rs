//! `GET /` and `GET /page/*`: the page for people, embedded in the program. Owns its files and their headers (type, version,
//! content security policy); leaves everything that it shows to the interface for programs, whose client it is.

use std::sync::LazyLock;

use axum::Router;
use axum::extract::Path;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use sha2::{Digest, Sha256};

use super::openapi::problems;
use super::{Problem, ProblemKind as Kind, only_get};

/// A file of the page, its type and its content.
struct Asset {
    name: &'static str,
    content_type: &'static str,
    content: &'static [u8],
}

/// An asset by its file name; the ending decides the type.
macro_rules! assets {
    ($($name:literal as $content_type:expr),* $(,)?) => {
        &[$(Asset {
            name: $name,
            content_type: $content_type,
            content: include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/page/", $name)),
        }),*]
    };
}

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JAVASCRIPT: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

const INDEX: &str = "index.html";
const ASSETS: &[Asset] = assets![
    "index.html" as HTML,
    "style.css" as CSS,
    "board.css" as CSS,
    "mind.css" as CSS,
    "icon.svg" as SVG,
    "theme.js" as JAVASCRIPT,
    "main.js" as JAVASCRIPT,
    "api.js" as JAVASCRIPT,
    "http.js" as JAVASCRIPT,
    "problem.js" as JAVASCRIPT,
    "events.js" as JAVASCRIPT,
    "thinking.js" as JAVASCRIPT,
    "player.js" as JAVASCRIPT,
    "chart.js" as JAVASCRIPT,
    "verdict.js" as JAVASCRIPT,
    "grid.js" as JAVASCRIPT,
    "segments.js" as JAVASCRIPT,
    "sudoku.js" as JAVASCRIPT,
    "maze.js" as JAVASCRIPT,
    "arc.js" as JAVASCRIPT,
];

/// The quoted hash of each asset, in the order of [`ASSETS`].
static ETAGS: LazyLock<Vec<String>> = LazyLock::new(|| {
    ASSETS.iter().map(|asset| format!("\"{}\"", hex::encode(Sha256::digest(asset.content)))).collect()
});

/// What every answer of the page says besides its type and version. Browsers ask again each time, so that a new server is
/// never shown with an old page; nothing from elsewhere is loaded, and no other page may frame this one.
const HEADERS: [(HeaderName, &str); 4] = [
    (header::CACHE_CONTROL, "no-cache"),
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
];

/// Every file of the page with its name; the first is the document, the others are what it finds below `page/`.
pub(crate) fn files() -> impl Iterator<Item = (&'static str, &'static [u8])> {
    ASSETS.iter().map(|asset| (asset.name, asset.content))
}

/// The page's routes.
pub(super) fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new().route("/", get(index).fallback(only_get)).route("/page/{name}", get(file).fallback(only_get))
}

/// The page for people.
#[utoipa::path(
    get, path = "/", operation_id = "page", tag = "documents",
    responses((status = 200, description = "The file.", content_type = "text/html")),
)]
pub(super) async fn index(headers: HeaderMap) -> Result<Response, Problem> {
    asset(INDEX, &headers)
}

/// A file of the page.
#[utoipa::path(
    get, path = "/page/{name}", operation_id = "pageFile", tag = "documents",
    params(("name" = String, Path, description = "A file that the page loads.")),
    responses((status = 200, description = "The file.", content_type = "*/*")),
    extensions(("x-responses" = json!(problems(&[Kind::NotFound])))),
)]
pub(super) async fn file(Path(name): Path<String>, headers: HeaderMap) -> Result<Response, Problem> {
    asset(&name, &headers)
}

fn asset(name: &str, request: &HeaderMap) -> Result<Response, Problem> {
    let index = ASSETS.iter().position(|asset| asset.name == name).ok_or(Problem::NotFound)?;
    let (asset, etag) = (&ASSETS[index], &ETAGS[index]);
    let mut response = if is_known(request, etag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        ([(header::CONTENT_TYPE, asset.content_type)], asset.content).into_response()
    };
    let headers = response.headers_mut();
    headers.extend(HEADERS.map(|(name, value)| (name, HeaderValue::from_static(value))));
    headers.insert(header::ETAG, HeaderValue::from_str(etag).expect("a quoted hexadecimal number"));
    Ok(response)
}

/// Whether the client has this version already (RFC 9110, section 13.1.2: weak comparison).
fn is_known(request: &HeaderMap, etag: &str) -> bool {
    let lists = request.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let mut tags = lists.flat_map(|list| list.split(',')).map(str::trim);
    tags.any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag)
}
