//! The C interface of `c10d/process_group.cpp` as Rust sees it. Owns the foreign calls and what they allocate; leaves
//! meaning, waiting and blame to the modules beside it. Errors are libtorch's own texts.

use std::ffi::{CStr, CString, c_char, c_int, c_void};

use tch::Tensor;

/// A connection to the key-value store of c10d.
#[derive(Debug)]
pub(super) struct StoreHandle(*mut c_void);

// SAFETY: a `TCPStore` serialises the operations of several threads by a lock of its own.
#[expect(unsafe_code, reason = "FFI")]
unsafe impl Send for StoreHandle {}
// SAFETY: as above.
#[expect(unsafe_code, reason = "FFI")]
unsafe impl Sync for StoreHandle {}

/// Backends of c10d: Gloo, and NCCL where it was asked for.
#[derive(Debug)]
pub(super) struct GroupHandle(*mut c_void);

impl StoreHandle {
    /// Connects to `host:port`, or listens there; gives the port, which is chosen freely for 0.
    pub(super) fn open(host: &str, port: u16, hosts: bool, timeout_ms: i64) -> Result<(Self, u16), String> {
        let host = c_string(host)?;
        let (mut out, mut port_out) = (std::ptr::null_mut(), 0);
        // SAFETY: the pointers outlive the call.
        #[expect(unsafe_code, reason = "FFI")]
        check(unsafe {
            trainer_store_open(host.as_ptr(), port, c_int::from(hosts), timeout_ms, &raw mut out, &raw mut port_out)
        })?;
        Ok((Self(out), port_out))
    }

    pub(super) fn set(&self, key: &str, value: &[u8]) -> Result<(), String> {
        let key = c_string(key)?;
        // SAFETY: the store is open; the pointers outlive the call, which copies.
        #[expect(unsafe_code, reason = "FFI")]
        check(unsafe { trainer_store_set(self.0, key.as_ptr(), value.as_ptr().cast(), value.len()) })
    }

    /// Whether `key` has a value; does not wait for one.
    pub(super) fn has(&self, key: &str) -> Result<bool, String> {
        let key = c_string(key)?;
        let mut found = 0;
        // SAFETY: the store is open; the pointers outlive the call.
        #[expect(unsafe_code, reason = "FFI")]
        check(unsafe { trainer_store_check(self.0, key.as_ptr(), &raw mut found) })?;
        Ok(found != 0)
    }

    pub(super) fn get(&self, key: &str) -> Result<Vec<u8>, String> {
        let key = c_string(key)?;
        // SAFETY: the store is open; the pointers outlive the call.
        #[expect(unsafe_code, reason = "FFI")]
        bytes(|data, length| unsafe { trainer_store_get(self.0, key.as_ptr(), data, length) })
    }

    /// Sets `key` where it has no value yet; gives the value that it has then.
    pub(super) fn set_first(&self, key: &str, value: &[u8]) -> Result<Vec<u8>, String> {
        let key = c_string(key)?;
        // SAFETY: the store is open; the pointers outlive the call, which copies.
        #[expect(unsafe_code, reason = "FFI")]
        bytes(|data, length| unsafe {
            trainer_store_set_first(self.0, key.as_ptr(), value.as_ptr().cast(), value.len(), data, length)
        })
    }
}

impl Drop for StoreHandle {
    fn drop(&mut self) {
        // SAFETY: opened by `open`, closed once.
        #[expect(unsafe_code, reason = "FFI")]
        unsafe {
            trainer_store_close(self.0);
        }
    }
}

impl GroupHandle {
    /// Meets the other ranks under keys that begin with `prefix`; Gloo listens at `address` where one is given.
    pub(super) fn open(
        store: &StoreHandle,
        prefix: &str,
        (rank, size): (usize, usize),
        timeout_ms: i64,
        address: Option<&str>,
        cuda: bool,
    ) -> Result<Self, String> {
        let prefix = c_string(prefix)?;
        let address = address.map(c_string).transpose()?;
        let address = address.as_ref().map_or(std::ptr::null(), |address| address.as_ptr());
        let mut out = std::ptr::null_mut();
        // SAFETY: the store is open, and the group keeps its own reference to it; the pointers outlive the call.
        #[expect(unsafe_code, reason = "FFI")]
        check(unsafe {
            trainer_group_open(
                store.0,
                prefix.as_ptr(),
                rank as c_int,
                size as c_int,
                timeout_ms,
                address,
                c_int::from(cuda),
                &raw mut out,
            )
        })?;
        Ok(Self(out))
    }

    pub(super) fn broadcast(&self, tensor: &Tensor, root: usize) -> Result<(), String> {
        // SAFETY: the group is open; the tensor outlives the call, which waits for the end of the operation.
        #[expect(unsafe_code, reason = "FFI")]
        check(unsafe { trainer_group_broadcast(self.0, handle(tensor), root as c_int) })
    }

