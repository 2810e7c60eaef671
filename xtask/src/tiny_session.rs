//! A graph of one addition, run through ONNX Runtime's C API to see which execution provider really computes.
//! Leaves finding and loading the library to `probe`.

use std::ffi::{CStr, CString, c_char, c_void};

use anyhow::{Result, bail, ensure};
use ort_sys::{
    ONNXTensorElementDataType, OrtAllocatorType, OrtApi, OrtLoggingLevel, OrtMemType, OrtSession, OrtSessionOptions,
    OrtStatusPtr, OrtValue,
};

/// Provider for NVIDIA GPUs.
pub(crate) const CUDA: &str = "CUDAExecutionProvider";

/// Makes ONNX Runtime remember where it put each node.
const RECORD_ASSIGNMENT: &CStr = c"session.record_ep_graph_assignment_info";
/// Type codes of ONNX: `TensorProto.DataType.FLOAT`, the format's and the operators' version.
const FLOAT: u8 = 1;
const IR_VERSION: u8 = 8;
const OPSET: u8 = 17;

/// An object of the C API, released when dropped.
struct Owned<T> {
    pointer: *mut T,
    release: unsafe extern "system" fn(*mut T),
}

impl<T> Drop for Owned<T> {
    #[expect(unsafe_code, reason = "objects of a C library are released by it")]
    fn drop(&mut self) {
        // SAFETY: the pointer came from the function that makes such objects, and is released here alone.
        unsafe { (self.release)(self.pointer) }
    }
}

/// Adds 1.5 and 2.25 to themselves on the first GPU (`cuda`) or the processor, and returns the name of the execution
/// provider that did it.
#[expect(unsafe_code, reason = "a C API is called")]
pub(crate) fn computing_provider(api: &OrtApi, cuda: bool) -> Result<String> {
    // SAFETY: the calls are those of ONNX Runtime's C API, with pointers to live objects and to room for their results;
    // each object is wrapped once it is made, and dropped in reverse order.
    unsafe {
        let env = made(api, api.ReleaseEnv, |out| {
            (api.CreateEnv)(OrtLoggingLevel::ORT_LOGGING_LEVEL_FATAL, c"probe".as_ptr(), out)
        })?;
        let options = made(api, api.ReleaseSessionOptions, |out| (api.CreateSessionOptions)(out))?;
        let key = RECORD_ASSIGNMENT.as_ptr();
        check(api, (api.AddSessionConfigEntry)(options.pointer, key, c"1".as_ptr()))?;
        check(api, (api.SetIntraOpNumThreads)(options.pointer, 1))?;
        if cuda {
            append_cuda(api, &options)?;
        }
        let graph = addition();
        let (bytes, length) = (graph.as_ptr().cast::<c_void>(), graph.len());
        let session = made(api, api.ReleaseSession, |out| {
            (api.CreateSessionFromArray)(env.pointer, bytes, length, options.pointer, out)
        })?;
        let sums = run(api, &session, [1.5, 2.25])?;
        ensure!(
            sums.map(f32::to_bits) == [3.0_f32, 4.5].map(f32::to_bits),
            "1.5 + 1.5 and 2.25 + 2.25 came out as {sums:?}: the library computes wrongly"
        );
        provider_of(api, &session)
    }
}

/// # Safety
/// `api` and `options` are alive.
#[expect(unsafe_code, reason = "a C API is called")]
unsafe fn append_cuda(api: &OrtApi, options: &Owned<OrtSessionOptions>) -> Result<()> {
    // SAFETY: as promised by the caller.
    unsafe {
        let cuda = made(api, api.ReleaseCUDAProviderOptions, |out| (api.CreateCUDAProviderOptions)(out))?;
        check(api, (api.SessionOptionsAppendExecutionProvider_CUDA_V2)(options.pointer, cuda.pointer))
    }
}

