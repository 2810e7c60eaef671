//! Which execution providers really compute a session: ONNX Runtime's own record of where it put each node.
//! Leaves the choice of a provider to [`SessionOptions`](crate::runtime::SessionOptions).

use std::collections::BTreeMap;
use std::ffi::{CStr, c_char};

use ort::AsPointer;
use ort::session::Session;
use ort::sys;

use crate::RuntimeError;

/// Session option that makes ONNX Runtime keep the record.
pub(crate) const RECORD_ASSIGNMENT: &str = "session.record_ep_graph_assignment_info";

/// Name of the processor's provider.
pub const CPU_PROVIDER: &str = "CPUExecutionProvider";
/// Name of the provider for NVIDIA GPUs.
pub const CUDA_PROVIDER: &str = "CUDAExecutionProvider";

/// How many nodes of the optimized graph each execution provider computes, by the provider's name. Whatever a session
/// was asked for, this is what runs.
///
/// # Errors
/// [`RuntimeError::Session`] when ONNX Runtime has no record: the session was not opened by [`crate::runtime`].
pub fn assigned_nodes(session: &Session) -> Result<BTreeMap<String, usize>, RuntimeError> {
    let mut assigned = BTreeMap::new();
    for subgraph in subgraphs(session)? {
        let (name, nodes) = describe(*subgraph)?;
        *assigned.entry(name).or_insert(0) += nodes;
    }
    Ok(assigned)
}

/// The provider that computes most of the session's nodes.
///
/// # Errors
/// As [`assigned_nodes`].
pub fn main_provider(session: &Session) -> Result<String, RuntimeError> {
    let assigned = assigned_nodes(session)?;
    // A graph whose nodes were all folded into constants computes nothing, and the processor hands its results out.
    Ok(assigned.into_iter().max_by_key(|&(_, nodes)| nodes).map_or_else(|| CPU_PROVIDER.to_owned(), |(name, _)| name))
}

#[expect(unsafe_code, reason = "the `ort` crate does not wrap this part of the C API")]
fn subgraphs(session: &Session) -> Result<&[*const sys::OrtEpAssignedSubgraph], RuntimeError> {
    let (mut first, mut count) = (std::ptr::null(), 0);
    // SAFETY: the session is alive, and both pointers are valid for writing. The array that they receive belongs to the
    // session, to whose lifetime the result is bound.
    unsafe {
        check((ort::api().Session_GetEpGraphAssignmentInfo)(session.ptr(), &raw mut first, &raw mut count))?;
        Ok(if count == 0 || first.is_null() { &[] } else { std::slice::from_raw_parts(first, count) })
    }
}

/// Name of a subgraph's provider and how many nodes it has. `subgraph` must come out of [`subgraphs`] of a session that
/// is still alive.
#[expect(unsafe_code, reason = "the `ort` crate does not wrap this part of the C API")]
fn describe(subgraph: *const sys::OrtEpAssignedSubgraph) -> Result<(String, usize), RuntimeError> {
    let mut name: *const c_char = std::ptr::null();
    let (mut nodes, mut count) = (std::ptr::null(), 0);
    // SAFETY: the subgraph belongs to a live session; the pointers are valid for writing; the name is a string of the
    // session that ends in a zero byte.
    unsafe {
        check((ort::api().EpAssignedSubgraph_GetEpName)(subgraph, &raw mut name))?;
        check((ort::api().EpAssignedSubgraph_GetNodes)(subgraph, &raw mut nodes, &raw mut count))?;
        Ok((CStr::from_ptr(name).to_string_lossy().into_owned(), count))
    }
}

#[expect(unsafe_code, reason = "a status of the C API is an owned pointer")]
fn check(status: sys::OrtStatusPtr) -> Result<(), RuntimeError> {
    if status.0.is_null() {
        return Ok(());
    }
    // SAFETY: a status that is not null is ours to read and to release, once.
    let problem = unsafe {
        let message = CStr::from_ptr((ort::api().GetErrorMessage)(status.0)).to_string_lossy().into_owned();
        (ort::api().ReleaseStatus)(status.0);
        message
    };
    Err(RuntimeError::Session { action: "tell which execution providers it uses".to_owned(), problem })
}
