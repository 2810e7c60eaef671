// One request's thinking as the page holds it: steps by chain, in the order of their numbers, and the answer.
// Owns which chain an answer came from and how chains are called; leaves playing to player.js.

/**
 * @typedef {{answer: string|string[]|number[][], changed: number[][], q: number, step: number, test?: number}} Frame
 * @typedef {{key: string, label: string, frames: Frame[], isSeen: boolean}} Chain
 */

export class Thinking {
  /** @type {Map<string, Chain>} */
  chains = new Map();
  response = null;
  /** The chain of the newest step. */
  newest = null;

  /** Takes a step event; returns its chain. */
  add(event) {
    const key = event.augmentation === undefined ? String(event.chain) : `${event.test}.${event.augmentation}`;
    let chain = this.chains.get(key);
    if (!chain) {
      chain = { key, label: label(event), frames: [], isSeen: false };
      this.chains.set(key, chain);
    }
    chain.frames.push({ ...event, changed: event.changed ?? [] });
    this.newest = chain;
    return chain;
  }

  /** The chain that gave the answer; null while there is none, or where all of them voted. */
  get winner() {
    return this.chains.get(String(this.response?.chain)) ?? null;
  }

  /** Chains in the order of their numbers. */
  get list() {
    return [...this.chains.values()].sort((one, other) => one.key.localeCompare(other.key, "en", { numeric: true }));
  }
}

function label(event) {
  if (event.augmentation !== undefined) {
    return `Test ${event.test + 1}, ${event.augmentation === 0 ? "as it is" : `copy ${event.augmentation}`}`;
  }
  return event.chain === 0 ? "Plain" : `Restart ${event.chain}`;
}
