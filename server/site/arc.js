// ARC as the model sees it: the tasks that it knows, grids on a canvas, augmentations and votes (`engine::arc`,
// `datasets::arc`). Owns which task is meant and what the copies' answers come to; leaves solving to search.js, and
// computing a step to worker.js.

import { problem } from "./puzzles.js";

const SIDE = 30;
const [PAD, END, FIRST_COLOUR, COLOURS] = [0, 1, 2, 10];
/** Stands between a task's name, the transform and the colours in the name of an augmented task. */
const SEPARATOR = "|||";
const ATTEMPTS = 2;
/** Where the cells of a transformed grid of `rows` and `columns` lie in the source: its first cell, a step down, a step right. */
const PATHS = [
  (_, columns) => [0, columns, 1],
  (_, columns) => [columns - 1, -1, columns],
  (rows, columns) => [rows * columns - 1, -columns, -1],
  (rows, columns) => [(rows - 1) * columns, 1, -columns],
  (_, columns) => [columns - 1, columns, -1],
  (rows, columns) => [(rows - 1) * columns, -columns, 1],
  (_, columns) => [0, 1, columns],
  (rows, columns) => [rows * columns - 1, -1, -columns],
];
const SWAPS_SIDES = [1, 3, 6, 7];
const INVERSES = [0, 3, 2, 1, 4, 5, 6, 7];

/** @typedef {number[][]} Grid rows of colours; none where the model drew no grid */
/** @typedef {{transform: number, colours: number[]}} Augmentation colours first, then the transform */

/** @type {Augmentation} */
const IDENTITY = { transform: 0, colours: Array.from({ length: COLOURS }, (_, colour) => colour) };

/** @param {Grid} grid @param {Augmentation} augmentation */
export function apply(grid, { transform, colours }) {
  return transformed(recoloured(grid, colours), transform);
}

/** The grid whose augmentation is `grid`. */
export function undo(grid, { transform, colours }) {
  const inverse = [];
  colours.forEach((to, from) => (inverse[to] = from));
  return recoloured(transformed(grid, INVERSES[transform]), inverse);
}

function recoloured(grid, colours) {
  return grid.map((line) => line.map((cell) => colours[cell]));
}

function transformed(grid, transform) {
  const [rows, columns] = [grid.length, grid[0]?.length ?? 0];
  const cells = grid.flat();
  const [start, down, right] = PATHS[transform](rows, columns);
  const [height, width] = SWAPS_SIDES.includes(transform) ? [columns, rows] : [rows, columns];
  const line = (row) => Array.from({ length: width }, (_, column) => cells[start + row * down + column * right]);
  return Array.from({ length: height }, (_, row) => line(row));
}

/** Tokens of a grid at the upper left of the canvas, with an edge of end tokens below and on the right. */
function encode(grid) {
  const tokens = Array(SIDE * SIDE).fill(PAD);
  const [rows, columns] = [grid.length, grid[0].length];
  grid.forEach((line, row) => line.forEach((cell, column) => (tokens[row * SIDE + column] = cell + FIRST_COLOUR)));
  if (columns < SIDE) for (let row = 0; row < rows; row++) tokens[row * SIDE + columns] = END;
  if (rows < SIDE) tokens.fill(END, rows * SIDE, rows * SIDE + columns);
  return tokens;
}

/** The largest rectangle of colours at the upper left of a canvas, of equally large ones that of fewest rows. */
function crop(tokens) {
  let [rows, columns, width] = [0, 0, SIDE];
  for (let row = 0; row < SIDE; row++) {
    let colours = 0;
    while (colours < width && tokens[row * SIDE + colours] >= FIRST_COLOUR) colours += 1;
    width = colours;
    if ((row + 1) * width > rows * columns) [rows, columns] = [row + 1, width];
  }
  const line = (row) => tokens.slice(row * SIDE, row * SIDE + columns).map((token) => token - FIRST_COLOUR);
  return Array.from({ length: rows }, (_, row) => line(row));
}

/** The tasks of one model, as a site holds them. */
export class KnownTasks {
  #byName;
  #pairs;

  constructor(tasks) {
    this.tasks = tasks;
    this.#byName = new Map(tasks.map((task) => [task.task_id, task]));
    // A task whose test pairs were held out was trained on its demonstrations alone.
    const trained = ({ train, test, held_out: isHeldOut }) => [...train, ...(isHeldOut ? [] : test)];
    this.#pairs = new Map(tasks.map((task) => [task, new Set(trained(task).map(written))]));
  }

