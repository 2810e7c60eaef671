//! `config.pbtxt`: what Triton must know of a model, from the graph's metadata and the operator's options.
//! Field names and enums are those of Triton's `model_config.proto`, against which the tests read it back.

use super::text_proto::Message;
use super::{Device, TritonOptions, batch_sizes, steps_of};
use crate::{ElementType, GraphMetadata, TensorInfo};

/// The file's text.
pub(super) fn text(name: &str, metadata: &GraphMetadata, options: &TritonOptions) -> String {
    let sizes = batch_sizes(options.max_batch_size);
    let mut config = Message::default();
    config
        .comment(&format!(
            "{} steps of {} for {}; checkpoint {}.\nDimensions leave out the batch, which Triton adds.",
            steps_of(metadata),
            metadata.arch.name(),
            metadata.task,
            metadata.checkpoint_sha256,
        ))
        .string("name", name)
        .string("platform", "onnxruntime_onnx")
        .string("backend", "onnxruntime")
        .plain("max_batch_size", options.max_batch_size);
    for (field, tensors) in [("input", metadata.inputs()), ("output", metadata.outputs())] {
        for tensor in &tensors {
            config.message(field, |message| interface(message, tensor));
        }
    }
    config.message("version_policy", |policy| {
        policy.message("latest", |latest| {
            latest.plain("num_versions", 1);
        });
    });
    config.message("instance_group", |group| {
        group.plain("count", options.instances).plain("kind", kind(options.device));
    });
    if options.max_batch_size > 1 {
        config.message("dynamic_batching", |batching| {
            batching
                .list("preferred_batch_size", sizes.iter().copied().filter(|&size| size > 1))
                .plain("max_queue_delay_microseconds", options.max_queue_delay_us);
        });
    }
    // Every size once before the model is ready: the first request of a size would otherwise pay for its memory plan.
    for size in sizes {
        config.message("model_warmup", |warmup| {
            warmup.string("name", &format!("batch of {size}")).plain("batch_size", size);
            for tensor in &metadata.inputs() {
                warmup.message("inputs", |entry| {
                    entry.string("key", &tensor.name).message("value", |value| {
                        value.plain("data_type", data_type(tensor.element_type));
                        value.list("dims", tensor.row_shape.iter().copied()).plain("zero_data", true);
                    });
                });
            }
        });
    }
    config.into_text()
}

/// The `KServe` protocol's name of the type.
pub(super) fn kserve_type(element_type: ElementType) -> &'static str {
    match element_type {
        ElementType::Float32 => "FP32",
        ElementType::Int64 => "INT64",
        ElementType::Bool => "BOOL",
    }
}

fn interface(message: &mut Message, tensor: &TensorInfo) {
    message
        .string("name", &tensor.name)
        .plain("data_type", data_type(tensor.element_type))
        .list("dims", tensor.row_shape.iter().copied());
}

fn data_type(element_type: ElementType) -> String {
    format!("TYPE_{}", kserve_type(element_type))
}

fn kind(device: Device) -> &'static str {
    match device {
        Device::Auto => "KIND_AUTO",
        Device::Cpu => "KIND_CPU",
        Device::Gpu => "KIND_GPU",
    }
}
