//! What the engine promises about order, batches, halting and lost clients, on a model that only counts.

use std::sync::Arc;
use std::time::Duration;

use engine::{Clock, Engine, EngineError, EngineOptions, Halting, Policy, Request, Stopped};

use crate::countdown::{Countdown, SecondTokenIsOne, Turn, countdown, options};
use crate::manual_clock::ManualClock;

fn start(model: Countdown, options: EngineOptions) -> Engine {
    Engine::start(model, Arc::new(SecondTokenIsOne), options).unwrap()
}

fn turn(rows: usize, names: &[i64]) -> Turn {
    Turn { rows, names: names.to_vec() }
}

#[test]
fn a_puzzle_stops_at_the_first_answer_that_obeys_the_rules() {
    let engine = start(Countdown::new(), options(4));
    let answer = engine.submit(countdown(5, 1)).unwrap().wait().unwrap();
    assert_eq!((answer.steps, answer.verified, answer.stopped), (5, true, Stopped::Verified));
    assert_eq!(answer.tokens, [5, 1, 5, 7]);
    assert!(answer.trace.is_empty());
}

#[test]
fn halting_rules_differ() {
    let engine = start(Countdown::new(), options(4));
    let run = |halting, max_steps| {
        let policy = Policy { halting, ..Policy::plain(max_steps) };
        let request = Request { trace: true, ..countdown(5, 1).with_policy(policy) };
        engine.submit(request).unwrap().wait().unwrap()
    };
    let q = run(Halting::Q, 16);
    assert_eq!((q.steps, q.verified, q.stopped), (4, false, Stopped::Q));
    assert!((q.q - 0.5).abs() < 1e-6);

    let fixed = run(Halting::Fixed, 16);
    assert_eq!((fixed.steps, fixed.verified, fixed.stopped), (16, true, Stopped::Steps));
    assert_eq!(fixed.trace.len(), 16);
    let steps: Vec<i64> = fixed.trace.iter().map(|step| step.tokens[2]).collect();
    assert_eq!(steps, (1..=16).collect::<Vec<_>>());

    let short = run(Halting::Verified, 3);
    assert_eq!((short.steps, short.verified, short.stopped), (3, false, Stopped::Steps));
}

#[test]
fn a_budget_may_exceed_the_default_but_not_the_limit() {
    let engine = start(Countdown::new(), options(4));
    let request = |max_steps| countdown(40, 1).with_policy(Policy::plain(max_steps));
    assert_eq!(engine.submit(request(64)).unwrap().wait().unwrap().steps, 40);
    let error = engine.submit(request(65)).unwrap_err();
    assert_eq!(error.to_string(), "max_steps: expected 1 to 64, found 65");
    assert!(engine.submit(request(0)).is_err());
    let error = engine.submit(Request::new(vec![1, 2])).unwrap_err();
    assert_eq!(error.to_string(), "number of tokens: expected 4, found 2");
}

#[test]
fn a_long_puzzle_does_not_hold_up_short_ones_and_freed_slots_are_refilled_in_arrival_order() {
    let (model, handbrake) = Countdown::with_handbrake();
    let log = model.log.clone();
    let engine = start(model, options(2));
    let first = engine.submit(countdown(6, 1)).unwrap();
    // The engine is inside the first step of puzzle 1; everything below arrives in this order.
    handbrake.wait_for_step();
    let rest = engine.submit_all(vec![countdown(2, 2), countdown(1, 3), countdown(2, 4)]).unwrap();
    handbrake.release_step();
    handbrake.pass(5);
    assert_eq!(first.wait().unwrap().steps, 6);
    let steps: Vec<usize> = rest.into_iter().map(|pending| pending.wait().unwrap().steps).collect();
    assert_eq!(steps, [2, 1, 2]);
    assert_eq!(
        *log.lock().unwrap(),
        [turn(1, &[1]), turn(2, &[1, 2]), turn(2, &[1, 2]), turn(2, &[1, 3]), turn(2, &[1, 4]), turn(2, &[1, 4])]
    );
}

