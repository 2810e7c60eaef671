// What further chains see of a puzzle: the puzzle with a guess pinned, or one of its symmetric copies, in the engine's
// order (`engine::task`, `datasets::sudoku::{pins, symmetry}`, `datasets::dihedral`). Leaves rules to puzzles.js.

import { PuzzleRandom } from "./random.js";

/**
 * A copy of a puzzle: what the model sees, and the way back of an answer.
 * @typedef {{tokens: number[], undo: (answer: number[]) => number[]}} Copy
 */

/** Boards that pin one digit; further ones pin two. */
const SINGLE_PINS = 24;

/**
 * Board number `number` of those that `seed` pins on a Sudoku; null where a blank cell has no digit left, or no cell is
 * blank.
 * @param {import("./puzzles.js").SudokuShape} shape
 * @param {number[]} cells 0 for blanks
 */
export function pinned(shape, cells, seed, number) {
  let ranked = rankedCells(shape, cells, new PuzzleRandom("pinned guesses", seed, shape.size, 0));
  if (!ranked) return null;
  const guesses = ranked.flatMap(({ cell, digits }) => digits.map((digit) => [cell, digit]));
  if (number < SINGLE_PINS && number < guesses.length) return cells.with(...guesses[number]);
  const random = new PuzzleRandom("pinned guesses", seed, shape.size, 1 + number);
  let board = cells;
  for (let pin = 0; pin < 2; pin++) {
    const { cell, digits } = ranked[random.below(Math.ceil(ranked.length / 4))];
    board = board.with(cell, digits[random.below(digits.length)]);
    ranked = rankedCells(shape, board, random);
    if (!ranked) break;
  }
  return board;
}

/** Blank cells with the digits that none of their peers has, fewest first, equal ones in random order. */
function rankedCells(shape, cells, random) {
  const ranked = [];
  for (let cell = 0; cell < cells.length; cell++) {
    if (cells[cell]) continue;
    const taken = new Set(shape.peers(cell).map((peer) => cells[peer]));
    const digits = shape.digits.filter((digit) => !taken.has(digit));
    if (digits.length === 0) return null;
    ranked.push({ cell, digits });
  }
  if (ranked.length === 0) return null;
  random.shuffle(ranked);
  return ranked.sort((one, other) => one.digits.length - other.digits.length);
}

/**
 * Symmetric copy number `index` of the tokens of a Sudoku: digits renamed, rows and columns permuted, transposed.
 * @returns {Copy}
 */
export function sudokuCopy(shape, tokens, seed, index) {
  const random = new PuzzleRandom("symmetric copies", seed, shape.size, index);
  const isTransposed = shape.boxRows === shape.boxColumns && random.coin();
  const rows = shuffledInBlocks(shape.size, shape.boxRows, random);
  const columns = shuffledInBlocks(shape.size, shape.boxColumns, random);
  // Token 0 is padding and 1 a blank: both stay.
  const renamed = Array.from({ length: shape.size + 2 }, (_, token) => token);
  random.shuffle(renamed, 2);
  const sources = rows.flatMap((row) => columns.map((column) => (isTransposed ? [column, row] : [row, column])));
  const places = sources.map(([row, column]) => row * shape.size + column);
  const original = [];
  renamed.forEach((to, from) => (original[to] = from));
  return {
    tokens: places.map((place) => renamed[tokens[place]] ?? tokens[place]),
    undo: (answer) => {
      const undone = Array(answer.length);
      places.forEach((place, at) => (undone[place] = original[answer[at]] ?? answer[at]));
      return undone;
    },
  };
}

/** A random order that keeps blocks together: blocks and their members are shuffled. */
function shuffledInBlocks(size, block, random) {
  const blocks = Array.from({ length: size / block }, (_, nth) => nth);
  random.shuffle(blocks);
  const order = [];
  for (const nth of blocks) {
    const start = order.length;
    for (let member = 0; member < block; member++) order.push(nth * block + member);
    random.shuffle(order, start);
  }
  return order;
}

/** Where the walk through a square begins, and its steps by row and by column, for each symmetry but the identity. */
const WALKS = [
  (side) => [side - 1, -1, side],
  (side) => [side * side - 1, -side, -1],
  (side) => [(side - 1) * side, 1, -side],
  (side) => [side - 1, side, -1],
  (side) => [(side - 1) * side, -side, 1],
  (side) => [0, 1, side],
  (side) => [side * side - 1, -1, -side],
];

/**
 * Symmetric copy number `index` of a square maze: one of the seven other rotations and reflections.
 * @returns {Copy}
 */
export function mazeCopy(side, tokens, seed, index) {
  const [start, byRow, byColumn] = WALKS[((seed % WALKS.length) + (index % WALKS.length)) % WALKS.length](side);
  const places = tokens.map((_, at) => start + Math.floor(at / side) * byRow + (at % side) * byColumn);
  return {
    tokens: places.map((place) => tokens[place]),
    undo: (answer) => {
      const undone = Array(answer.length);
      places.forEach((place, at) => (undone[place] = answer[at]));
      return undone;
    },
  };
}
