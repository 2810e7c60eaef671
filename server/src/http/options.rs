//! What a request may say besides its puzzle: its inference policy and the form of the answer. The same for every task,
//! in the body and in the query string. Leaves checking ranges to the engine.

use std::borrow::Cow;
use std::time::{Duration, Instant};

use axum::extract::Query;
use axum::http::Uri;
use engine::default_policy::PolicyOverrides;
use engine::{Halting, NoiseTarget, Policy};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::{IntoParams, PartialSchema, ToSchema};

use super::Problem;

/// Options of a request; the model's default policy stands in for what is not said.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, ToSchema, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct SolveOptions {
    /// Name of the model to use, where several fit.
    pub model: Option<String>,
    /// Most supervision steps of a chain.
    #[schema(minimum = 1)]
    #[param(minimum = 1)]
    pub max_steps: Option<usize>,
    /// When a chain stops earlier.
    pub halting: Option<Halting>,
    /// Equal answers in a row that `"halting": "stable"` waits for.
    #[schema(minimum = 1)]
    #[param(minimum = 1)]
    pub stable_steps: Option<usize>,
    /// Further chains on symmetric copies of the puzzle.
    pub augmentations: Option<usize>,
    /// Further chains on the puzzle itself, which differ by their noise.
    pub rollouts: Option<usize>,
    /// Deviation of the noise that further chains add to their state before each step.
    #[schema(minimum = 0, maximum = 10)]
    #[param(minimum = 0, maximum = 10)]
    pub sigma: Option<f32>,
    /// States that get the noise: `latent`, `answer` or `all`.
    #[schema(value_type = Option<NoiseTargets>)]
    #[param(value_type = Option<NoiseTargets>)]
    pub noise: Option<NoiseTarget>,
    /// Steps of the last chain, on the puzzle as it is, when all others have failed.
    pub depth: Option<usize>,
    /// Fixes copies and noise.
    pub seed: Option<u64>,
    /// Deadline in ms: returns the best answer so far. At most, and by default, nine tenths of the server's time for a request.
    pub deadline_ms: Option<u64>,
    /// Also every step's answer.
    pub trace: Option<bool>,
    /// Also the answer as a drawing in text.
    pub grid: Option<bool>,
    /// Server-sent events instead of one answer.
    pub stream: Option<bool>,
}

/// [`NoiseTarget`] in the description: its crate describes nothing.
struct NoiseTargets;

impl PartialSchema for NoiseTargets {
    fn schema() -> RefOr<Schema> {
        let names = [NoiseTarget::Latent, NoiseTarget::Answer, NoiseTarget::All].map(|target| json!(target));
        ObjectBuilder::new().schema_type(Type::String).enum_values(Some(names)).into()
    }
}

impl ToSchema for NoiseTargets {
    fn name() -> Cow<'static, str> {
        "NoiseTarget".into()
    }
}

/// Jaro-Winkler similarity from which a name is taken for a misspelt option.
const MISSPELT: f64 = 0.9;

impl SolveOptions {
    /// Reads the query string of a URI.
    ///
    /// # Errors
    /// [`Problem::Malformed`] when it names an unknown option or a value is of the wrong kind.
    pub fn from_query(uri: &Uri) -> Result<Self, Problem> {
        let read = Query::try_from_uri(uri).map_err(|error| Problem::malformed(&error.body_text()));
        read.map(|Query(options)| options)
    }

    /// Reads the fields of a JSON object from which the puzzles have been taken.
    ///
    /// # Errors
    /// As [`from_query`](Self::from_query).
    pub fn from_fields(fields: Map<String, Value>) -> Result<Self, Problem> {
        serde_path_to_error::deserialize(Value::Object(fields)).map_err(|error| {
            let path = error.path().to_string();
            let (field, separator) = if path == "." { ("", "") } else { (path.as_str(), ": ") };
            Problem::malformed(&format!("the body is not a request: {field}{separator}{}", error.inner()))
        })
    }

    /// Whether `name` is an option, or so near to one that it is more likely misspelt than something else.
    pub(super) fn may_mean(name: &str) -> bool {
        let options = Self::into_params(|| None);
        options.iter().any(|option| strsim::jaro_winkler(&option.name, name) >= MISSPELT)
    }

    /// The same with a deadline that leaves a tenth of `timeout` for the way back: the answers so far are worth more than
    /// none.
    #[must_use]
    pub(super) fn within(self, timeout: Duration) -> Self {
        let latest = u64::try_from(timeout.as_millis() * 9 / 10).unwrap_or(u64::MAX);
        Self { deadline_ms: Some(self.deadline_ms.map_or(latest, |ms| ms.min(latest))), ..self }
    }

    /// These options, and those of `other` where these say nothing.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            model: self.model.or(other.model),
            max_steps: self.max_steps.or(other.max_steps),
            halting: self.halting.or(other.halting),
            stable_steps: self.stable_steps.or(other.stable_steps),
            augmentations: self.augmentations.or(other.augmentations),
            rollouts: self.rollouts.or(other.rollouts),
            sigma: self.sigma.or(other.sigma),
            noise: self.noise.or(other.noise),
            depth: self.depth.or(other.depth),
            seed: self.seed.or(other.seed),
            deadline_ms: self.deadline_ms.or(other.deadline_ms),
            trace: self.trace.or(other.trace),
            grid: self.grid.or(other.grid),
            stream: self.stream.or(other.stream),
        }
    }

    /// The policy of the request: `default` with what the request sets.
    pub fn policy(&self, default: &Policy) -> Policy {
        let &Self { max_steps, halting, stable_steps, augmentations, rollouts, sigma, noise, depth, seed, .. } = self;
        PolicyOverrides { max_steps, halting, stable_steps, augmentations, rollouts, sigma, noise, depth, seed }
            .apply_to(default)
    }

    /// When the answer so far will do.
    pub fn deadline(&self) -> Option<Instant> {
        // A deadline beyond the clock's end is none.
        self.deadline_ms.and_then(|ms| Instant::now().checked_add(Duration::from_millis(ms)))
    }
}
