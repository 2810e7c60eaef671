//! CUDA beyond libtorch's operations: recordings that are replayed as one launch, and libtorch's own count of waits.
//! Owns the foreign calls of `cuda/step.cpp`; leaves what is recorded to `replay`.

use std::ffi::{CStr, c_char, c_int, c_void};

use tch::TchError;

/// Work that was recorded on a GPU, with the memory that it uses.
#[derive(Debug)]
pub(crate) struct Graph(*mut c_void);

impl Graph {
    /// Records what `work` queues on `device`, in place of running it. Nothing in it may bring a value to the host.
    pub(crate) fn record<R>(device: usize, work: impl FnOnce() -> R) -> Result<(Self, R), TchError> {
        let mut out = std::ptr::null_mut();
        // SAFETY: `out` outlives the call.
        #[expect(unsafe_code, reason = "FFI")]
        check(unsafe { trainer_graph_begin(device as c_int, &raw mut out) })?;
        let graph = Self(out);
        let result = work();
        // SAFETY: the recording was begun above, on this thread.
        #[expect(unsafe_code, reason = "FFI")]
        check(unsafe { trainer_graph_end(graph.0) })?;
        Ok((graph, result))
    }

    /// Queues what was recorded.
    pub(crate) fn replay(&self) -> Result<(), TchError> {
        // SAFETY: the recording has ended, or there would be no graph.
        #[expect(unsafe_code, reason = "FFI")]
        check(unsafe { trainer_graph_replay(self.0) })
    }
}

impl Drop for Graph {
    fn drop(&mut self) {
        // SAFETY: made by `record`, closed once.
        #[expect(unsafe_code, reason = "FFI")]
        unsafe {
            trainer_graph_close(self.0);
        }
    }
}

/// Runs `work`; gives how often libtorch says that it waited for a GPU meanwhile.
pub(crate) fn count_syncs<R>(work: impl FnOnce() -> R) -> (R, u64) {
    // SAFETY: takes nothing; the handler of warnings that it sets is static.
    #[expect(unsafe_code, reason = "FFI")]
    unsafe {
        trainer_syncs_begin();
    }
    let result = work();
    // SAFETY: takes nothing.
    #[expect(unsafe_code, reason = "FFI")]
    let found = unsafe { trainer_syncs_end() };
    (result, found)
}

fn check(error: *mut c_char) -> Result<(), TchError> {
    if error.is_null() {
        return Ok(());
    }
    // SAFETY: errors are null-terminated strings from `strdup`, ours to free.
    #[expect(unsafe_code, reason = "FFI")]
    let message = unsafe {
        let message = CStr::from_ptr(error).to_string_lossy().into_owned();
        free(error.cast());
        message
    };
    Err(TchError::Torch(message))
}

#[expect(unsafe_code, reason = "FFI")]
unsafe extern "C" {
    fn trainer_graph_begin(device: c_int, out: *mut *mut c_void) -> *mut c_char;
    fn trainer_graph_end(graph: *mut c_void) -> *mut c_char;
    fn trainer_graph_replay(graph: *mut c_void) -> *mut c_char;
    fn trainer_graph_close(graph: *mut c_void);
    fn trainer_syncs_begin();
    fn trainer_syncs_end() -> u64;
    fn free(memory: *mut c_void);
}
