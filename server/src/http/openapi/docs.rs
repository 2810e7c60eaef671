//! `GET /docs`: the description as a page to read and try, Swagger UI from the program's own files.
//! Owns which of its files are served and how; leaves the description to its parent.

use std::borrow::Cow;
use std::io::{Cursor, Read};
use std::sync::{Arc, LazyLock};

use axum::Router;
use axum::body::Bytes;
use axum::extract::Path;
use axum::http::{HeaderName, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use utoipa_swagger_ui_vendored::SWAGGER_UI_VENDORED;
use zip::ZipArchive;

use super::problems;
use crate::http::{Problem, ProblemKind as Kind, ServerState, only_get};

/// Nothing from elsewhere is loaded. Swagger UI sets styles of single elements and draws its icons from `data:`.
const POLICY: &str = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; object-src 'none'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JAVASCRIPT: &str = "text/javascript; charset=utf-8";

const INDEX: &str = r#"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Tiny recursive reasoning: the interface</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="docs/swagger-ui.css">
</head>
<body>
<div id="swagger-ui"></div>
<script src="docs/swagger-ui-bundle.js"></script>
<script src="docs/start.js"></script>
</body>
</html>
"#;

/// The validator would be asked over the network.
const START: &str = r#""use strict";
SwaggerUIBundle({
  url: "openapi.json",
  dom_id: '#swagger-ui',
  deepLinking: true,
  validatorUrl: null,
  tryItOutEnabled: true,
  defaultModelsExpandDepth: 0,
});
"#;

/// Swagger UI's script and styles, unpacked when they are first asked for.
static UI: LazyLock<Result<Ui, String>> = LazyLock::new(|| Ui::unpack().map_err(|error| error.to_string()));

struct Ui {
    script: Bytes,
    style: Bytes,
}

/// The page's routes.
pub(super) fn routes() -> Router<Arc<ServerState>> {
    Router::new().route("/docs", get(index).fallback(only_get)).route("/docs/{file}", get(file).fallback(only_get))
}

/// This description as a page.
#[utoipa::path(
    get, path = "/docs", operation_id = "docs", tag = "documents",
    responses((status = 200, description = "The file.", content_type = "text/html")),
)]
pub(super) async fn index() -> Response {
    answer(HTML, Bytes::from_static(INDEX.as_bytes()))
}

/// A file of the description's page.
#[utoipa::path(
    get, path = "/docs/{file}", operation_id = "docsFile", tag = "documents",
    params(("file" = String, Path, description = "A file that the page loads.")),
    responses((status = 200, description = "The file.", content_type = "*/*")),
    extensions(("x-responses" = json!(problems(&[Kind::NotFound])))),
)]
pub(super) async fn file(Path(name): Path<String>) -> Result<Response, Problem> {
    if name == "start.js" {
        return Ok(answer(JAVASCRIPT, Bytes::from_static(START.as_bytes())));
    }
    let (content_type, pick): (&str, fn(&Ui) -> &Bytes) = match name.as_str() {
        "swagger-ui-bundle.js" => (JAVASCRIPT, |ui| &ui.script),
        "swagger-ui.css" => (CSS, |ui| &ui.style),
        _ => return Err(Problem::NotFound),
    };
    // A few milliseconds, once.
    let ui = tokio::task::spawn_blocking(|| LazyLock::force(&UI)).await;
    let ui = ui.map_err(|error| Problem::Engine(format!("Swagger UI could not be unpacked: {error}")))?;
    let ui = ui.as_ref().map_err(|error| Problem::Engine(format!("Swagger UI could not be unpacked: {error}")))?;
    Ok(answer(content_type, pick(ui).clone()))
}

impl Ui {
    fn unpack() -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        let mut archive = ZipArchive::new(Cursor::new(SWAGGER_UI_VENDORED))?;
        Ok(Self {
            script: member(&mut archive, "/dist/swagger-ui-bundle.js")?,
            style: member(&mut archive, "/dist/swagger-ui.css")?,
        })
    }
}

/// The member whose name, behind the folder of the version, is `ending`.
fn member(
    archive: &mut ZipArchive<Cursor<&'static [u8]>>,
    ending: &str,
) -> Result<Bytes, Box<dyn std::error::Error + Send + Sync>> {
    let names = archive.file_names().filter_map(Result::ok);
    let name = names.map(Cow::into_owned).find(|name| name.ends_with(ending));
    let name = name.ok_or_else(|| format!("the archive has no {ending}"))?;
    let mut bytes = Vec::new();
    archive.by_name(&name)?.read_to_end(&mut bytes)?;
    Ok(bytes.into())
}

fn answer(content_type: &'static str, content: Bytes) -> Response {
    let headers: [(HeaderName, &str); 5] = [
        (header::CONTENT_TYPE, content_type),
        (header::CACHE_CONTROL, "max-age=3600"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    (headers, content).into_response()
}
