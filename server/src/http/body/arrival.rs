//! A request's body on its way in: bounded in bytes and time, with its content encodings undone. A body that is too large
//! is taken and thrown away for a while, since clients that send before they read would else see a broken connection
//! instead of the answer. Leaves what the bytes mean to the parent module.

use std::io::Read;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, header};
use flate2::read::{MultiGzDecoder, ZlibDecoder};
use http_body_util::BodyExt;
use mediatype::MediaType;
use mediatype::names::{IMAGE, MULTIPART};
use tokio::time::Instant;

use super::is_picture;
use crate::http::{HttpLimits, Problem};

/// Bytes beyond the limit that are thrown away before the answer.
const MAX_DRAINED_BYTES: usize = 64 << 20;
/// For how long they are.
const DRAIN_TIME: Duration = Duration::from_secs(10);
/// Content encodings, one within the other, at most.
const MAX_ENCODINGS: usize = 2;
/// Largest window of a zstd frame as a power of two: 8 MB, what RFC 8878 asks decoders to support.
const MAX_ZSTD_WINDOW: u32 = 23;

/// What to do about a picture that is not read.
pub(super) const PICTURES_READ: &str = "mazes may come as pictures, as PNG files; send everything else as text or JSON";

/// The whole body.
///
/// # Errors
/// When it is larger or slower than the limits allow, the connection breaks, it is encoded in a way that is not read, or
/// claims to be a picture of a kind that is not read.
pub(in crate::http) async fn read(request: Request, limits: &HttpLimits) -> Result<Bytes, Problem> {
    let (parts, body) = request.into_parts();
    let claimed = claimed_type(&parts.headers)?;
    let encodings = encodings(&parts.headers)?;
    let reading = tokio::time::timeout(limits.request_timeout, take(body, &parts.headers, limits.max_body_bytes));
    let body = reading.await.map_err(|_| Problem::SlowBody(limits.request_timeout))??;
    let body = if encodings.is_empty() { body } else { decode(body, encodings, limits.max_body_bytes).await? };
    match claimed {
        Some(claimed) if !body.is_empty() && !is_picture(&body) => Err(Problem::UnsupportedMedia(format!(
            "the content type is {claimed}, but the body is not a PNG file; {PICTURES_READ}"
        ))),
        _ => Ok(body),
    }
}

/// The bytes as they come, up to `limit`.
async fn take(mut body: Body, headers: &HeaderMap, limit: usize) -> Result<Bytes, Problem> {
    let too_large = || Problem::BodyTooLarge { limit };
    let claimed = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    let is_too_large = claimed.is_some_and(|claimed| claimed > limit);
    // Who asks before sending is answered at once.
    if is_too_large && headers.contains_key(header::EXPECT) {
        return Err(too_large());
    }
    let mut taken = Vec::with_capacity(claimed.filter(|_| !is_too_large).unwrap_or(0));
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Problem::Malformed(format!("the body could not be read: {error}")))?;
        let Ok(data) = frame.into_data() else { continue };
        if is_too_large || taken.len() + data.len() > limit {
            drop(taken);
            drain(body).await;
            return Err(too_large());
        }
        taken.extend_from_slice(&data);
    }
    Ok(taken.into())
}

/// Takes what still comes, up to a bound, and keeps none of it.
async fn drain(mut body: Body) {
    let until = Instant::now() + DRAIN_TIME;
    let mut drained = 0;
    while let Ok(Some(Ok(frame))) = tokio::time::timeout_at(until, body.frame()).await {
        drained += frame.data_ref().map_or(0, Bytes::len);
        if drained > MAX_DRAINED_BYTES {
            return;
        }
    }
}

/// What a body is encoded with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Encoding {
    Gzip,
    Deflate,
    Zstd,
}

/// The encodings in the order in which they were applied.
fn encodings(headers: &HeaderMap) -> Result<Vec<Encoding>, Problem> {
    let refused = |found: &str| {
        let found: String = found.chars().take(100).collect();
        Problem::UnsupportedMedia(format!(
            "the content encoding is {found:?}; expected gzip, deflate or zstd, or a body as it is"
        ))
    };
    let mut encodings = Vec::new();
    for value in headers.get_all(header::CONTENT_ENCODING) {
        let value = value.to_str().map_err(|_| refused("no text"))?;
        for name in value.split(',').map(str::trim) {
            match name.to_ascii_lowercase().as_str() {
                "" | "identity" => {}
                "gzip" | "x-gzip" => encodings.push(Encoding::Gzip),
                "deflate" => encodings.push(Encoding::Deflate),
                "zstd" => encodings.push(Encoding::Zstd),
                _ => return Err(refused(name)),
            }
        }
    }
    if encodings.len() > MAX_ENCODINGS { Err(refused("three encodings or more")) } else { Ok(encodings) }
}

/// Undoes the encodings; what comes out is bounded as the body is.
async fn decode(body: Bytes, encodings: Vec<Encoding>, limit: usize) -> Result<Bytes, Problem> {
    let decoding = tokio::task::spawn_blocking(move || {
        encodings.into_iter().rev().try_fold(body, |body, encoding| unpack(&body, encoding, limit))
    });
    decoding.await.map_err(|error| Problem::Engine(format!("decoding the body failed: {error}")))?
}

fn unpack(body: &[u8], encoding: Encoding, limit: usize) -> Result<Bytes, Problem> {
    let failed = |error: std::io::Error| {
        Problem::Malformed(format!("the body is not what its content encoding ({encoding:?}) says: {error}"))
    };
    let mut decoder: Box<dyn Read> = match encoding {
        Encoding::Gzip => Box::new(MultiGzDecoder::new(body)),
        Encoding::Deflate => Box::new(ZlibDecoder::new(body)),
        Encoding::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::new(body).map_err(failed)?;
            decoder.window_log_max(MAX_ZSTD_WINDOW).map_err(failed)?;
            Box::new(decoder)
        }
    };
    let mut unpacked = Vec::new();
    decoder.by_ref().take(limit as u64 + 1).read_to_end(&mut unpacked).map_err(failed)?;
    if unpacked.len() > limit { Err(Problem::BodyTooLarge { limit }) } else { Ok(unpacked.into()) }
}

/// The picture format that a content type names, by which a body that is none is refused: the client meant a picture.
///
/// # Errors
/// When it is a form of several parts, which no route reads.
fn claimed_type(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let Some(media_type) = value.and_then(|value| MediaType::parse(value).ok()) else { return Ok(None) };
    let name = || media_type.essence().to_string().chars().take(100).collect::<String>();
    if media_type.ty == MULTIPART {
        return Err(Problem::UnsupportedMedia(format!(
            "the content type is {}, a form of several parts; send the puzzle itself as the body (curl --data-binary \
             @FILE instead of -F)",
            name()
        )));
    }
    Ok((media_type.ty == IMAGE).then(name))
}
