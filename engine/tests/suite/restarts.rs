//! What the engine promises about further chains: when they begin, who wins, what they cost, on a model that
//! only counts.

use std::sync::Arc;
use std::time::Duration;

use engine::{Clock, Engine, EngineOptions, Halting, NoiseTarget, Policy, Request, Restarts, Stopped};

use crate::countdown::{Countdown, SecondTokenIsOne, ShorterCopies, Turn, countdown, options};
use crate::manual_clock::ManualClock;

fn start(model: Countdown, slots: usize) -> Engine {
    Engine::start(model, Arc::new(ShorterCopies), options(slots)).unwrap()
}

fn copies(augmentations: usize) -> Policy {
    Policy { restarts: Restarts { augmentations, ..Restarts::NONE }, ..Policy::plain(4) }
}

fn turn(names: &[i64]) -> Turn {
    Turn { rows: names.len(), names: names.to_vec() }
}

#[test]
fn copies_begin_when_the_first_chain_has_failed_and_the_first_valid_answer_wins() {
    let model = Countdown::new();
    let log = model.log.clone();
    let engine = start(model, 4);
    let answer = engine.submit(countdown(6, 1).with_policy(copies(4))).unwrap().wait().unwrap();
    // The first chain spends 4 steps, then copies of 5, 4, 3 and 2 steps run side by side: the fourth wins.
    assert_eq!((answer.verified, answer.stopped), (true, Stopped::Verified));
    assert_eq!((answer.chain, answer.chains, answer.steps, answer.total_steps), (4, 5, 2, 4 + 2 * 4));
    assert_eq!(answer.tokens, [100, 1, 2, 7]);
    let one = turn(&[1]);
    let four = turn(&[1, 1, 1, 1]);
    assert_eq!(*log.lock().unwrap(), [one.clone(), one.clone(), one.clone(), one, four.clone(), four]);
    let metrics = engine.metrics();
    assert_eq!((metrics.answered, metrics.verified, metrics.restarted, metrics.rows), (1, 1, 1, 12));
}

#[test]
fn a_puzzle_that_the_first_chain_solves_costs_nothing_more() {
    let engine = start(Countdown::new(), 4);
    let answer = engine.submit(countdown(4, 1).with_policy(copies(8))).unwrap().wait().unwrap();
    assert_eq!((answer.chain, answer.chains, answer.total_steps, answer.tokens[0]), (0, 1, 4, 4));
    assert_eq!(engine.metrics().restarted, 0);
}

#[test]
fn where_one_chain_runs_at_a_time_a_copy_begins_when_the_one_before_has_failed() {
    let model = Countdown::new();
    let log = model.log.clone();
    let one_at_a_time = EngineOptions { chains_at_once: 1, ..options(4) };
    let engine = Engine::start(model, Arc::new(ShorterCopies), one_at_a_time).unwrap();
    let answer = engine.submit(countdown(6, 1).with_policy(copies(4))).unwrap().wait().unwrap();
    // Four steps of the puzzle, four of a copy that would need five, four of the next.
    assert_eq!((answer.verified, answer.chain, answer.chains, answer.total_steps), (true, 2, 3, 12));
    assert_eq!(*log.lock().unwrap(), vec![turn(&[1]); 12]);
}

#[test]
fn the_deep_chain_is_the_last_resort() {
    let engine = start(Countdown::new(), 8);
    let deep = |augmentations, depth| Policy {
        restarts: Restarts { augmentations, depth, ..Restarts::NONE },
        ..Policy::plain(4)
    };
    // Four steps of the first chain, four of each copy, all too few, then nine of the twelve.
    let answer = engine.submit(countdown(9, 1).with_policy(deep(2, 12))).unwrap().wait().unwrap();
    assert_eq!((answer.chain, answer.steps, answer.chains, answer.verified), (3, 9, 4, true));
    assert_eq!((answer.total_steps, deep(2, 12).most_steps()), (4 + 2 * 4 + 9, 4 + 2 * 4 + 12));
    let answer = engine.submit(countdown(9, 1).with_policy(deep(2, 8))).unwrap().wait().unwrap();
    assert_eq!((answer.verified, answer.stopped, answer.total_steps), (false, Stopped::Vote, 4 + 2 * 4 + 8));
    // Without copies there is nothing to wait for: the first chain goes on.
    let answer = engine.submit(countdown(9, 1).with_policy(deep(0, 12))).unwrap().wait().unwrap();
    assert_eq!((answer.chain, answer.chains, answer.verified, answer.total_steps), (0, 1, true, 9));
    assert_eq!((deep(0, 12).most_steps(), deep(0, 3).most_steps(), deep(2, 3).most_steps()), (12, 4, 12));
}