#[test]
fn the_batch_shrinks_to_the_next_fixed_size_and_states_move_with_their_puzzles() {
    let (model, handbrake) = Countdown::with_handbrake();
    let log = model.log.clone();
    let engine = start(model, options(8));
    let warm_up = engine.submit(countdown(1, 9)).unwrap();
    handbrake.wait_for_step();
    // Five rows leave a hole in a batch of six; rows 1, 2 and 3 end early, so that 4 and 5 must move down.
    let requests = [(3, 1), (1, 2), (1, 3), (1, 4), (3, 5)].map(|(steps, name)| countdown(steps, name));
    let pending = engine.submit_all(requests.to_vec()).unwrap();
    handbrake.release_step();
    handbrake.pass(3);
    for (pending, steps) in pending.into_iter().zip([3, 1, 1, 1, 3]) {
        let answer = pending.wait().unwrap();
        assert_eq!((answer.steps, answer.tokens[2]), (steps, steps as i64));
    }
    warm_up.wait().unwrap();
    let expected = [turn(1, &[9]), turn(6, &[1, 2, 3, 4, 5]), turn(2, &[1, 5]), turn(2, &[1, 5])];
    assert_eq!(*log.lock().unwrap(), expected);
    let metrics = engine.metrics();
    assert_eq!((metrics.turns, metrics.rows, metrics.padding_rows), (4, 10, 1));
    assert_eq!((metrics.accepted, metrics.answered, metrics.verified), (6, 6, 6));
}

#[test]
fn answers_do_not_depend_on_batch_mates_or_arrival_order() {
    let alone: Vec<_> = (1..=30)
        .map(|name| {
            let engine = start(Countdown::new(), options(1));
            engine.submit(countdown(name % 11 + 1, name)).unwrap().wait().unwrap()
        })
        .collect();
    let engine = start(Countdown::new(), options(8));
    let order: Vec<i64> = (1..=30).map(|index| index * 7 % 31).collect();
    let requests = order.iter().map(|&name| countdown(name % 11 + 1, name)).collect();
    let together = engine.submit_all(requests).unwrap();
    for (name, pending) in order.into_iter().zip(together) {
        let answer = pending.wait().unwrap();
        let expected = &alone[name as usize - 1];
        assert_eq!((&answer.tokens, answer.steps, answer.q), (&expected.tokens, expected.steps, expected.q));
    }
}

#[test]
fn a_client_that_goes_away_frees_its_slot_at_the_next_step() {
    let (model, handbrake) = Countdown::with_handbrake();
    let log = model.log.clone();
    let engine = start(model, options(1));
    let abandoned = engine.submit(countdown(60, 1)).unwrap();
    handbrake.wait_for_step();
    let waiting_abandoned = engine.submit(countdown(1, 2)).unwrap();
    let kept = engine.submit(countdown(1, 3)).unwrap();
    drop((abandoned, waiting_abandoned));
    handbrake.release_step();
    handbrake.pass(1);
    assert!(kept.wait().unwrap().verified);
    assert_eq!(*log.lock().unwrap(), [turn(1, &[1]), turn(1, &[3])]);
    assert_eq!(engine.metrics().cancelled, 2);
}

#[test]
fn every_request_is_answered_or_cancelled_exactly_once() {
    let engine = start(Countdown::new(), EngineOptions { queue_capacity: 512, ..options(6) });
    let mut kept = Vec::new();
    for name in 1..=400_i64 {
        // Budgets below the need end unverified; every fifth client leaves at once.
        let budget = name as usize * 13 % 17 + 1;
        let request = countdown(name * 7 % 19 + 1, name).with_policy(Policy::plain(budget));
        let need = request.tokens[0] as usize;
        let pending = engine.submit(request).unwrap();
        if name % 5 != 0 {
            kept.push((pending, need, budget));
        }
    }
    let total = kept.len() as u64;
    for (pending, need, budget) in kept {
        let answer = pending.wait().unwrap();
        assert_eq!((answer.steps, answer.verified), (need.min(budget), need <= budget));
        assert_eq!((answer.tokens[0], answer.tokens[2]), (need as i64, answer.steps as i64));
    }
    // Those who left may still hold a row until the next turn.
    let mut metrics = engine.metrics();
    while metrics.answered + metrics.cancelled < 400 {
        std::thread::yield_now();
        metrics = engine.metrics();
    }
    assert_eq!((metrics.accepted, metrics.answered + metrics.cancelled, metrics.waiting), (400, 400, 0));
    assert!(metrics.answered >= total);
}

