//! The reference's on-disk format: `{train,test}/dataset.json`, `{set}__{field}.npy`, `identifiers.json`.
//! Owns reading (memory-mapped, validated) and crash-safe writing; leaves the meaning of tokens to the tasks.

mod json;
mod metadata;

pub use metadata::DatasetMetadata;