#[test]
fn without_the_rule_check_all_chains_begin_at_once_and_vote() {
    let model = Countdown::new();
    let log = model.log.clone();
    let engine = start(model, 4);
    let policy = Policy { halting: Halting::Fixed, ..copies(3) };
    // No chain finishes within 4 steps: the three copies agree (they carry the same mark), the first chain is alone.
    let answer = engine.submit(countdown(40, 1).with_policy(policy)).unwrap().wait().unwrap();
    assert_eq!((answer.verified, answer.stopped, answer.votes, answer.chains), (false, Stopped::Vote, 3, 4));
    assert_eq!((answer.chain, answer.tokens[0], answer.total_steps), (1, 100, 16));
    assert!(log.lock().unwrap().iter().all(|turn| turn.rows == 4));
    // An answer that obeys the rules beats any number of votes.
    let answer = engine.submit(countdown(7, 1).with_policy(policy)).unwrap().wait().unwrap();
    assert_eq!((answer.verified, answer.votes, answer.chain), (true, 1, 3));
}

#[test]
fn a_stable_answer_ends_a_chain() {
    let engine = start(Countdown::new(), 4);
    let policy = Policy { halting: Halting::Stable, stable_steps: 3, ..Policy::plain(16) };
    // The counter in the answer changes with every step, so that it is never stable.
    let answer = engine.submit(countdown(5, 1).with_policy(policy)).unwrap().wait().unwrap();
    assert_eq!((answer.steps, answer.stopped), (16, Stopped::Steps));
    let once = Policy { stable_steps: 1, ..policy };
    let answer = engine.submit(countdown(5, 1).with_policy(once)).unwrap().wait().unwrap();
    assert_eq!((answer.steps, answer.stopped), (1, Stopped::Stable));
}

#[test]
fn noise_reaches_further_chains_after_their_first_step_and_is_drawn_by_seed_chain_and_step() {
    let model = Countdown::new();
    let log = model.noise.clone();
    let engine = start(model, 4);
    let restarts = Restarts { rollouts: 2, sigma: 0.5, noise: NoiseTarget::Answer, ..Restarts::NONE };
    let policy = Policy { restarts, seed: 9, ..Policy::plain(2) };
    let answer = engine.submit(countdown(40, 1).with_policy(policy)).unwrap().wait().unwrap();
    assert_eq!((answer.chains, answer.total_steps, answer.verified), (3, 6, false));
    let log = log.lock().unwrap();
    let quiet = |turn: usize| log[turn].iter().all(Option::is_none);
    assert!(quiet(0) && quiet(1) && quiet(2), "the first chain and every first step are without noise");
    let noise: Vec<_> = log[3].iter().map(|noise| noise.unwrap()).collect();
    assert!(noise.iter().all(|noise| (noise.seed, noise.target) == (9, NoiseTarget::Answer)));
    assert!(noise.iter().all(|noise| (noise.sigma - 0.5).abs() < 1e-9));
    assert_ne!(noise[0].stream, noise[1].stream);
}

#[test]
fn newcomers_get_three_of_four_free_rows_and_further_chains_the_fourth() {
    let (model, handbrake) = Countdown::with_handbrake();
    let log = model.log.clone();
    let engine = start(model, 1);
    let hard = engine.submit(countdown(30, 1).with_policy(Policy { max_steps: 1, ..copies(2) })).unwrap();
    handbrake.wait_for_step();
    let easy = engine.submit_all((2..=8).map(|name| countdown(1, name)).collect()).unwrap();
    handbrake.release_step();
    handbrake.pass(9);
    assert!(!hard.wait().unwrap().verified);
    assert!(easy.into_iter().all(|pending| pending.wait().unwrap().verified));
    let order: Vec<i64> = log.lock().unwrap().iter().map(|turn| turn.names[0]).collect();
    assert_eq!(order, [1, 2, 3, 1, 4, 5, 6, 1, 7, 8]);
}

