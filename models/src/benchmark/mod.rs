//! What the benchmarks of training and of inference share: the configurations that they time, what a step costs, and
//! how a rate compares with what the machine can do. Leaves the timing to `trainer bench` and `server bench`.

mod configurations;
mod cost;
mod counter;
mod machine;
mod roofline;

pub use configurations::BenchmarkConfig;
pub use cost::{CountedProduct, Product, ProductKind, StepCost, Work, step_cost};
pub use machine::{forget_peak_memory, peak_memory_bytes, processor_name};
pub use roofline::{MemoryPeak, ProductRate, Roofline, Spread};
