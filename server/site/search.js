// How many steps, chains and how much noise a puzzle gets: the engine's policy and search
// (`engine::scheduling::{policy, search, scheduler}`). Owns which step comes next and what settles a puzzle; leaves the
// rules to puzzles.js and computing a step to worker.js.

import { Problem } from "../page/problem.js";

/** Chains that run at the same time, as many as a server has slots by default. */
const SLOTS = 8;
const MAX_SIGMA = 10;

/**
 * @typedef {object} Policy
 * @property {number} max_steps most steps of a chain
 * @property {"verified"|"q"|"stable"|"fixed"} halting when a chain ends earlier
 * @property {number} stable_steps equal answers in a row that "stable" waits for
 * @property {{augmentations: number, rollouts: number, sigma: number, noise: string, depth: number}} restarts
 * @property {number} seed fixes copies and noise
 */

/**
 * The policy of a request: the model's own with what the request sets, as the server does. Throws what it refuses.
 * @param {Policy} standard
 * @param {{max_steps: number, chains: number}} limits
 * @param {object} options
 * @returns {Policy}
 */
export function policyOf(standard, limits, options) {
  for (const name of ["max_steps", "augmentations", "rollouts", "seed"]) {
    const value = options[name];
    if (value !== undefined && !(Number.isSafeInteger(value) && value >= 0)) {
      throw refusal(`${name}: expected a whole number from 0 on, found ${value}`);
    }
  }
  const halting = options.halting ?? standard.halting;
  // Restarts follow a failure, which only the rules can tell.
  const own = halting === "verified" ? standard.restarts : { augmentations: 0, rollouts: 0, depth: 0 };
  const restarts = {
    augmentations: options.augmentations ?? own.augmentations,
    rollouts: options.rollouts ?? own.rollouts,
    sigma: options.sigma ?? standard.restarts.sigma,
    noise: options.noise ?? standard.restarts.noise,
    depth: options.depth ?? own.depth,
  };
  const policy = {
    ...standard,
    halting,
    restarts,
    max_steps: options.max_steps ?? standard.max_steps,
    seed: options.seed ?? standard.seed,
  };
  inRange("max_steps", policy.max_steps, 1, limits.max_steps);
  inRange("augmentations + rollouts", restarts.augmentations + restarts.rollouts, 0, limits.chains);
  inRange("sigma", restarts.sigma, 0, MAX_SIGMA);
  if (restarts.rollouts > 0 && restarts.sigma === 0) {
    throw refusal("sigma: expected a number above 0, since nothing but noise tells rollouts apart, found 0");
  }
  return policy;
}

/** @typedef {{answer: number[], q: number, state: object}} Outcome what a step comes to */

/**
 * Works on one puzzle until it is settled.
 * @param {object} attempt
 * @param {object} attempt.puzzle of puzzles.js
 * @param {object} attempt.model an entry of site.json
 * @param {Policy} attempt.policy
 * @param {(tokens: number[], state: object|null, noise: object|null) => Promise<Outcome>} attempt.step
 * @param {(chain: number, step: number, answer: number[], q: number) => void} attempt.onStep
 * @param {AbortSignal} attempt.signal
 * @returns {Promise<object>} the answer's tokens and facts
 */
export async function solve({ puzzle, model, policy, step, onStep, signal }) {
  const search = new Search(puzzle, model, policy);
  for (;;) {
    search.admit();
    for (const chain of [...search.running]) {
      const { answer, q, state } = await step(chain.tokens, chain.state, chain.noise);
      signal.throwIfAborted();
      chain.advance(answer, state);
      onStep(chain.index, chain.steps, chain.answer, q);
      if (search.judge(chain, q)) return search.outcome();
    }
  }
}

/** A puzzle and its chains. */
class Search {
  running = [];
  #started = 0;
  #firstFailed = false;
  #totalSteps = 0;
  #candidates = [];

  constructor(puzzle, model, policy) {
    this.puzzle = puzzle;
    this.model = model;
    this.policy = policy;
    const { augmentations, rollouts, depth } = policy.restarts;
    const others = augmentations + rollouts;
    const goesDeep = policy.halting === "verified" && depth > policy.max_steps;
    /** The chain that may take `depth` steps. Where there are no others, that is the first, which goes on. */
    this.deep = goesDeep ? (others === 0 ? 0 : 1 + others) : null;
    this.chains = 1 + others + (this.deep > 0 ? 1 : 0);
  }