#[test]
fn a_client_that_goes_away_takes_all_its_chains_along() {
    let (model, handbrake) = Countdown::with_handbrake();
    let log = model.log.clone();
    let engine = start(model, 4);
    let abandoned =
        engine.submit(countdown(60, 1).with_policy(Policy { halting: Halting::Fixed, ..copies(3) })).unwrap();
    handbrake.wait_for_step();
    let kept = engine.submit(countdown(1, 2)).unwrap();
    drop(abandoned);
    handbrake.release_step();
    handbrake.pass(1);
    assert!(kept.wait().unwrap().verified);
    assert_eq!(*log.lock().unwrap(), [turn(&[1, 1, 1, 1]), turn(&[2])]);
    assert_eq!(engine.metrics().cancelled, 1);
}

#[test]
fn steps_are_sent_as_they_happen_and_a_reader_who_is_slow_misses_some() {
    let engine = start(Countdown::new(), 4);
    let run = |capacity| {
        let (events, mut steps) = tokio::sync::mpsc::channel(capacity);
        let request = Request { events: Some(events), trace: true, ..countdown(4, 1) };
        let answer = engine.submit(request).unwrap().wait().unwrap();
        let mut seen = Vec::new();
        while let Ok(step) = steps.try_recv() {
            seen.push(step);
        }
        (answer.trace, seen)
    };
    let (trace, seen) = run(8);
    assert_eq!(seen, trace);
    assert_eq!(seen.iter().map(|step| (step.chain, step.step)).collect::<Vec<_>>(), [(0, 1), (0, 2), (0, 3), (0, 4)]);
    let (trace, seen) = run(2);
    assert_eq!((trace.len(), seen.as_slice()), (4, &trace[..2]));
}

#[test]
fn a_deadline_ends_all_chains_with_the_best_answer_so_far() {
    let (model, handbrake) = Countdown::with_handbrake();
    let clock = Arc::new(ManualClock::new());
    let engine = Engine::start_with_clock(model, Arc::new(ShorterCopies), options(4), clock.clone()).unwrap();
    let deadline = clock.now() + Duration::from_secs(2);
    let policy = Policy { halting: Halting::Fixed, ..copies(3) };
    let request = Request { deadline: Some(deadline), ..countdown(60, 1).with_policy(policy) };
    let pending = engine.submit(request).unwrap();
    handbrake.wait_for_step();
    clock.advance(Duration::from_secs(2));
    handbrake.release_step();
    let answer = pending.wait().unwrap();
    assert_eq!((answer.stopped, answer.votes, answer.chains, answer.total_steps), (Stopped::Deadline, 3, 4, 4));
}

#[test]
fn a_policy_out_of_range_is_refused_by_name() {
    let engine = start(Countdown::new(), 4);
    let plain = Policy::plain(4);
    let with = |restarts| Policy { restarts, ..plain };
    let refused = |policy: Policy| engine.submit(countdown(1, 1).with_policy(policy)).unwrap_err().to_string();
    assert_eq!(refused(Policy::plain(65)), "max_steps: expected 1 to 64, found 65");
    assert_eq!(refused(Policy { stable_steps: 0, ..plain }), "stable_steps: expected 1 to 64, found 0");
    assert_eq!(refused(with(Restarts { depth: 65, ..Restarts::NONE })), "depth: expected 0 to 64, found 65");
    let many = Restarts { augmentations: 30, rollouts: 3, sigma: 0.1, ..Restarts::NONE };
    assert_eq!(refused(with(many)), "augmentations + rollouts: expected 0 to 32, found 33");
    let overflow = Restarts { augmentations: usize::MAX, rollouts: 1, sigma: 0.1, ..Restarts::NONE };
    assert!(refused(with(overflow)).starts_with("augmentations + rollouts: expected 0 to 32"));
    for sigma in [f32::NAN, -0.1, 10.5, f32::INFINITY] {
        assert!(refused(with(Restarts { sigma, ..Restarts::NONE })).starts_with("sigma: expected 0 to 10"));
    }
    let same = Restarts { rollouts: 2, ..Restarts::NONE };
    let message = "sigma: expected a number above 0, since nothing but noise tells rollouts apart, found 0";
    assert_eq!(refused(with(same)), message);

    let plain_task = Engine::start(Countdown::new(), Arc::new(SecondTokenIsOne), options(4)).unwrap();
    let error = plain_task.submit(countdown(1, 1).with_policy(copies(1))).unwrap_err();
    assert_eq!(error.to_string(), "augmentations: expected 0, since this task has no symmetric copies, found 1");
}
