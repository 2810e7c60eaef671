// Sudoku and mazes as the model and the rules see them: tokens, contradictions, and whether an answer is right.
// Owns "verified"; leaves text in other forms to reading.js, and what further chains see to copies.js.

import { Problem } from "../page/problem.js";
import { mazeCopy, pinned, sudokuCopy } from "./copies.js";

/** Sudoku tokens: 0 padding, 1 blank, a digit d is d + 1. */
const BLANK = 1;
const BOXES = { 4: [2, 2], 6: [2, 3], 9: [3, 3], 16: [4, 4] };

/** The units and peers of one board size. */
export class SudokuShape {
  #units = [];
  #peers;

  constructor(size) {
    [this.boxRows, this.boxColumns] = BOXES[size];
    this.size = size;
    this.digits = Array.from({ length: size }, (_, at) => at + 1);
    const places = [(cell) => this.rowOf(cell), (cell) => cell % size, (cell) => this.boxOf(cell)];
    const all = Array.from({ length: size * size }, (_, cell) => cell);
    for (const place of places) {
      for (let unit = 0; unit < size; unit++) this.#units.push(all.filter((cell) => place(cell) === unit));
    }
    const sees = (cell, other) => cell !== other && places.some((place) => place(cell) === place(other));
    this.#peers = all.map((cell) => all.filter((other) => sees(cell, other)));
  }

  static #shapes = new Map();

  static of(size) {
    if (!this.#shapes.has(size)) this.#shapes.set(size, new SudokuShape(size));
    return this.#shapes.get(size);
  }

  rowOf(cell) {
    return Math.floor(cell / this.size);
  }

  boxOf(cell) {
    return (
      Math.floor(this.rowOf(cell) / this.boxRows) * this.boxRows + Math.floor((cell % this.size) / this.boxColumns)
    );
  }

  /** Rows, columns, then boxes: the cells of each. */
  get units() {
    return this.#units;
  }

  /** The cells that may not repeat the digit of `cell`. */
  peers(cell) {
    return this.#peers[cell];
  }

  /** Row, column or box number `index` of the units, in words. */
  unitName(index) {
    return `${["row", "column", "box"][Math.floor(index / this.size)]} ${(index % this.size) + 1}`;
  }
}

/** A Sudoku as the page sends it: one character per cell. */
export class SudokuPuzzle {
  task = "sudoku";

  /** @param {string} text digits and letters, dots for blanks */
  constructor(text) {
    const size = Math.sqrt(text.length);
    if (!(size in BOXES)) throw problem("wrong-size", `a board has 16, 36, 81 or 256 cells, found ${text.length}`);
    this.shape = SudokuShape.of(size);
    this.columns = size;
    this.cells = [...text].map((character) => (character === "." ? 0 : parseInt(character, 17)));
    const wrong = this.cells.findIndex((value) => !(value <= size));
    if (wrong >= 0) throw problem("malformed-request", `${text[wrong]} is not a digit of a ${size}x${size} board`);
    this.givens = this.cells.map((value) => value + BLANK);
  }

  /** In words. */
  get name() {
    return `a ${this.columns}x${this.columns} Sudoku`;
  }

  /** Throws what contradicts itself. */
  check() {
    this.shape.units.forEach((unit, index) => {
      unit.forEach((first, at) => {
        const digit = this.cells[first];
        const second = unit.slice(at + 1).find((other) => digit && this.cells[other] === digit);
        if (second === undefined) return;
        const cells = [first, second].map((cell) => ({
          row: this.shape.rowOf(cell) + 1,
          column: (cell % this.columns) + 1,
        }));
        const [one, other] = cells.map(({ row, column }) => `at row ${row}, column ${column}`);
        const where = `digit ${digit} stands twice in ${this.shape.unitName(index)}: ${one} and ${other}`;
        throw problem("contradictory-givens", `the givens contradict each other: ${where}`, { digit, cells });
      });
    });
  }

  fits(model) {
    return model.board_size === this.columns;
  }

  tokens() {
    return this.givens;
  }

  /** The rules: every unit has every digit, and the givens stay. */
  obeyed(answer) {
    const isFull = (unit) => new Set(unit.map((cell) => answer[cell])).size === this.columns;
    return (
      answer.every((token) => token > BLANK && token <= this.columns + BLANK) &&
      this.givens.every((given, cell) => given === BLANK || given === answer[cell]) &&
      this.shape.units.every(isFull)
    );
  }

  /** What chain number `index` sees; null where there is nothing but the puzzle itself. */
  copy(model, seed, index) {
    if (!model.is_equivariant) return sudokuCopy(this.shape, this.givens, seed, index);
    const board = pinned(this.shape, this.cells, seed, index - 1);
    // What solves the pinned puzzle solves the puzzle, and no answer is taken that does not.
    return board && { tokens: board.map((value) => value + BLANK), undo: (answer) => answer };
  }

  /** `answer` cut back to the board; predictions that are not a digit of it are blanks. */
  shown(answer) {
    return answer.map((token) => (token > BLANK && token <= this.columns + BLANK ? token : BLANK));
  }

  write(cells) {
    return cells.map((token) => (token === BLANK ? "." : (token - BLANK).toString(17).toUpperCase())).join("");
  }

