//! What an evaluation does besides measuring: votes on ARC (`evaluators`), and answers on disk (`eval_save_outputs`).

use datasets::scoring::DEFAULT_PASS_KS;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::TrainError;

/// One of `evaluators`, in the reference's form `{name: arc@ARC}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvaluatorConfig {
    /// `arc@ARC`: the reference's module and class, of which there is one.
    pub name: EvaluatorName,
    /// Attempts of each test pair in `submission.json`.
    #[serde(rename = "submission_K", default = "two_attempts")]
    pub submission_k: usize,
    /// K of each `ARC/pass@K`.
    #[serde(rename = "pass_Ks", default = "reference_pass_ks")]
    pub pass_ks: Vec<usize>,
    /// Votes of all augmentations of a task count together, which is the only way here.
    #[serde(default = "together")]
    pub aggregated_voting: bool,
}

/// The evaluators that there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum EvaluatorName {
    /// Votes per test pair of ARC.
    #[serde(rename = "arc@ARC")]
    Arc,
}

impl EvaluatorConfig {
    /// Checks what a list of evaluators says, with a sentence for each way in which it is wrong.
    pub(super) fn check(list: &Value) -> Result<(), TrainError> {
        let refused = |problem: String| Err(TrainError::setting("evaluators", problem));
        let Some(list) = list.as_array() else {
            return refused(format!("{list} is not a list; write evaluators=\"[{{name: arc@ARC}}]\" or []"));
        };
        for entry in list {
            match entry.get("name").and_then(Value::as_str) {
                Some("arc@ARC") => {}
                Some(name) => {
                    return refused(format!(
                        "knows no `{name}`; there is arc@ARC, and Sudoku and mazes need none ([])"
                    ));
                }
                None => return refused(format!("{entry} has no name; write {{name: arc@ARC}}")),
            }
            match serde_json::from_value::<Self>(entry.clone()) {
                Err(error) => return refused(format!("{entry}: {error}")),
                Ok(config) if !config.aggregated_voting => {
                    return refused("aggregated_voting: false is not supported; leave it out".to_owned());
                }
                Ok(config) if config.submission_k == 0 || config.pass_ks.contains(&0) => {
                    return refused(format!("{entry}: submission_K and pass_Ks must be at least 1"));
                }
                Ok(_) => {}
            }
        }
        if list.len() > 1 {
            return refused(format!("has {} entries, expected one", list.len()));
        }
        Ok(())
    }
}

fn two_attempts() -> usize {
    2
}

fn together() -> bool {
    true
}

fn reference_pass_ks() -> Vec<usize> {
    DEFAULT_PASS_KS.to_vec()
}
