//! Measured rates and how a step compares with them. Owns the arithmetic; leaves clocks and kernels to the benchmarks.

use serde::Serialize;

use super::cost::{Product, StepCost};

/// The middle of repeated measurements, and how far they spread.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Spread {
    /// Median.
    pub median: f64,
    /// A quarter of the measurements lie below.
    pub lower: f64,
    /// A quarter of the measurements lie above.
    pub upper: f64,
    /// How many there were.
    pub count: usize,
}

impl Spread {
    /// Of `values`; `None` where there are none.
    pub fn of(values: &[f64]) -> Option<Self> {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        // Between neighbours, as most libraries interpolate.
        let quantile = |share: f64| {
            let place = share * (sorted.len() - 1) as f64;
            let (below, above) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
            below + (above - below) * place.fract()
        };
        (!sorted.is_empty()).then(|| Self {
            median: quantile(0.5),
            lower: quantile(0.25),
            upper: quantile(0.75),
            count: sorted.len(),
        })
    }

    /// With every measurement `value` replaced by `amount / value`: rates out of durations.
    #[must_use]
    pub fn rate_of(self, amount: f64) -> Self {
        Self { median: amount / self.median, lower: amount / self.upper, upper: amount / self.lower, ..self }
    }

    /// With every measurement multiplied.
    #[must_use]
    pub fn times(self, factor: f64) -> Self {
        Self { median: factor * self.median, lower: factor * self.lower, upper: factor * self.upper, ..self }
    }
}

/// How fast the library that runs the model multiplies matrices of one shape, alone.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ProductRate {
    /// The shape.
    #[serde(flatten)]
    pub product: Product,
    /// Times in a forward pass of the step.
    pub uses: usize,
    /// Share of the forward pass's operations.
    pub share: f64,
    /// Floating point operations a second.
    pub flops_per_second: Spread,
}

/// How fast memory is read and written by arrays that no cache holds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct MemoryPeak {
    /// Bytes of each array.
    pub array_bytes: usize,
    /// Bytes a second of two arrays that are read and one that is written.
    pub bytes_per_second: Spread,
}

/// What the machine can do, in one type of numbers.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Roofline {
    /// Type that products are computed in.
    pub dtype: String,
    /// Fastest of the products: what utilisation is measured against.
    pub peak_flops_per_second: f64,
    /// What the products of a step reach together, each at its own rate.
    pub mixed_flops_per_second: f64,
    /// Every shape in use.
    pub products: Vec<ProductRate>,
}

impl MemoryPeak {
    /// Floats of each array that memory is measured with: 64 MB, more than the caches of most processors hold.
    pub const ARRAY_LENGTH: usize = 1 << 24;
}

impl Roofline {
    /// Out of the rates of the products of `cost`, measured in its order.
    pub fn new(dtype: impl Into<String>, cost: &StepCost, rates: &[Spread]) -> Self {
        let products: Vec<ProductRate> = cost
            .products
            .iter()
            .zip(rates)
            .enumerate()
            .map(|(index, (counted, &flops_per_second))| ProductRate {
                product: counted.product,
                uses: counted.uses,
                share: cost.share(index),
                flops_per_second,
            })
            .collect();
        let seconds_per_flop: f64 = products.iter().map(|rate| rate.share / rate.flops_per_second.median).sum();
        let shares: f64 = products.iter().map(|rate| rate.share).sum();
        Self {
            dtype: dtype.into(),
            peak_flops_per_second: products.iter().map(|rate| rate.flops_per_second.median).fold(0.0, f64::max),
            mixed_flops_per_second: if seconds_per_flop > 0.0 { shares / seconds_per_flop } else { 0.0 },
            products,
        }
    }

    /// Model FLOPs utilisation: achieved operations a second as a share of the peak.
    pub fn utilisation(&self, flops_per_second: f64) -> f64 {
        if self.peak_flops_per_second > 0.0 { flops_per_second / self.peak_flops_per_second } else { 0.0 }
    }

    /// Seconds that a step cannot fall below which computes `flops` and moves `bytes`.
    pub fn least_seconds(&self, flops: u64, bytes: u64, memory: &MemoryPeak) -> f64 {
        let computing = if self.peak_flops_per_second > 0.0 { flops as f64 / self.peak_flops_per_second } else { 0.0 };
        computing.max(bytes as f64 / memory.bytes_per_second.median)
    }
}
