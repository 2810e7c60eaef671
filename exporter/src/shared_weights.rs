//! Weights in the form that kernels take, shared by all nodes that have them: a block runs many times in a step, each time as a
//! node of its own.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// The packed weights of one operator's nodes by the name of their first tensor; gone with the last node.
#[derive(Debug)]
pub(crate) struct SharedWeights<W>(Mutex<HashMap<String, Weak<W>>>);

impl<W> Default for SharedWeights<W> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<W> SharedWeights<W> {
    /// Those that a node before has packed, or what `pack` makes.
    pub(crate) fn get_or_pack<E>(&self, name: String, pack: impl FnOnce() -> Result<W, E>) -> Result<Arc<W>, E> {
        let mut packed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let weights = match packed.get(&name).and_then(Weak::upgrade) {
            Some(weights) => weights,
            None => Arc::new(pack()?),
        };
        packed.insert(name, Arc::downgrade(&weights));
        Ok(weights)
    }
}