  /**
   * Which task a request means, by name, by its demonstrations, or both, and what is to be solved. Throws a problem.
   * @returns {{name: string, task: object, frame: Augmentation, tests: {input: Grid, output: Grid|null}[]}}
   */
  recognise({ task_id: name, task: sent }) {
    if (!name && !sent) throw problem("malformed-request", "there is no task: send its pairs or the name of a known one");
    const [base, frame] = name ? parse(name) : ["", IDENTITY];
    const named = this.#byName.get(base);
    const given = (sent?.test ?? []).map(({ input, output = null }) => ({ input, output }));
    const found = (task, how, tests) => ({ name: task.task_id + suffix(how), task, frame: how, tests });
    if (named && !sent) {
      const tests = named.test.map(({ input, output }) => ({ input: apply(input, frame), output: apply(output, frame) }));
      return found(named, frame, tests);
    }
    if (named) {
      const pairs = sent.train.map(({ input, output }) => ({ input: undo(input, frame), output: undo(output, frame) }));
      if (this.#has(named, pairs)) return found(named, frame, given);
      throw problem("malformed-request", `task ${name} is known, but was trained on other demonstrations than those sent`);
    }
    const known = sent && this.tasks.filter((task) => this.#has(task, sent.train));
    if (!known?.length) {
      const detail = `none of the ${this.tasks.length} tasks that this page's model was trained on is this one; a server can learn it: trainer adapt`;
      throw problem("unknown-task", detail);
    }
    const fewest = known.reduce((best, task) => (this.#pairs.get(task).size < this.#pairs.get(best).size ? task : best));
    return found(fewest, IDENTITY, given);
  }

  #has(task, pairs) {
    return pairs.every((pair) => this.#pairs.get(task).has(written(pair)));
  }
}

function written({ input, output }) {
  return JSON.stringify([input, output]);
}

/** A name and the augmentation behind it. */
function parse(name) {
  if (!name.includes(SEPARATOR)) return [name, IDENTITY];
  const [, base, transform, colours] = /^(.*?)\|\|\|.*?t([0-7])\|\|\|(\d{10})$/.exec(name) ?? [];
  if (base === undefined || new Set(colours).size !== COLOURS) {
    throw problem("malformed-request", `expected an augmentation such as |||t3|||0123456789 behind a name, found ${name}`);
  }
  return [base, { transform: Number(transform), colours: [...colours].map(Number) }];
}

function suffix({ transform, colours }) {
  const text = `${SEPARATOR}t${transform}${SEPARATOR}${colours.join("")}`;
  return text === `${SEPARATOR}t0${SEPARATOR}${IDENTITY.colours.join("")}` ? "" : text;
}

/** One test input under one augmentation, in the form that search.js solves. */
export class Copy {
  task = "arc";
  #last;

  constructor({ frame, tests }, test, index, { row, transform, colours }) {
    this.test = test;
    this.index = index;
    this.row = row;
    this.frame = frame;
    this.augmentation = { transform, colours: [...colours].map(Number) };
    this.#last = tests[test].input;
    this.canvas = encode(apply(undo(this.#last, frame), this.augmentation));
  }

  tokens() {
    return this.canvas;
  }

  /** A new task has no rules that would tell. */
  obeyed() {
    return false;
  }

  /** What an answer is in the frame of the task as it was sent. */
  carriedBack(tokens) {
    return apply(this.own(tokens), this.frame);
  }

  /** What an answer is without the augmentation. */
  own(tokens) {
    return undo(crop(tokens), this.augmentation);
  }

  /** The data of a step's event. */
  event(step, tokens, q) {
    const answer = this.carriedBack(tokens);
    const isNew = (cell, row, column) => this.#last[row]?.[column] !== cell;
    const changed = answer.flatMap((line, row) =>
      line.flatMap((cell, column) => (isNew(cell, row, column) ? [[row, column]] : [])),
    );
    this.#last = answer;
    return { puzzle: 0, test: this.test, augmentation: this.index, step, answer, changed, q };
  }
}

/** Votes on one test input. */
export class Ballot {
  #candidates = new Map();

  /** Counts a grid without its augmentation, and the model's Q. */
  vote(grid, q) {
    const key = JSON.stringify(grid);
    const { votes, sum } = this.#candidates.get(key) ?? { votes: 0, sum: 0 };
    this.#candidates.set(key, { grid, votes: votes + 1, sum: sum + 1 / (1 + Math.exp(-q)) });
  }

  /** At most two grids: most votes first, then highest mean Q, then the first. */
  attempts(frame) {
    const all = [...this.#candidates.values()].map(({ grid, votes, sum }) => ({ grid, votes, mean_q: sum / votes }));
    // Sorting keeps the order of what is equal.
    all.sort((one, other) => other.votes - one.votes || other.mean_q - one.mean_q);
    return all.slice(0, ATTEMPTS).map((attempt) => ({ ...attempt, grid: apply(attempt.grid, frame) }));
  }
}

/** What the votes on all test inputs come to, as in the server's answer. */
export function elected({ tests, frame }, ballots) {
  const answers = tests.map(({ output }, test) => {
    const attempts = ballots[test].attempts(frame);
    const isRight = ({ grid }) => JSON.stringify(grid) === JSON.stringify(output);
    return { attempts, correct: output ? attempts.some(isRight) : null };
  });
  const isKnown = answers.every(({ correct }) => correct !== null);
  const solved = isKnown ? answers.every(({ correct }) => correct) : null;
  const q = Math.min(1, ...answers.map(({ attempts }) => attempts[0]?.mean_q ?? 0));
  return { tests: answers, solved, verified: solved === true, q };
}
