//! What settings may be, beyond their types.

use super::PretrainConfig;
use crate::TrainError;

impl PretrainConfig {
    /// Checks what no type says: bounds, lists that belong together, a source of puzzles.
    pub(super) fn validate(&self) -> Result<(), TrainError> {
        let positive = [
            ("global_batch_size", self.global_batch_size as u64),
            ("carried_batches", self.carried_batches as u64),
            ("epochs", self.epochs),
            ("checkpoint_interval", self.checkpoint_interval),
            ("log_interval", self.log_interval),
            ("eval_interval", self.eval_interval.unwrap_or(1)),
            ("eval_interval_steps", self.eval_interval_steps.unwrap_or(1)),
            ("max_steps", self.max_steps.unwrap_or(1)),
            ("probe_depth", self.probe_depth as u64),
            ("probe_rows", self.probe_rows as u64),
            ("collective_timeout", self.collective_timeout),
            ("micro_batch_size", self.micro_batch_size.unwrap_or(1) as u64),
        ];
        for (key, value) in positive {
            if value == 0 {
                return Err(TrainError::setting(key, "is 0, must be at least 1"));
            }
        }
        let rates = [
            ("lr", self.lr, f64::INFINITY),
            ("puzzle_emb_lr", self.puzzle_emb_lr, f64::INFINITY),
            ("weight_decay", self.weight_decay, f64::INFINITY),
            ("q_loss_weight", self.q_loss_weight, f64::INFINITY),
            ("move_loss_weight", self.move_loss_weight, f64::INFINITY),
            ("puzzle_emb_weight_decay", self.puzzle_emb_weight_decay, f64::INFINITY),
            ("grad_clip", self.grad_clip.unwrap_or(1.0), f64::INFINITY),
            ("lr_min_ratio", self.lr_min_ratio, 1.0),
            ("ema_rate", self.ema_rate, 1.0),
            ("beta1", self.beta1, 0.999_999_9),
            ("beta2", self.beta2, 0.999_999_9),
        ];
        for (key, value, most) in rates {
            if !(0.0..=most).contains(&value) || !value.is_finite() {
                return Err(TrainError::setting(key, format!("is {value}, must lie between 0 and {most}")));
            }
        }
        if self.grad_clip == Some(0.0) {
            return Err(TrainError::setting(
                "grad_clip",
                "is 0, which would stop all learning; unset it with grad_clip=null",
            ));
        }
        let lists = [
            ("generator.weights", self.generator_weights.len(), self.generator_sizes.len()),
            ("data_weights", self.data_weights.len(), self.data_paths.len()),
        ];
        for (key, found, expected) in lists {
            if found != 0 && found != expected {
                return Err(TrainError::setting(
                    key,
                    format!("has {found} weights for {expected} sources; give one each"),
                ));
            }
        }
        if self.generator_weights.iter().chain(&self.data_weights).any(|&weight| weight == 0) {
            return Err(TrainError::setting("data_weights", "and generator.weights must be at least 1"));
        }
        match &self.generator {
            Some(_) if !self.data_paths.is_empty() && !self.arch.mixer().is_size_free() => {
                Err(TrainError::setting("generator", "and data_paths are both set; unset one (data_paths=\"[]\")"))
            }
            Some(_) if self.max_steps.is_none() => Err(TrainError::setting(
                "max_steps",
                "is unset; generated puzzles never end, say how many steps to take",
            )),
            Some(_) => self.generators().iter().try_for_each(|(generator, _)| Ok(generator.validate()?)),
            None if self.data_paths.is_empty() => Err(TrainError::setting(
                "data_paths",
                "is empty; name a data set folder (data_paths=\"[data/sudoku]\") or a generator (generator.size=9)",
            )),
            None => Ok(()),
        }
    }
}