    pub(super) fn all_reduce(&self, tensor: &Tensor) -> Result<(), String> {
        // SAFETY: as in `broadcast`.
        #[expect(unsafe_code, reason = "FFI")]
        check(unsafe { trainer_group_all_reduce(self.0, handle(tensor)) })
    }

    pub(super) fn all_gather(&self, input: &Tensor, outputs: &[Tensor]) -> Result<(), String> {
        let outputs: Vec<*mut c_void> = outputs.iter().map(handle).collect();
        // SAFETY: as in `broadcast`; `outputs` holds as many tensors as is said.
        #[expect(unsafe_code, reason = "FFI")]
        check(unsafe { trainer_group_all_gather(self.0, handle(input), outputs.as_ptr(), outputs.len()) })
    }

    pub(super) fn send(&self, tensor: &Tensor, to: usize) -> Result<(), String> {
        // SAFETY: as in `broadcast`.
        #[expect(unsafe_code, reason = "FFI")]
        check(unsafe { trainer_group_send(self.0, handle(tensor), to as c_int) })
    }

    pub(super) fn receive(&self, tensor: &Tensor, from: usize) -> Result<(), String> {
        // SAFETY: as in `broadcast`.
        #[expect(unsafe_code, reason = "FFI")]
        check(unsafe { trainer_group_receive(self.0, handle(tensor), from as c_int) })
    }

    pub(super) fn barrier(&self) -> Result<(), String> {
        // SAFETY: the group is open.
        #[expect(unsafe_code, reason = "FFI")]
        check(unsafe { trainer_group_barrier(self.0) })
    }
}

impl Drop for GroupHandle {
    fn drop(&mut self) {
        // SAFETY: opened by `open`, closed once; no operation is under way, because each call waits for its end.
        #[expect(unsafe_code, reason = "FFI")]
        unsafe {
            trainer_group_close(self.0);
        }
    }
}

/// libtorch's `at::Tensor`, by address; collectives write into its storage.
fn handle(tensor: &Tensor) -> *mut c_void {
    tensor.as_ptr().cast_mut().cast()
}

fn c_string(text: &str) -> Result<CString, String> {
    CString::new(text).map_err(|_| format!("`{}` holds a zero byte", text.escape_debug()))
}

fn check(error: *mut c_char) -> Result<(), String> {
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
    // What follows the first line is libtorch's call stack.
    Err(message.lines().next().unwrap_or_default().trim_end_matches('.').to_owned())
}

/// The bytes that `function` hands over.
fn bytes(function: impl FnOnce(*mut *mut c_void, *mut usize) -> *mut c_char) -> Result<Vec<u8>, String> {
    let (mut data, mut length) = (std::ptr::null_mut(), 0);
    check(function(&raw mut data, &raw mut length))?;
    // SAFETY: without an error `data` owns `length` bytes from `malloc`.
    #[expect(unsafe_code, reason = "FFI")]
    unsafe {
        let bytes = std::slice::from_raw_parts(data.cast::<u8>(), length).to_vec();
        free(data);
        Ok(bytes)
    }
}

#[expect(unsafe_code, reason = "FFI")]
unsafe extern "C" {
    fn trainer_store_open(
        host: *const c_char,
        port: u16,
        hosts: c_int,
        timeout_ms: i64,
        out: *mut *mut c_void,
        port_out: *mut u16,
    ) -> *mut c_char;
    fn trainer_store_set(store: *const c_void, key: *const c_char, data: *const c_char, length: usize) -> *mut c_char;
    fn trainer_store_check(store: *const c_void, key: *const c_char, found: *mut c_int) -> *mut c_char;
    fn trainer_store_get(
        store: *const c_void,
        key: *const c_char,
        data: *mut *mut c_void,
        length: *mut usize,
    ) -> *mut c_char;
    fn trainer_store_set_first(
        store: *const c_void,
        key: *const c_char,
        value: *const c_char,
        value_length: usize,
        data: *mut *mut c_void,
        length: *mut usize,
    ) -> *mut c_char;
    fn trainer_store_close(store: *mut c_void);
    fn trainer_group_open(
        store: *const c_void,
        prefix: *const c_char,
        rank: c_int,
        size: c_int,
        timeout_ms: i64,
        address: *const c_char,
        cuda: c_int,
        out: *mut *mut c_void,
    ) -> *mut c_char;
    fn trainer_group_broadcast(group: *const c_void, tensor: *mut c_void, root: c_int) -> *mut c_char;
    fn trainer_group_all_reduce(group: *const c_void, tensor: *mut c_void) -> *mut c_char;
    fn trainer_group_all_gather(
        group: *const c_void,
        input: *mut c_void,
        outputs: *const *mut c_void,
        count: usize,
    ) -> *mut c_char;
    fn trainer_group_send(group: *const c_void, tensor: *mut c_void, to: c_int) -> *mut c_char;
    fn trainer_group_receive(group: *const c_void, tensor: *mut c_void, from: c_int) -> *mut c_char;
    fn trainer_group_barrier(group: *const c_void) -> *mut c_char;
    fn trainer_group_close(group: *mut c_void);
    fn free(memory: *mut c_void);
}