  get pathLength() {
    return null;
  }
}

const [WALL, FREE, START, GOAL, PATH] = [1, 2, 3, 4, 5];
/** Characters of the tokens; 0 stands for a prediction that is not a cell. */
const MARKS = "?#.SGo";

/** A maze as the page sends it: a string per row, dots for free cells. */
export class MazePuzzle {
  task = "maze";

  /** @param {string[]} lines */
  constructor(lines) {
    this.rows = lines.length;
    this.columns = lines[0]?.length ?? 0;
    const ragged = lines.findIndex((line) => line.length !== this.columns);
    if (ragged >= 0) {
      const found = `line ${ragged + 1} has ${lines[ragged].length} cells, the first ${this.columns}`;
      throw problem("wrong-size", `the lines of a maze have equal length; ${found}`);
    }
    // A path in what was sent is a former answer: its cells are free.
    this.givens = [...lines.join("")].map((mark) => (mark === "o" ? FREE : MARKS.indexOf(mark)));
    const wrong = this.givens.findIndex((token) => token < WALL);
    if (wrong >= 0 || this.givens.length < 2) {
      throw problem("malformed-request", "expected a string per row: # wall, . free, S start, G goal");
    }
    this.pathLength = this.#shortest();
  }

  get name() {
    return `a ${this.rows}x${this.columns} maze`;
  }

  /** Throws what makes it no maze. */
  check() {
    const [start, goal] = [
      ["start", START],
      ["goal", GOAL],
    ].map(([name, token]) => {
      const places = this.givens.flatMap((given, cell) => (given === token ? [cell] : []));
      const mark = `'${MARKS[token]}'`;
      if (places.length === 0)
        throw problem("maze-end-missing", `the maze has no ${name} (${mark}); mark one cell with it`);
      if (places.length > 1) {
        const cells = places.slice(0, 2).map((cell) => this.#place(cell));
        const [one, other] = cells.map(({ row, column }) => `row ${row}, column ${column}`);
        const detail = `the maze has two cells marked ${name} (${mark}): ${one} and ${other}; mark one only`;
        throw problem("maze-end-twice", detail, { cells });
      }
      return this.#place(places[0]);
    });
    if (this.pathLength === null) {
      const where = ({ row, column }) => `(row ${row}, column ${column})`;
      const detail = `no path leads from the start ${where(start)} to the goal ${where(goal)}`;
      throw problem("maze-separated", detail, { cells: [start, goal] });
    }
  }

  fits(model) {
    return Math.max(this.rows, this.columns) <= model.board_size;
  }

  /** In the upper left of the model's square of walls: every cell keeps its place, and no path changes. */
  tokens(side) {
    const square = Array(side * side).fill(WALL);
    this.givens.forEach(
      (token, cell) => (square[Math.floor(cell / this.columns) * side + (cell % this.columns)] = token),
    );
    return square;
  }

  /**
   * The rules: only free cells changed, into marks that join start and goal, as many as a shortest path has. Then they
   * are one: any path among them has as many cells at least.
   */
  obeyed(answer) {
    const side = Math.sqrt(answer.length);
    const square = this.tokens(side);
    const isMark = (cell) => square[cell] === FREE && answer[cell] === PATH;
    if (!square.every((token, cell) => token === answer[cell] || isMark(cell))) return false;
    const marks = square.filter((_, cell) => isMark(cell)).length;
    const isOpen = (cell) => isMark(cell) || square[cell] === GOAL;
    return marks === this.pathLength && distance(square, side, isOpen) !== null;
  }

  copy(model, seed, index) {
    return mazeCopy(model.board_size, this.tokens(model.board_size), seed, index);
  }

  /** The predicted cells of the maze itself, without the walls around it. */
  shown(answer) {
    const side = Math.sqrt(answer.length);
    return this.givens.map((_, cell) => {
      const token = answer[Math.floor(cell / this.columns) * side + (cell % this.columns)];
      return token >= WALL && token <= PATH ? token : 0;
    });
  }

  write(cells) {
    const line = (row) => cells.slice(row * this.columns, (row + 1) * this.columns).map((token) => MARKS[token]);
    return Array.from({ length: this.rows }, (_, row) => line(row).join(""));
  }

  /** Cells between start and goal on a shortest path; null where none leads. */
  #shortest() {
    const side = Math.max(this.rows, this.columns);
    const square = this.tokens(side);
    const moves = square.includes(START) ? distance(square, side, (cell) => square[cell] !== WALL) : null;
    return moves === null ? null : moves - 1;
  }

  #place(cell) {
    return { row: Math.floor(cell / this.columns) + 1, column: (cell % this.columns) + 1 };
  }
}

/** Moves from the start to the goal of a square over open cells; null where none lead. */
function distance(square, side, isOpen) {
  const start = square.indexOf(START);
  const moves = new Map([[start, 0]]);
  // A map keeps the order of its insertions, which is that of the search.
  for (const [cell, soFar] of moves) {
    if (square[cell] === GOAL) return soFar;
    const column = cell % side;
    const around = [cell - side, cell + side, column > 0 ? cell - 1 : -1, column + 1 < side ? cell + 1 : -1];
    for (const next of around) {
      if (next >= 0 && next < square.length && !moves.has(next) && isOpen(next)) moves.set(next, soFar + 1);
    }
  }
  return null;
}

/** A problem as the server names it. */
export function problem(name, detail, conflict) {
  return new Problem({ type: `urn:trm:problem:${name}`, title: "Not solvable", detail, conflict }, 422);
}
