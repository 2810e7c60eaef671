//! Any bytes as the pickle inside an intact file of `torch.save` with a few storages: the mutations reach the
//! interpreter instead of ending in the archive around it.

#![no_main]

use libfuzzer_sys::fuzz_target;
use models::checkpoint::Dtype;

mod invariants;
#[allow(dead_code, reason = "written for the tests, which use all of it")]
#[path = "../../models/tests/common/torch_save.rs"]
mod torch_save;

fuzz_target!(|pickle: &[u8]| {
    let storage = |bytes| torch_save::Storage { dtype: Dtype::U8, bytes: vec![7; bytes] };
    invariants::check(&torch_save::archive("a", pickle, &[storage(24), storage(64), storage(0)]));
});
