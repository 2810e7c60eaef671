//! SignSGD with decoupled decay on the rows of the puzzle table that a batch touched
//! (`CastedSparseEmbeddingSignSGD_Distributed` in the reference's `models/sparse_embedding.py`).

use std::collections::BTreeMap;

use tch::{Kind, Tensor};

use crate::transfer::to_device;

/// Updates rows `identifiers` of `table` `[rows, width]` in place; `gradient` `[batch, width]` has one row per
/// identifier, and the gradients of an identifier that occurs twice are summed before the sign is taken.
pub fn sign_sgd(table: &mut Tensor, gradient: &Tensor, identifiers: &[i32], lr: f64, weight_decay: f64) {
    let mut slots = BTreeMap::new();
    for &identifier in identifiers {
        let next = slots.len() as i64;
        slots.entry(identifier).or_insert(next);
    }
    let inverse: Vec<i64> = identifiers.iter().map(|identifier| slots[identifier]).collect();
    let mut touched = vec![0_i64; slots.len()];
    for (&identifier, &slot) in &slots {
        touched[slot as usize] = i64::from(identifier);
    }
    tch::no_grad(|| {
        let device = table.device();
        let touched = to_device(&touched, device);
        let inverse = to_device(&inverse, device);
        let width = table.size()[1];
        let summed = Tensor::zeros([touched.size()[0], width], (Kind::Float, device)).index_add(0, &inverse, gradient);
        let rows = table.index_select(0, &touched) * (1.0 - lr * weight_decay) - summed.sign() * lr;
        let _ = table.index_copy_(0, &touched, &rows);
    });
}
