//! The structured mixers in float32, over the live sites of one board at a time: the units of an exact cover
//! ([`UnitsMixing`]), and the SwiGLU of every site, which sees its neighbours where it has a stencil ([`SiteSwiGlu`]).
//! Both compute `y / sqrt(mean(y²) + eps)` over the channels of `y = x + mixing(x)`.
//!
//! One source for every processor, in plain arrays that the compiler turns into vectors. It is compiled for AVX-512, for
//! AVX2 and for the least that the target has; the processor decides when it runs. The order of sums does not depend
//! on the number of threads.

mod arithmetic;
mod scratch;
mod swiglu;
mod units;

use std::sync::Mutex;

pub use swiglu::SiteSwiGlu;
pub use units::UnitsMixing;

/// Runs independent pieces of work.
pub trait Parallel {
    /// Calls `work` with each of `0..count`, in any order and on any threads, and returns when all are done.
    fn run(&self, count: usize, work: &(dyn Fn(usize) + Sync));
}

/// One piece after the other.
#[derive(Debug, Clone, Copy)]
pub struct Serial;

impl Parallel for Serial {
    fn run(&self, count: usize, work: &(dyn Fn(usize) + Sync)) {
        (0..count).for_each(work);
    }
}

/// Sites that are computed together: what lies between their products stays in the first caches.
const TILE_SITES: usize = 48;

/// Calls `work` with the index of each piece of `length` values, and the piece.
fn each_piece(parallel: &dyn Parallel, values: &mut [f32], length: usize, work: impl Fn(usize, &mut [f32]) + Sync) {
    // Each piece is locked once, by the thread that works on it.
    let pieces: Vec<Mutex<&mut [f32]>> = values.chunks_mut(length).map(Mutex::new).collect();
    parallel.run(pieces.len(), &|index| {
        if let Ok(mut piece) = pieces[index].lock() {
            work(index, &mut piece);
        }
    });
}
