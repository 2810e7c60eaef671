//! What a client wants to have: the `Accept` header against what a route can make (RFC 9110, 12.5.1).

use std::str::FromStr;

use axum::http::{HeaderMap, header};
use headers_accept::Accept;
use mediatype::MediaType;
use mediatype::names::{APPLICATION, EVENT_STREAM, GIF, IMAGE, JSON, PNG, TEXT};

use super::Problem;

/// A form of answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Output {
    /// One JSON object.
    Json,
    /// Server-sent events.
    Stream,
    /// The answer as a picture.
    Png,
    /// The steps as an animation.
    Gif,
}

impl Output {
    /// The media type.
    pub(super) const fn media_type(self) -> MediaType<'static> {
        match self {
            Self::Json => MediaType::new(APPLICATION, JSON),
            Self::Stream => MediaType::new(TEXT, EVENT_STREAM),
            Self::Png => MediaType::new(IMAGE, PNG),
            Self::Gif => MediaType::new(IMAGE, GIF),
        }
    }

    /// The form among those `offered` (in the server's order of preference) that the client likes best; the first
    /// where it does not say, or says it in a way that cannot be read.
    ///
    /// # Errors
    /// [`Problem::NotAcceptable`] when it accepts none of them.
    pub(super) fn negotiate(headers: &HeaderMap, offered: &[Self]) -> Result<Self, Problem> {
        let lines: Vec<&str> = headers.get_all(header::ACCEPT).iter().filter_map(|line| line.to_str().ok()).collect();
        let line = lines.join(", ");
        let first = offered.first().copied().unwrap_or(Self::Json);
        let Ok(accept) = Accept::from_str(&line) else { return Ok(first) };
        if accept.media_types().next().is_none() {
            return Ok(first);
        }
        let types: Vec<MediaType<'static>> = offered.iter().map(|output| output.media_type()).collect();
        let chosen = accept.negotiate(&types);
        let chosen = chosen.and_then(|chosen| offered.iter().find(|output| output.media_type() == *chosen));
        chosen.copied().ok_or_else(|| {
            let names: Vec<String> = types.iter().map(ToString::to_string).collect();
            Problem::NotAcceptable { accept: line.chars().take(200).collect(), available: names.join(", ") }
        })
    }
}