  /** Starts the chains that may. */
  admit() {
    while (this.running.length < SLOTS && this.#mayStart()) {
      this.running.push(new Chain(this.#started, this));
      this.#started += 1;
    }
  }

  #mayStart() {
    if (this.#started >= this.chains) return false;
    // Under the other rules nothing tells whether the first chain has failed.
    if (this.policy.halting !== "verified") return true;
    // One at a time: what a second one computes is lost whenever the first succeeds.
    return this.#started === 0 || (this.#firstFailed && this.running.length === 0);
  }

  /** Judges the step that `chain` has just taken; true when the puzzle is settled. */
  judge(chain, q) {
    this.#totalSteps += 1;
    const isVerified = this.policy.halting === "verified";
    if (isVerified && this.puzzle.obeyed(chain.answer)) {
      // Whatever other chains have answered: this one is right.
      this.#candidates = [candidate(chain, q, "verified", true)];
      return true;
    }
    const stopped = chain.end(q);
    if (!stopped) return false;
    this.#candidates.push(candidate(chain, q, stopped, !isVerified && this.puzzle.obeyed(chain.answer)));
    this.running = this.running.filter((other) => other !== chain);
    this.#firstFailed ||= chain.index === 0;
    return this.running.length === 0 && !this.#mayStart();
  }

  /** The answer that obeys the rules, if there is one; else the most frequent, then that of the higher mean probability. */
  outcome() {
    const groups = new Map();
    for (const one of this.#candidates) {
      const key = one.answer.join();
      const group = groups.get(key) ?? { first: one, votes: 0, q: 0 };
      groups.set(key, { ...group, votes: group.votes + 1, q: group.q + 1 / (1 + Math.exp(-one.q)) });
    }
    const worth = ({ first, votes, q }) => [Number(first.verified), votes, q / votes];
    const isWorthMore = (one, other) => {
      const [left, right] = [worth(one), worth(other)];
      const differing = left.findIndex((value, at) => value !== right[at]);
      return differing >= 0 && left[differing] > right[differing];
    };
    const { first, votes } = [...groups.values()].reduce((best, group) => (isWorthMore(group, best) ? group : best));
    const stopped = this.#candidates.length === 1 ? first.stopped : "vote";
    return { ...first, stopped, votes, chains: this.#started, totalSteps: this.#totalSteps };
  }
}

/** A chain: the supervision steps of one attempt. */
class Chain {
  steps = 0;
  answer = null;
  state = null;
  #unchanged = 0;

  /** Chain number `index`: first the puzzle, then its copies, then rollouts, then the puzzle again, deep. */
  constructor(index, { puzzle, model, policy, deep }) {
    this.index = index;
    this.policy = policy;
    const isCopy = index >= 1 && index <= policy.restarts.augmentations;
    this.copy = isCopy ? puzzle.copy(model, policy.seed, index) : null;
    this.tokens = this.copy?.tokens ?? puzzle.tokens(model.board_size);
    this.isQuiet = index === 0 || index === deep;
    this.maxSteps = index === deep ? policy.restarts.depth : policy.max_steps;
  }

  /** The noise of the next step; the initial state, which lies inside the graph, gets none. */
  get noise() {
    const { sigma, noise } = this.policy.restarts;
    if (this.isQuiet || this.steps === 0 || sigma === 0) return null;
    return { seed: this.policy.seed, chain: this.index, step: this.steps, sigma, target: noise };
  }

  advance(answer, state) {
    const own = this.copy ? this.copy.undo(answer) : answer;
    this.#unchanged = this.answer?.every((token, cell) => token === own[cell]) ? this.#unchanged + 1 : 1;
    this.steps += 1;
    this.answer = own;
    this.state = state;
  }

  /** Why the chain ends here without regard to the rules; null when it goes on. */
  end(q) {
    if (this.policy.halting === "q" && q > 0) return "q";
    if (this.policy.halting === "stable" && this.#unchanged >= this.policy.stable_steps) return "stable";
    return this.steps >= this.maxSteps ? "steps" : null;
  }
}

function candidate({ index, answer, steps }, q, stopped, verified) {
  return { chain: index, answer, steps, q, stopped, verified };
}

function inRange(name, found, least, most) {
  if (!(found >= least && found <= most)) throw refusal(`${name}: expected ${least} to ${most}, found ${found}`);
}

function refusal(detail) {
  return new Problem({ type: "urn:trm:problem:invalid-option", title: "That cannot be asked", detail }, 400);
}