/// # Safety
/// `api` and `session` are alive, and the session's graph is that of [`addition`].
#[expect(unsafe_code, reason = "a C API is called")]
unsafe fn run(api: &OrtApi, session: &Owned<OrtSession>, mut values: [f32; 2]) -> Result<[f32; 2]> {
    // SAFETY: as promised by the caller; `values` outlives the tensor that borrows it.
    unsafe {
        let memory = made(api, api.ReleaseMemoryInfo, |out| {
            (api.CreateCpuMemoryInfo)(OrtAllocatorType::OrtDeviceAllocator, OrtMemType::OrtMemTypeDefault, out)
        })?;
        let (data, kind) =
            (values.as_mut_ptr().cast::<c_void>(), ONNXTensorElementDataType::ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT);
        let shape = [2_i64];
        let input = made(api, api.ReleaseValue, |out| {
            let bytes = size_of::<[f32; 2]>();
            (api.CreateTensorWithDataAsOrtValue)(memory.pointer, data, bytes, shape.as_ptr(), 1, kind, out)
        })?;
        let names: [*const c_char; 2] = [c"x".as_ptr(), c"y".as_ptr()];
        let inputs: [*const OrtValue; 1] = [input.pointer];
        let output = made(api, api.ReleaseValue, |out| {
            (api.Run)(
                session.pointer,
                std::ptr::null(),
                &raw const names[0],
                inputs.as_ptr(),
                1,
                &raw const names[1],
                1,
                out,
            )
        })?;
        let mut sums: *mut c_void = std::ptr::null_mut();
        check(api, (api.GetTensorMutableData)(output.pointer, &raw mut sums))?;
        Ok(sums.cast::<[f32; 2]>().read())
    }
}

/// # Safety
/// `api` and `session` are alive, and the session keeps [`RECORD_ASSIGNMENT`].
#[expect(unsafe_code, reason = "a C API is called")]
unsafe fn provider_of(api: &OrtApi, session: &Owned<OrtSession>) -> Result<String> {
    // SAFETY: as promised by the caller; what comes back belongs to the session.
    unsafe {
        let (mut subgraphs, mut count) = (std::ptr::null(), 0);
        check(api, (api.Session_GetEpGraphAssignmentInfo)(session.pointer, &raw mut subgraphs, &raw mut count))?;
        ensure!(count == 1, "one addition was put into {count} places");
        let mut name: *const c_char = std::ptr::null();
        check(api, (api.EpAssignedSubgraph_GetEpName)(*subgraphs, &raw mut name))?;
        Ok(CStr::from_ptr(name).to_string_lossy().into_owned())
    }
}

/// # Safety
/// `make` stores, where it succeeds, an object that `release` takes.
#[expect(unsafe_code, reason = "a C API is called")]
unsafe fn made<T>(
    api: &OrtApi,
    release: unsafe extern "system" fn(*mut T),
    make: impl FnOnce(*mut *mut T) -> OrtStatusPtr,
) -> Result<Owned<T>> {
    let mut pointer = std::ptr::null_mut();
    // SAFETY: a status comes from `api`.
    unsafe { check(api, make(&raw mut pointer))? };
    Ok(Owned { pointer, release })
}

/// # Safety
/// `status` comes from `api` and was not released.
#[expect(unsafe_code, reason = "a C API is called")]
pub(crate) unsafe fn check(api: &OrtApi, status: OrtStatusPtr) -> Result<()> {
    if status.0.is_null() {
        return Ok(());
    }
    // SAFETY: as promised by the caller; the message is copied before the status is released.
    let message: CString = unsafe {
        let message = CStr::from_ptr((api.GetErrorMessage)(status.0)).to_owned();
        (api.ReleaseStatus)(status.0);
        message
    };
    bail!("{}", message.to_string_lossy().trim())
}

/// `y = x + x` for two floats, as an ONNX file. Field numbers are those of `onnx.proto`.
fn addition() -> Vec<u8> {
    // ValueInfoProto { name: 1, type: 2 { tensor_type: 1 { elem_type: 1, shape: 2 { dim: 1 { dim_value: 1 } } } } }
    let shape = bytes(2, &bytes(1, &number(1, 2)));
    let kind = bytes(1, &[number(1, FLOAT), shape].concat());
    let value = |name: &[u8]| [bytes(1, name), bytes(2, &kind)].concat();
    // NodeProto { input: 1, output: 2, op_type: 4 }
    let node = [bytes(1, b"x"), bytes(1, b"x"), bytes(2, b"y"), bytes(4, b"Add")].concat();
    // GraphProto { node: 1, name: 2, input: 11, output: 12 }
    let graph = [bytes(1, &node), bytes(2, b"probe"), bytes(11, &value(b"x")), bytes(12, &value(b"y"))].concat();
    // ModelProto { ir_version: 1, graph: 7, opset_import: 8 { version: 2 } }
    [number(1, IR_VERSION), bytes(7, &graph), bytes(8, &number(2, OPSET))].concat()
}

/// A protobuf field of numbers below 128.
fn number(field: u8, value: u8) -> Vec<u8> {
    vec![field << 3, value]
}

/// A protobuf field of fewer than 128 bytes.
fn bytes(field: u8, content: &[u8]) -> Vec<u8> {
    let length = u8::try_from(content.len()).expect("the graph is tiny");
    [&[field << 3 | 2, length], content].concat()
}
