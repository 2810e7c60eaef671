//! What the command `exporter` does, one file per subcommand; leaves the doing to the library.

pub(crate) mod export;
pub(crate) mod import;
pub(crate) mod registry;
pub(crate) mod safetensors;
pub(crate) mod verify;
