//! Files of the Hugging Face hub: what is published for this family of models ([`registry`]), and getting it ([`Hub`]).
//! Owns addresses, the cache that `huggingface_hub` shares, and what the hub's answers mean; leaves transfers to
//! [`files`], and what the files hold to the callers.
//!
//! # Why not the crate `hf-hub`
//! Both of its lines were tried against what is needed here (sources of 0.5.0 and 1.0.0):
//!
//! * 0.5 with its blocking client (58 packages) offers no way to set timeouts, so that a dead connection hangs for
//!   ever; it makes a path of the server's `ETag` as it is, so that a mirror may write anywhere; it appends to a partial
//!   file without looking whether the server resumed, and asks a finished one for bytes past its end; it checks neither
//!   length nor hash; it panics on some redirects; it reads neither `HF_HUB_OFFLINE`, `HF_HUB_CACHE` nor `HF_TOKEN`;
//!   and it trusts its own list of certificate authorities where a company's machine has others.
//! * 1.0 mends most of that with 236 packages (tokio, reqwest and the xet transfer among them), which alone take longer
//!   to build than everything else that a first answer needs.
//!
//! What a download needs is little: a HEAD, a GET with a range, a hash, and the layout of the cache.

mod cache;
mod client;
mod environment;
mod error;
mod reference;
pub mod registry;

pub use client::Hub;
pub use error::{FetchError, HubError};
pub use files::download::TransferError;
pub use reference::{FileReference, RepositoryKind};
