// The random draws of the engine, bit for bit: ChaCha8 streams, the puzzles' draws over them, and Gaussian noise.
// Owns the arithmetic of `datasets::random` and `engine::noise`; leaves what is drawn to copies.js and search.js.

const WORD = 2 ** 32;
/** "expand 32-byte k" as four words. */
const CONSTANTS = [0x61707865, 0x3320646e, 0x79622d32, 0x6b206574];
const DOUBLE_ROUNDS = 4;

/** The two 32-bit halves of a whole number of up to 53 bits, the lower first. */
function halves(number) {
  return [number >>> 0, Math.floor(number / WORD) >>> 0];
}

/** The words of one ChaCha8 stream. */
class ChaCha8 {
  #input;
  #block = new Uint32Array(16);
  #used = 16;

  /**
   * @param {Uint32Array} key eight words
   * @param {[number, number]} stream its halves, the lower first
   */
  constructor(key, stream) {
    this.#input = Uint32Array.of(...CONSTANTS, ...key, 0, 0, ...stream);
  }

  word() {
    if (this.#used === 16) this.#refill();
    return this.#block[this.#used++];
  }

  #refill() {
    const state = this.#block;
    state.set(this.#input);
    for (let round = 0; round < DOUBLE_ROUNDS; round++) {
      for (let column = 0; column < 4; column++) quarter(state, column, 4 + column, 8 + column, 12 + column);
      for (let start = 0; start < 4; start++) {
        quarter(state, start, 4 + ((start + 1) % 4), 8 + ((start + 2) % 4), 12 + ((start + 3) % 4));
      }
    }
    for (let index = 0; index < 16; index++) state[index] += this.#input[index];
    this.#input[12] += 1;
    if (this.#input[12] === 0) this.#input[13] += 1;
    this.#used = 0;
  }
}

function quarter(state, a, b, c, d) {
  state[a] += state[b];
  state[d] = rotated(state[d] ^ state[a], 16);
  state[c] += state[d];
  state[b] = rotated(state[b] ^ state[c], 12);
  state[a] += state[b];
  state[d] = rotated(state[d] ^ state[a], 8);
  state[c] += state[d];
  state[b] = rotated(state[b] ^ state[c], 7);
}

function rotated(word, bits) {
  return (word << bits) | (word >>> (32 - bits));
}

/** Draws for puzzles: `PuzzleRng::stream` of a purpose's name, a seed, a board size and an index. */
export class PuzzleRandom {
  #words;

  /** @param {string} purpose up to 16 characters, filled up with spaces */
  constructor(purpose, seed, size, index) {
    const key = new DataView(new ArrayBuffer(32));
    halves(seed).forEach((half, at) => key.setUint32(4 * at, half, true));
    [...purpose.padEnd(16)].forEach((character, at) => key.setUint8(8 + at, character.charCodeAt(0)));
    key.setUint8(24, size);
    const words = Uint32Array.from({ length: 8 }, (_, at) => key.getUint32(4 * at, true));
    this.#words = new ChaCha8(words, halves(index));
  }

  /** A uniform number in 0..bound. */
  below(bound) {
    const unfair = (WORD - bound) % bound;
    for (;;) {
      // Bounds are numbers of cells and digits, so that the product is exact.
      const product = this.#words.word() * bound;
      if (product % WORD >= unfair) return Math.floor(product / WORD);
    }
  }

  /** A uniform permutation in place of the items from `start` on. */
  shuffle(items, start = 0) {
    for (let last = items.length - 1; last > start; last--) {
      const other = start + this.below(last - start + 1);
      [items[last], items[other]] = [items[other], items[last]];
    }
  }

  coin() {
    return this.below(2) === 1;
  }
}

/**
 * Adds Gaussian noise to a state, as `engine::noise::add` does.
 * @param {Float32Array} values
 * @param {{seed: number, chain: number, step: number, sigma: number}} noise
 * @param {number} state which of the model's states this is
 */
export function disturb(values, { seed, chain, step, sigma }, state) {
  const words = new ChaCha8(keyOf(BigInt(seed) + STATE_STRIDE * BigInt(state)), [step, chain]);
  const deviation = Math.fround(sigma);
  for (let index = 0; index < values.length; index++) {
    values[index] += Math.fround(deviation * Math.fround(normal(words)));
  }
}

/** Keeps the draws of a request's states apart. */
const STATE_STRIDE = 0x9e3779b97f4a7c15n;

/** The key that `rand_core` makes of a seed of 64 bits: eight draws of PCG32. */
function keyOf(seed) {
  let state = BigInt.asUintN(64, seed);
  return Uint32Array.from({ length: 8 }, () => {
    state = BigInt.asUintN(64, state * 6364136223846793005n + 11634580027462260723n);
    const mixed = Number(BigInt.asUintN(32, ((state >> 18n) ^ state) >> 27n));
    const turn = Number(state >> 59n);
    return (mixed >>> turn) | (mixed << ((32 - turn) % 32));
  });
}

// The ziggurat of `rand_distr`: 256 layers of equal area under the bell curve, the first with the tail.
const TAIL = 3.654152885361008796;
const AREA = 0.00492867323399;
const density = (x) => Math.exp((-x * x) / 2);
const EDGES = edges();
const HEIGHTS = EDGES.map(density);

function edges() {
  const found = [AREA / density(TAIL), TAIL];
  while (found.length < 256) {
    const last = found.at(-1);
    found.push(Math.sqrt(-2 * Math.log(AREA / last + density(last))));
  }
  return Float64Array.of(...found, 0);
}

function normal(words) {
  for (;;) {
    const [low, high] = [words.word(), words.word()];
    const layer = low & 255;
    const u = (high * 2 ** 20 + (low >>> 12)) * 2 ** -51 - 1;
    const x = u * EDGES[layer];
    if (Math.abs(x) < EDGES[layer + 1]) return x;
    if (layer === 0) return tail(words, u);
    const [lower, upper] = [HEIGHTS[layer], HEIGHTS[layer + 1]];
    if (upper + (lower - upper) * unit(words) < density(x)) return x;
  }
}

function tail(words, u) {
  let [x, y] = [1, 0];
  while (-2 * y < x * x) {
    x = Math.log(open(words)) / TAIL;
    y = Math.log(open(words));
  }
  return u < 0 ? x - TAIL : TAIL - x;
}

/** Uniform in [0, 1). */
function unit(words) {
  const [low, high] = [words.word(), words.word()];
  return (high * 2 ** 21 + (low >>> 11)) * 2 ** -53;
}

/** Uniform in (0, 1). */
function open(words) {
  const [low, high] = [words.word(), words.word()];
  return (high * 2 ** 20 + (low >>> 12)) * 2 ** -52 + 2 ** -53;
}
