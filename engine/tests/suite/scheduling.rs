//! What holds for the scheduler whatever comes: every request is answered once, with its own answer, in the order of
//! arrival, and a client that goes away affects no other.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use engine::{Batching, Engine, EngineOptions, Halting, Pending, Policy, PolicyLimits, Request, Restarts};
use proptest::prelude::*;

use crate::countdown::{Countdown, ShorterCopies, Turn, countdown};

const MAX_STEPS: usize = 6;

/// What happens next at the engine's door.
#[derive(Debug, Clone)]
enum Event {
    /// A request of this many steps arrives.
    Submit { steps: i64, halting: Halting, augmentations: usize },
    /// The client of one of the requests so far goes away.
    Leave(prop::sample::Index),
    /// The engine takes so many steps.
    Turns(usize),
}

fn event() -> impl Strategy<Value = Event> {
    let halting = prop::sample::select(vec![Halting::Verified, Halting::Q, Halting::Fixed]);
    prop_oneof![
        5 => (4..12_i64, halting, 0..4_usize)
            .prop_map(|(steps, halting, augmentations)| Event::Submit { steps, halting, augmentations }),
        2 => any::<prop::sample::Index>().prop_map(Event::Leave),
        3 => (1..4_usize).prop_map(Event::Turns),
    ]
}

fn batching() -> impl Strategy<Value = Batching> {
    prop::sample::select(vec![Batching::Continuous, Batching::Padded, Batching::Static])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn every_request_is_answered_once_in_order_even_if_others_leave(
        events in prop::collection::vec(event(), 1..40),
        slots in 1..9_usize,
        batching in batching(),
        chains_at_once in 1..5_usize,
    ) {
        let (model, handbrake) = Countdown::with_handbrake();
        let log = model.log.clone();
        let options = EngineOptions {
            slots,
            queue_capacity: 64,
            max_wait: Duration::MAX,
            batching,
            chains_at_once,
            default_policy: Policy::plain(MAX_STEPS),
            limits: PolicyLimits { max_steps: 64, chains: 8 },
        };
        let engine = Engine::start(model, Arc::new(ShorterCopies), options).unwrap();
        // Dropped before the engine, whose thread would wait for it for ever.
        let handbrake = handbrake;
        // Holds the engine inside a step while the first events happen.
        let first = engine.submit(countdown(1, 1000)).unwrap();
        handbrake.wait_for_step();
        let mut inside = true;

        let mut waiting: Vec<Option<Pending>> = Vec::new();
        let mut expected = Vec::new();
        for event in &events {
            match event {
                Event::Submit { steps, halting, augmentations } => {
                    let name = waiting.len() as i64 + 1;
                    let request = request(*steps, name, *halting, *augmentations);
                    expected.push((*steps, *halting, *augmentations));
                    waiting.push(Some(engine.submit(request).unwrap()));
                }
                Event::Leave(index) if !waiting.is_empty() => {
                    waiting[index.index(expected.len())] = None;
                }
                Event::Leave(_) => {}
                Event::Turns(turns) => {
                    for _ in 0..*turns {
                        if std::mem::take(&mut inside) {
                            handbrake.release_step();
                        }
                        // The next step begins, unless nothing is left to do.
                        while !inside && open_requests(&engine) > 0 {
                            inside = handbrake.next_step_within(Duration::from_millis(1));
                        }
                    }
                }
            }
        }
        drop(handbrake);

        prop_assert!(first.wait().is_ok());
        let mut answered = 0;
        for (index, pending) in waiting.into_iter().enumerate() {
            let Some(pending) = pending else { continue };
            answered += 1;
            let answer = pending.wait().unwrap();
            let (steps, halting, augmentations) = expected[index];
            prop_assert_eq!(answer.tokens[1..].to_vec(), vec![i64::from(answer.verified), answer.steps as i64, 7]);
            prop_assert!(answer.chains <= 1 + augmentations, "{:?}", answer);
            // A copy takes fewer steps than the puzzle, so that some chain comes to its end in time or none does.
            if halting == Halting::Verified {
                let solvable = steps - augmentations as i64 <= MAX_STEPS as i64;
                prop_assert_eq!(answer.verified, solvable, "{:?}", answer);
                prop_assert_eq!(answer.chains > 1, augmentations > 0 && steps > MAX_STEPS as i64);
            }
        }
        let metrics = engine.metrics();
        let left = expected.len() - answered;
        prop_assert!(metrics.answered > answered as u64, "{:?}", metrics);
        // Who leaves is cancelled, unless the answer was there first.
        prop_assert!(metrics.cancelled <= left as u64, "{:?}", metrics);
        drop(engine);
        check_order(&log.lock().unwrap(), slots, batching)?;
    }
}

fn request(steps: i64, name: i64, halting: Halting, augmentations: usize) -> Request {
    let restarts = Restarts { augmentations, ..Restarts::NONE };
    countdown(steps, name).with_policy(Policy { halting, restarts, ..Policy::plain(MAX_STEPS) })
}

fn open_requests(engine: &Engine) -> u64 {
    let metrics = engine.metrics();
    metrics.accepted - metrics.answered - metrics.cancelled - metrics.failed
}

/// New puzzles get their first row in order of arrival, in batches of the sizes that the engine promises.
fn check_order(log: &[Turn], slots: usize, batching: Batching) -> Result<(), TestCaseError> {
    let mut seen = BTreeSet::new();
    for turn in log {
        let sizes = [1, 2, 4, 6, 8];
        let is_fixed = turn.rows == slots || batching != Batching::Padded && sizes.contains(&turn.rows);
        prop_assert!(turn.rows <= slots && is_fixed, "{:?} with {} slots", turn, slots);
        // Rows keep their places, so that newcomers of one turn stand in any order among themselves.
        let new: BTreeSet<i64> = turn.names.iter().copied().filter(|name| !seen.contains(name)).collect();
        let later = seen.iter().filter(|&&name| name != 1000).max().copied().unwrap_or(0);
        for name in &new {
            prop_assert!(*name > later || *name == 1000, "puzzle {} began after puzzle {}", name, later);
        }
        seen.extend(new);
    }
    Ok(())
}