#[test]
fn a_full_queue_refuses_all_or_nothing() {
    let (model, handbrake) = Countdown::with_handbrake();
    let engine = start(model, EngineOptions { queue_capacity: 2, ..options(1) });
    let running = engine.submit(countdown(1, 1)).unwrap();
    handbrake.wait_for_step();
    let waiting = engine.submit(countdown(1, 2)).unwrap();
    let error = engine.submit_all(vec![countdown(1, 3), countdown(1, 4)]).unwrap_err();
    assert!(matches!(error, EngineError::QueueFull { waiting: 1, .. }), "{error:?}");
    let last = engine.submit(countdown(1, 5)).unwrap();
    assert!(matches!(engine.submit(countdown(1, 6)), Err(EngineError::QueueFull { waiting: 2, .. })));
    let too_many = engine.submit_all(vec![countdown(1, 7); 3]).unwrap_err();
    assert_eq!(too_many.to_string(), "puzzles in one request: expected 1 to 2, found 3");
    handbrake.release_step();
    handbrake.pass(2);
    for pending in [running, waiting, last] {
        assert!(pending.wait().unwrap().verified);
    }
    assert_eq!(engine.metrics().rejected, 3);
}

#[test]
fn requests_that_would_wait_too_long_at_the_measured_rate_are_refused() {
    let (model, handbrake) = Countdown::with_handbrake();
    let engine = start(model, EngineOptions { max_wait: Duration::ZERO, ..options(1) });
    // Before the first answer nothing is known about the rate.
    let first = engine.submit_all(vec![countdown(1, 1), countdown(1, 2), countdown(1, 3)]).unwrap();
    handbrake.pass(3);
    for pending in first {
        pending.wait().unwrap();
    }
    let held = engine.submit(countdown(1, 4)).unwrap();
    handbrake.wait_for_step();
    let next = engine.submit(countdown(1, 5)).unwrap();
    let error = engine.submit(countdown(1, 6)).unwrap_err();
    assert!(matches!(error, EngineError::QueueFull { waiting: 1, .. }), "{error:?}");
    handbrake.release_step();
    handbrake.pass(1);
    assert!(held.wait().unwrap().verified && next.wait().unwrap().verified);
}

#[test]
fn deadlines_hold_in_the_queue_and_between_steps() {
    let (model, handbrake) = Countdown::with_handbrake();
    let clock = Arc::new(ManualClock::new());
    let rules = Arc::new(SecondTokenIsOne);
    let engine = Engine::start_with_clock(model, rules, options(1), clock.clone()).unwrap();
    let deadline = clock.now() + Duration::from_secs(2);
    let request = |deadline| Request { deadline: Some(deadline), ..countdown(60, 1) };
    let running = engine.submit(request(deadline)).unwrap();
    handbrake.wait_for_step();
    let waiting = engine.submit(request(clock.now())).unwrap();
    clock.advance(Duration::from_secs(2));
    handbrake.release_step();
    let answer = running.wait().unwrap();
    assert_eq!((answer.steps, answer.verified, answer.stopped), (1, false, Stopped::Deadline));
    assert!(matches!(waiting.wait(), Err(EngineError::DeadlineExceeded { .. })));
    assert_eq!(engine.metrics().expired, 1);
}

#[test]
fn a_failing_step_is_reported_and_the_engine_goes_on() {
    let engine = start(Countdown::new(), options(2));
    let error = engine.submit(countdown(-1, 1)).unwrap().wait().unwrap_err();
    assert_eq!(error.to_string(), "the model failed in a reasoning step: the fake model dislikes negative tokens");
    assert_eq!(engine.submit(countdown(2, 2)).unwrap().wait().unwrap().steps, 2);
    assert_eq!(engine.metrics().failed, 1);
}

#[test]
fn shutting_down_answers_what_was_accepted() {
    let (model, handbrake) = Countdown::with_handbrake();
    let engine = start(model, options(1));
    let pending = engine.submit_all(vec![countdown(2, 1), countdown(1, 2)]).unwrap();
    handbrake.wait_for_step();
    let closing = std::thread::spawn(move || drop(engine));
    drop(handbrake);
    let steps: Vec<usize> = pending.into_iter().map(|pending| pending.wait().unwrap().steps).collect();
    assert_eq!(steps, [2, 1]);
    closing.join().unwrap();
}
