//! One state on all ranks: rank 0 hands its own to the others, and each rank the rows that it carries.

use std::path::Path;

use models::ParameterKind;
use serde::{Deserialize, Serialize};

use super::{RankState, Standing};
use crate::TrainError;
use crate::distributed::Ranks;
use crate::learner::Learner;

/// What rank 0 knows and all ranks need.
#[derive(Debug, Serialize, Deserialize)]
struct Common {
    step: u64,
    optimizer_step: u64,
    standing: Standing,
    resumed: bool,
}

/// Puts `learner` on every rank where it stands on rank 0, and hands out `states`, which rank 0 has where the run is
/// resumed: one for each rank. Gives the standing of a resumed run.
///
/// # Errors
/// When a rank is gone.
pub(crate) fn share(
    learner: &mut Learner,
    ranks: &Ranks,
    standing: Standing,
    states: Option<&[RankState]>,
) -> Result<Option<Standing>, TrainError> {
    let common =
        Common { step: learner.step, optimizer_step: learner.optimizer.step, standing, resumed: states.is_some() };
    let bytes = ranks.bytes_from_first(serde_json::to_vec(&common).unwrap_or_default())?;
    let origin = Path::new("what rank 0 sent");
    let common: Common =
        serde_json::from_slice(&bytes).map_err(|error| TrainError::state(origin, error.to_string()))?;
    for spec in learner.parameters.specs().iter().filter(|spec| spec.kind != ParameterKind::Weight) {
        if let Some(tensor) = learner.parameters.get(&spec.name) {
            ranks.take_from_first(tensor)?;
        }
    }
    let optimizer = [&learner.optimizer.exp_avg, &learner.optimizer.exp_avg_sq];
    for tensor in optimizer.into_iter().chain([learner.parameters.flat()]).chain(&learner.ema) {
        ranks.take_from_first(tensor)?;
    }
    learner.parameters.weights_changed();
    learner.optimizer.step = common.optimizer_step;
    if !common.resumed {
        return Ok(None);
    }
    let names = learner.config.arch.state_names();
    let turns = learner.carries().count();
    let shares = states.unwrap_or_default().iter().map(|state| state.to_bytes(names, 0));
    let share = ranks.share_from_first(shares.collect::<Result<_, _>>()?)?;
    if ranks.rank() > 0 {
        learner.pass_turns(common.step);
        learner.step = common.step;
        RankState::from_bytes(&share, names, turns, origin)?.0.apply(learner, origin)?;
    }
    Ok(Some(common.standing))
}
