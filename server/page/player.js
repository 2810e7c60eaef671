// Playing the steps: follows the model while it thinks, at a pace that eyes can follow, and goes back and forth later.
// Owns slider, buttons, speed and the choice of a chain; leaves drawing a step to who listens.

/** Steps that may wait before the pace quickens. */
const PATIENCE = 12;
/** Milliseconds of a replayed step at the speed that otherwise does not wait. */
const QUICKEST = 60;

const reducedMotion = matchMedia("(prefers-reduced-motion: reduce)");

export class Player {
  #thinking = null;
  #chain = null;
  #index = 0;
  #isPlaying = false;
  #isFollowing = false;
  #timer = 0;
  #drawing = 0;

  /**
   * @param {object} listener
   * @param {(shown: {frame: object|null, chain: object|null, index: number, count: number}) => void} listener.onShow
   * @param {() => void} listener.onChains steps or the chosen chain are others
   * @param {() => void} listener.onRest the answer is here and its last step is shown
   */
  constructor(listener) {
    this.listener = listener;
    const find = (id) => document.getElementById(id);
    this.slider = find("scrub");
    this.button = find("play");
    this.speed = find("speed");
    this.chips = find("chains");
    this.position = find("position");
    this.group = find("player");
    this.slider.addEventListener("input", () => this.#seek(Number(this.slider.value)));
    this.button.addEventListener("click", () => (this.#isPlaying ? this.#pause() : this.#play()));
    find("back").addEventListener("click", () => this.#seek(this.#index - 1));
    find("forth").addEventListener("click", () => this.#seek(this.#index + 1));
    this.group.addEventListener("keydown", (event) => {
      const isForm = event.target instanceof HTMLSelectElement || event.target === this.slider;
      if (!isForm && event.key in { ArrowLeft: 0, ArrowRight: 0 }) {
        event.preventDefault();
        this.#seek(this.#index + (event.key === "ArrowLeft" ? -1 : 1));
      }
    });
    this.reset();
  }

  /** Nothing to play. */
  reset() {
    clearTimeout(this.#timer);
    this.#thinking = null;
    this.#chain = null;
    this.#index = 0;
    this.#isPlaying = false;
    this.#isFollowing = false;
    this.#refresh();
  }

  /** Follows this thinking from its first step on. */
  follow(thinking) {
    this.reset();
    this.#thinking = thinking;
    this.#isFollowing = true;
    this.#isPlaying = true;
    this.#refresh();
  }

  /** A step has arrived. */
  arrived(chain) {
    this.#chain ??= chain;
    chain.isSeen ||= chain === this.#chain;
    this.#refresh();
    this.#wake();
  }

  /** The answer has arrived. */
  answered() {
    this.#refresh();
    if (this.#isFollowing) {
      this.#wake();
    } else {
      this.#go(this.#index);
      this.listener.onRest();
    }
  }

  /** Shows a chain at a step; from the chart and the chips. */
  show(chain, index) {
    this.#chain = chain;
    this.#seek(index);
  }

  /** Whether steps are shown as they come. */
  get #isLive() {
    return this.#isFollowing && (Number(this.speed.value) === 0 || reducedMotion.matches);
  }

  #seek(index) {
    this.#pause();
    const wasFollowing = this.#isFollowing;
    this.#isFollowing = false;
    this.#go(index);
    // Who takes over while steps are played need not wait for the verdict.
    if (wasFollowing && this.#thinking?.response) this.listener.onRest();
  }

  #play() {
    if (!this.#chain) return;
    this.#isPlaying = true;
    this.#isFollowing = !this.#thinking.response;
    if (this.#index >= this.#chain.frames.length && !this.#isFollowing) this.#go(0);
    this.#refresh();
    this.#wake();
  }

  #pause() {
    clearTimeout(this.#timer);
    this.#timer = 0;
    this.#isPlaying = false;
    this.#refresh();
  }

  #wake() {
    if (!this.#isPlaying || this.#timer) return;
    const first = this.#index === 0 && this.#isFollowing;
    this.#timer = setTimeout(() => this.#tick(), this.#isLive || first ? 0 : this.#delay());
  }

  #delay() {
    const backlog = (this.#chain?.frames.length ?? 0) - this.#index;
    return (Number(this.speed.value) || QUICKEST) / Math.max(1, this.#isFollowing ? backlog / PATIENCE : 1);
  }

  #tick() {
    this.#timer = 0;
    if (!this.#isPlaying || !this.#chain) return;
    if (this.#isLive) {
      this.#choose((this.#thinking.response && this.#thinking.winner) || this.#thinking.newest);
      this.#go(this.#chain.frames.length);
    } else if (this.#index < this.#chain.frames.length) {
      this.#go(this.#index + 1);
      this.#wake();
      return;
    }
    const next = this.#isFollowing ? this.#nextChain() : null;
    if (next) {
      this.#choose(next);
      this.#index = 0;
      this.#wake();
    } else if (this.#thinking.response || !this.#isFollowing) {
      this.#rest();
    }
  }

  /** Where to go on at a chain's end: to the one that answered; before that, to one that has not been shown. */
  #nextChain() {
    if (this.#isLive) return null;
    const { response, winner, newest } = this.#thinking;
    const next = response ? winner : newest;
    return next && next !== this.#chain && !next.isSeen ? next : null;
  }

  #choose(chain) {
    this.#chain = chain;
    chain.isSeen = true;
    this.#refresh();
  }

  #rest() {
    const winner = this.#thinking.response && this.#isFollowing ? this.#thinking.winner : null;
    const wasFollowing = this.#isFollowing;
    this.#isFollowing = false;
    this.#isPlaying = false;
    if (winner && winner !== this.#chain) {
      this.#choose(winner);
      this.#index = winner.frames.length;
    }
    this.#go(this.#index);
    if (wasFollowing) this.listener.onRest();
  }

  #go(index) {
    const frames = this.#chain?.frames ?? [];
    this.#index = Math.min(Math.max(index, 0), frames.length);
    this.#refresh();
    const isLast = this.#index === frames.length && Boolean(this.#thinking?.response);
    const frame = this.#index > 0 ? { ...frames[this.#index - 1], isLast } : null;
    this.listener.onShow({ frame, chain: this.#chain, index: this.#index, count: frames.length });
  }

  #refresh() {
    const count = this.#chain?.frames.length ?? 0;
    this.slider.max = count;
    this.slider.value = this.#index;
    this.slider.disabled = count === 0;
    this.slider.setAttribute("aria-valuetext", `Step ${this.#index} of ${count}`);
    this.slider.style.setProperty("--share", count ? this.#index / count : 0);
    this.position.textContent = count ? `Step ${this.#index} of ${count}` : "No steps yet";
    this.group.classList.toggle("playing", this.#isPlaying && count > 0);
    this.button.setAttribute("aria-label", this.#isPlaying && count > 0 ? "Pause" : "Play");
    for (const id of ["back", "play", "forth"]) document.getElementById(id).disabled = count === 0;
    // Many chains bring hundreds of steps at once, of which eyes see one picture.
    this.#drawing ||= requestAnimationFrame(() => {
      this.#drawing = 0;
      this.#refreshChips();
      this.listener.onChains({ chain: this.#chain, index: this.#index });
    });
  }

  #refreshChips() {
    const chains = this.#thinking?.list ?? [];
    this.chips.hidden = chains.length < 2;
    if (this.chips.hidden) {
      this.chips.replaceChildren();
      return;
    }
    const winner = this.#thinking.winner;
    const existing = new Map([...this.chips.children].map((chip) => [chip.dataset.key, chip]));
    for (const chain of chains) {
      const chip = existing.get(chain.key) ?? this.#newChip(chain);
      const isWinner = chain === winner && this.#thinking.response.verified;
      chip.textContent = `${chain.label} · ${chain.frames.length}${isWinner ? " ✓" : ""}`;
      chip.setAttribute("aria-pressed", String(chain === this.#chain));
      chip.setAttribute("aria-label", `${chain.label}, ${chain.frames.length} steps${isWinner ? ", gave the answer" : ""}`);
      chip.classList.toggle("winner", isWinner);
    }
  }

  #newChip(chain) {
    const chip = document.createElement("button");
    chip.type = "button";
    chip.dataset.key = chain.key;
    chip.addEventListener("click", () => this.show(chain, chain.frames.length));
    const after = [...this.chips.children].find(
      (other) => other.dataset.key.localeCompare(chain.key, "en", { numeric: true }) > 0,
    );
    this.chips.insertBefore(chip, after ?? null);
    return chip;
  }
}
