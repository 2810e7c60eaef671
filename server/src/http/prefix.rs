//! The page and the interface below a path: removed from a request's address before routing, and kept for what needs whole
//! addresses. The page's own addresses are relative and need none of it.

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::http::uri::{PathAndQuery, Uri};
use axum::http::{HeaderMap, HeaderName};
use axum::response::Redirect;
use axum::routing::any;
use tower::util::MapRequest;

/// What a proxy says that it has taken off the path.
const FORWARDED_PREFIX: HeaderName = HeaderName::from_static("x-forwarded-prefix");
/// Longest prefix.
const MAX_LEN: usize = 256;

/// Whether a text is a path that may stand before all others: `/a/b`, without a slash at its end.
pub fn is_prefix(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    let is_part = |part: &str| !part.is_empty() && part != "." && part != ".." && part.bytes().all(is_plain);
    text.len() <= MAX_LEN && text.strip_prefix('/').is_some_and(|parts| parts.split('/').all(is_part))
}

/// `router` below `base_path`; without it, it answers as before, so that probes need not know the path.
pub(super) fn below(router: Router, base_path: &str) -> Router {
    let index = format!("{base_path}/");
    let base_path: Arc<str> = base_path.into();
    let root = base_path.to_string();
    let router = MapRequest::new(router, move |mut request: Request| {
        if let Some(uri) = without(request.uri(), &base_path) {
            *request.uri_mut() = uri;
        }
        request
    });
    // Relative addresses of the page begin behind its last slash.
    Router::new().route(&root, any(async move || Redirect::permanent(&index))).fallback_service(router)
}

/// The address without the path that a request was sent below.
fn without(uri: &Uri, base_path: &str) -> Option<Uri> {
    let rest = uri.path().strip_prefix(base_path).filter(|rest| rest.starts_with('/'))?;
    let rest = uri.query().map_or_else(|| rest.to_owned(), |query| format!("{rest}?{query}"));
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(rest).ok()?);
    Uri::from_parts(parts).ok()
}

/// The path that clients see before all others: what a proxy took off, and the server's own.
pub(super) fn seen_by_clients(headers: &HeaderMap, base_path: &str) -> String {
    let forwarded = headers.get(FORWARDED_PREFIX).and_then(|value| value.to_str().ok());
    let forwarded = forwarded.map(|prefix| prefix.trim_end_matches('/')).filter(|prefix| is_prefix(prefix));
    format!("{}{base_path}", forwarded.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_are_plain_paths() {
        for text in ["/a", "/a/b-c", "/~me/v1.0"] {
            assert!(is_prefix(text), "{text}");
        }
        for text in ["", "/", "a", "/a/", "//a", "/a b", "/../a", "/a?b", "/\u{e4}", "https://a"] {
            assert!(!is_prefix(text), "{text}");
        }
    }

    #[test]
    fn a_path_is_taken_off_where_it_stands_whole() {
        let without = |uri: &str| without(&uri.parse().unwrap(), "/trm").map(|uri| uri.to_string());
        assert_eq!(without("/trm/solve/maze?max_steps=2").as_deref(), Some("/solve/maze?max_steps=2"));
        assert_eq!(without("http://host/trm/").as_deref(), Some("http://host/"));
        for other in ["/trm", "/trmx/info", "/info"] {
            assert_eq!(without(other), None, "{other}");
        }
    }
}
