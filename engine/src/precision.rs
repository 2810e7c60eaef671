//! What a model's products are computed in: the choices of `--quantize`, and the rule of `auto`.

use clap::ValueEnum;
use exporter::runtime::Provider;
use exporter::{Flavor, Precision};
use models::Manifest;

/// The choices of `--quantize`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Quantize {
    /// 8-bit integers where this processor has kernels for them (AVX-512 with VNNI) and the model's manifest says that they
    /// solve as many puzzles as float32.
    #[default]
    Auto,
    /// Never.
    Float32,
    /// 8-bit integers: two to five times as fast on such processors; not for GPUs.
    Int8,
}

impl From<Precision> for Quantize {
    fn from(precision: Precision) -> Self {
        match precision {
            Precision::Float32 => Self::Float32,
            Precision::Int8 => Self::Int8,
        }
    }
}

impl Quantize {
    /// The precision of the model of `manifest`, whose weight file has this hash, on `provider`.
    pub fn precision(self, manifest: &Manifest, weights_sha256: &str, provider: Provider) -> Precision {
        let has_kernels =
            provider == Provider::Cpu && Flavor::fastest(manifest.arch.mixer(), Precision::Int8) == Flavor::Kernels;
        self.precision_where(has_kernels, manifest, weights_sha256)
    }

    fn precision_where(self, has_kernels: bool, manifest: &Manifest, weights_sha256: &str) -> Precision {
        let is_as_accurate =
            || manifest.inference.as_ref().is_some_and(|inference| inference.int8_is_as_accurate(weights_sha256));
        match self {
            Self::Int8 => Precision::Int8,
            Self::Auto if has_kernels && is_as_accurate() => Precision::Int8,
            Self::Auto | Self::Float32 => Precision::Float32,
        }
    }
}

#[cfg(test)]
mod tests {
    use models::checkpoint::{InferenceDefaults, Measured, MeasuredInt8};
    use models::{ArchitectureConfig, ModelDims};

    use super::*;

    fn manifest(float32: f64, int8: Option<f64>) -> Manifest {
        let arch = ArchitectureConfig::default_of("trm").unwrap();
        let dims = ModelDims { vocab_size: 11, seq_len: 81, num_puzzle_identifiers: 1, sizes: None };
        let measured = Measured {
            data: "puzzles".into(),
            puzzles: 1000,
            weights_sha256: "a".into(),
            rule: "a rule".into(),
            exact_accuracy: 0.9,
            verified_accuracy_plain: 0.9,
            verified_accuracy: float32,
            mean_steps: 2.0,
        };
        let int8 = int8.map(|verified_accuracy| MeasuredInt8 {
            data: "puzzles".into(),
            puzzles: 1000,
            weights_sha256: "a".into(),
            verified_accuracy,
        });
        let inference = InferenceDefaults { measured: Some(measured), int8, ..InferenceDefaults::of_steps(16) };
        Manifest { inference: Some(inference), ..Manifest::new(arch, dims, "sudoku") }
    }

    #[test]
    fn auto_takes_integers_where_kernels_are_there_and_nothing_is_lost() {
        let auto = |has_kernels, manifest: &Manifest| Quantize::Auto.precision_where(has_kernels, manifest, "a");
        assert_eq!(auto(true, &manifest(0.999, Some(0.999))), Precision::Int8);
        assert_eq!(auto(false, &manifest(0.999, Some(0.999))), Precision::Float32);
        assert_eq!(auto(true, &manifest(0.999, Some(0.998))), Precision::Float32);
        assert_eq!(auto(true, &manifest(0.999, None)), Precision::Float32);
        assert_eq!(auto(true, &Manifest { inference: None, ..manifest(0.999, None) }), Precision::Float32);
    }

    #[test]
    fn a_measurement_of_other_weights_or_puzzles_counts_for_nothing() {
        assert_eq!(Quantize::Auto.precision_where(true, &manifest(0.9, Some(1.0)), "b"), Precision::Float32);
        let mut other = manifest(0.9, Some(1.0));
        if let Some(int8) = other.inference.as_mut().and_then(|inference| inference.int8.as_mut()) {
            int8.puzzles = 10;
        }
        assert_eq!(Quantize::Auto.precision_where(true, &other, "a"), Precision::Float32);
    }

    #[test]
    fn a_choice_by_name_is_kept() {
        assert_eq!(Quantize::Int8.precision_where(false, &manifest(1.0, None), "a"), Precision::Int8);
        assert_eq!(Quantize::Float32.precision_where(true, &manifest(1.0, Some(1.0)), "a"), Precision::Float32);
    }
}
