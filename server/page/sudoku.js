// Sudoku on the page: a board to type on, its forms as text, and a step of the model drawn over the givens.
// Owns what a visitor entered; leaves solving and the verdict to main.js and the server.

import { Grid } from "./grid.js";
import { segments } from "./segments.js";

/** Rows and columns of a box by side length. */
const BOXES = { 4: [2, 2], 6: [2, 3], 9: [3, 3], 16: [4, 4] };
/** Without a clue too many: the shipped model needs several steps for it. */
const OPENING = "3.7.9.82...9.81.......5.....581..6.3.9.........2.......6.2........4789.......31..";

export class Sudoku {
  name = "sudoku";
  /** What the repetition is for, as the end of a sentence. */
  purpose = "until the rules hold";
  #cells = [];
  #frame = null;
  #marked = new Set();

  /**
   * @param {Array<{side: number}>} models what is loaded
   * @param {object} page
   * @param {() => void} page.onEdit the puzzle is another one now
   * @param {() => void} page.onSolve
   * @param {(text: string) => void} page.say
   * @param {(text: string) => Promise<string>} page.ask a text as the server reads it
   */
  constructor(models, page) {
    this.page = page;
    this.sizes = [...new Set(models.map((model) => model.side))];
    this.size = this.sizes.includes(9) ? 9 : this.sizes[0];
    this.text = document.getElementById("sudoku-text");
    this.pad = document.getElementById("sudoku-pad");
    this.chooseSize = segments(document.getElementById("sudoku-sizes"), {
      name: "sudoku-size",
      choices: Object.keys(BOXES).map((side) => ({
        value: side,
        text: `${side}×${side}`,
        reason: this.sizes.includes(Number(side)) ? null : `No model for ${side}×${side} boards is loaded.`,
      })),
      onChoose: (side) => this.#load(Array(side ** 2).fill(0), Number(side)),
    });
    this.grid = new Grid(document.getElementById("sudoku-board"), {
      label: "Sudoku board",
      onKey: (index, event) => this.#key(index, event),
    });
    this.text.addEventListener("input", (event) => this.#typed(event.inputType));
    this.#load(Array(this.size ** 2).fill(0), this.size);
  }

  /** What a request says about the puzzle. */
  request() {
    return { puzzle: write(this.#cells) };
  }

  /** A puzzle of the server's generator. */
  async sample(api) {
    const clues = document.getElementById("sudoku-clues").value;
    const { puzzle } = await api.sample("sudoku", { size: this.size, extra_clues: clues });
    this.read(puzzle);
  }

  /** The first puzzle that a visitor sees. */
  async first(api) {
    if (this.size === 9) this.read(OPENING);
    else await this.sample(api);
  }

  clear() {
    this.#load(Array(this.size ** 2).fill(0), this.size);
    this.grid.focus(0);
  }

  /** The puzzle as it stands in the page's address. */
  get address() {
    return this.#cells.some((cell) => cell > 0) ? write(this.#cells) : "";
  }

  /** Whether a text is a character per cell, with one kind of blanks, and no zeros that may be digits. */
  isPlain(text) {
    return Math.sqrt(text.length) in BOXES && /^([.1-9A-G]+|[0-9]+)$/i.test(text);
  }

  /** Takes a puzzle of a character per cell; other forms are the server's to read. Throws what is wrong with it. */
  read(text) {
    const cells = parse(text);
    const size = Math.sqrt(cells.length);
    if (!(size in BOXES)) {
      throw new Error(`These are ${cells.length} cells; a board has 16, 36, 81 or 256.`);
    }
    const wrong = cells.find((cell) => cell > size);
    if (wrong) throw new Error(`${symbol(wrong)} is not a digit of a ${size}×${size} board.`);
    if (!this.sizes.includes(size)) {
      const served = this.sizes.map((side) => `${side}×${side}`).join(", ");
      throw new Error(`No model for ${size}×${size} boards is loaded; those that are solve ${served}.`);
    }
    this.#load(cells, size);
  }

  /** Draws a step of the model; null for the puzzle itself. */
  show(frame) {
    this.#frame = frame;
    this.#draw();
    if (frame) this.grid.glow(frame.changed.map(([row, column]) => row * this.size + column));
  }

  /** Marks the cells that a problem names. */
  mark(cells) {
    this.#marked = new Set(cells.map(({ row, column }) => (row - 1) * this.size + column - 1));
    this.#draw();
    if (cells.length) this.grid.focus([...this.#marked][0]);
  }

  /** What a step came to, in words. */
  describe(frame) {
    const cells = parse(frame.answer);
    const broken = conflicts(cells, this.size).size;
    const blank = cells.filter((cell) => cell === 0).length;
    const parts = [count(frame.changed.length, "cell changed", "cells changed")];
    if (blank) parts.push(`${blank} undecided`);
    parts.push(broken ? `${count(broken, "breaks", "break")} a rule` : "no rule broken");
    return parts.join(", ");
  }

  #load(cells, size) {
    this.size = size;
    this.#cells = cells;
    this.#frame = null;
    this.#marked.clear();
    this.chooseSize(String(size));
    this.grid.resize(size, size);
    this.#fillPad();
    this.text.value = cells.some((cell) => cell > 0) ? write(cells) : "";
    this.text.placeholder = ".".repeat(size ** 2);
    this.#draw();
    this.page.onEdit();
  }

  #set(index, value) {
    const cells = [...this.#cells];
    cells[index] = value;
    this.#load(cells, this.size);
  }

  #key(index, event) {
    const value = digit(event.key, this.size);
    const last = this.size ** 2 - 1;
    if (event.key === "Enter") {
      this.page.onSolve();
    } else if (event.key === "Backspace") {
      // As in a line of text: an empty cell has nothing to take, so the one before it is meant.
      const target = this.#cells[index] || index === 0 ? index : index - 1;
      this.#set(target, 0);
      this.grid.focus(target);
    } else if (event.key === "Delete") {
      this.#set(index, 0);
    } else if (value !== null) {
      this.#set(index, value);
      this.grid.focus(Math.min(index + 1, last));
    } else {
      return false;
    }
    return true;
  }

  #typed(how) {
    const caret = this.text.selectionStart;
    const typed = this.text.value;
    const cells = typed.replaceAll(/\s/g, "").length;
    this.text.setCustomValidity("");
    // A visitor who types has not changed the size on passing sixteen cells.
    const isUnfinished = how === "insertText" && cells !== this.size ** 2;
    try {
      if (cells === 0) this.#load(Array(this.size ** 2).fill(0), this.size);
      else if (!isUnfinished && this.isPlain(typed)) this.read(typed);
      else if (!isUnfinished) this.#ask(typed);
    } catch (error) {
      this.#refuse(error);
    }
    // What was typed stays as it is while it is typed.
    this.text.value = typed;
    this.text.setSelectionRange(caret, caret);
  }

  /** Has the server read what was typed, unless something else has been typed since. */
  async #ask(typed) {
    try {
      const plain = await this.page.ask(typed);
      if (this.text.value === typed) this.read(plain);
    } catch (error) {
      if (this.text.value === typed) this.#refuse(error);
    }
  }

  #refuse(error) {
    this.text.setCustomValidity(error.message);
    this.page.say(error.message);
  }

  #fillPad() {
    if (this.pad.childElementCount === this.size + 1) return;
    this.pad.style.setProperty("--keys", this.size === 16 ? 9 : this.size + 1);
    const keys = Array.from({ length: this.size + 1 }, (_, value) => {
      const key = document.createElement("button");
      key.type = "button";
      // For fingers: a keyboard has these keys itself, and need not walk through ten buttons.
      key.tabIndex = -1;
      key.textContent = value ? symbol(value) : "⌫";
      key.setAttribute("aria-label", value ? symbol(value) : "Blank");
      // The board keeps the focus, so that the next key goes to the same place.
      key.addEventListener("pointerdown", (event) => event.preventDefault());
      key.addEventListener("click", () => this.#set(this.grid.cursor, value));
      return key;
    });
    this.pad.replaceChildren(...keys.slice(1), keys[0]);
  }

  #draw() {
    const shown = this.#frame ? parse(this.#frame.answer) : this.#cells;
    const broken = conflicts(shown, this.size);
    const changed = new Set(this.#frame?.changed.map(([row, column]) => row * this.size + column));
    const [boxRows, boxColumns] = BOXES[this.size];
    this.grid.paint((index) => {
      const [row, column] = [Math.floor(index / this.size), index % this.size];
      const value = shown[index];
      const kinds = {
        given: this.#cells[index] > 0,
        said: this.#frame && !this.#cells[index],
        changed: changed.has(index),
        broken: broken.has(index) || this.#marked.has(index),
        marked: this.#marked.has(index),
        "box-end": (column + 1) % boxColumns === 0 && column + 1 < this.size,
        "box-foot": (row + 1) % boxRows === 0 && row + 1 < this.size,
      };
      const spoken = ["given", "changed", "broken"].filter((kind) => kinds[kind]);
      return {
        text: value ? symbol(value) : "",
        classes: ["cell", ...Object.keys(kinds).filter((kind) => kinds[kind])].join(" "),
        label: [`row ${row + 1}, column ${column + 1}`, value ? symbol(value) : "blank", ...spoken].join(", "),
      };
    });
  }
}

/** 1 to 9, then letters from 10 on. */
function symbol(value) {
  return value < 10 ? String(value) : String.fromCharCode(55 + value);
}

/** The value of a key; null when it is none. */
function digit(key, size) {
  if ([".", "0", " "].includes(key)) return 0;
  if (key.length !== 1) return null;
  const value = /[1-9]/.test(key) ? Number(key) : /[a-g]/i.test(key) ? key.toUpperCase().charCodeAt(0) - 55 : 0;
  return value >= 1 && value <= size ? value : null;
}

function write(cells) {
  return cells.map((cell) => (cell ? symbol(cell) : ".")).join("");
}

/** Cells of a text with a character for each. */
function parse(text) {
  return [...text].map((character) => {
    const value = digit(character, 16);
    if (value === null) throw new Error(`“${character}” is not a cell of a Sudoku; expected digits and . for blanks.`);
    return value;
  });
}

/** Cells that share a digit with another one of their row, column or box; what is drawn red, not what is verified. */
function conflicts(cells, size) {
  const [boxRows, boxColumns] = BOXES[size];
  const seen = new Map();
  const broken = new Set();
  cells.forEach((value, index) => {
    if (!value) return;
    const [row, column] = [Math.floor(index / size), index % size];
    const box = `${Math.floor(row / boxRows)}/${Math.floor(column / boxColumns)}`;
    for (const unit of [`r${row}`, `c${column}`, `b${box}`]) {
      const other = seen.get(`${unit}=${value}`);
      if (other === undefined) seen.set(`${unit}=${value}`, index);
      else broken.add(index).add(other);
    }
  });
  return broken;
}

function count(number, one, many) {
  return `${number} ${number === 1 ? one : many}`;
}
