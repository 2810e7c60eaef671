// Mazes on the page: an editor for walls and ends, text and pictures read, and a step of the model drawn over it.
// Owns what a visitor drew; leaves paths and their shortness to the server.

import { Grid } from "./grid.js";
import { segments } from "./segments.js";

const NAMES = { "#": "wall", " ": "free", S: "start", G: "goal", o: "path" };

/** Sides that are offered, as far as the model takes them, and the least that samples have. */
const SIDES = [9, 15, 21];
const LEAST_SAMPLE = 5;

export class Maze {
  name = "maze";
  /** What the repetition is for, as the end of a sentence. */
  purpose = "until the path is a shortest one";
  #cells = [];
  #rows = 0;
  #columns = 0;
  #frame = null;
  #picture = null;
  #stroke = "#";

  /** As the Sudoku's; the models' side is that of the largest mazes that they take. */
  constructor(models, page) {
    this.page = page;
    this.most = Math.max(...models.map((model) => model.side));
    const sides = [...new Set([...SIDES.filter((side) => side < this.most), this.most])];
    this.text = document.getElementById("maze-text");
    this.file = document.getElementById("maze-file");
    this.chooseSide = segments(document.getElementById("maze-sizes"), {
      name: "maze-size",
      choices: sides.map((side) => ({ value: String(side), text: `${side}×${side}` })),
      onChoose: (side) => this.#empty(Number(side)),
    });
    this.grid = new Grid(document.getElementById("maze-board"), {
      label: "Maze",
      onKey: (index, event) => this.#key(index, event),
      onDraw: (index, isFirst) => this.#draws(index, isFirst),
    });
    this.text.addEventListener("input", () => this.#typed());
    this.file.addEventListener("change", () => this.#picked());
    this.#empty(this.most);
  }

  /** What a request says about the maze: its lines, or the picture as it is. */
  request() {
    return this.#picture ?? { puzzle: this.#lines().map((line) => line.replaceAll(" ", ".")) };
  }

  async sample(api) {
    const size = Math.min(Math.max(this.#rows, LEAST_SAMPLE), this.most);
    const { puzzle } = await api.sample("maze", { size });
    this.read([puzzle].flat().join("\n").replaceAll(" ", "."));
  }

  first(api) {
    return this.sample(api);
  }

  clear() {
    this.#empty(Math.max(this.#rows, this.#columns));
    this.grid.focus(0);
  }

  get address() {
    return this.#picture ? "" : this.#lines().join("/").replaceAll(" ", ".");
  }

  /** Whether a text has a line per row, or a stroke between rows as in the address, and dots for free cells. */
  isPlain(text) {
    const lines = text.split(/[\n/]/);
    return lines.length > 1 && lines.every((line) => /^[#.SG]+$/.test(line) && line.length === lines[0].length);
  }

  /** Takes a maze as plain lines; other forms are the server's to read. Throws what is wrong with it. */
  read(text) {
    const lines = text.split(/[\n/]/);
    const columns = Math.max(...lines.map((line) => line.length));
    if (lines.length > this.most || columns > this.most) {
      throw new Error(`This maze has ${lines.length} rows and ${columns} columns; the loaded model takes up to ${this.most}.`);
    }
    const cells = [...lines.map((line) => line.padEnd(columns, " ")).join("")].map((one) => (".o".includes(one) ? " " : one));
    const strange = cells.find((cell) => !(cell in NAMES));
    if (strange) throw new Error(`“${strange}” is not a cell of a maze; expected #, a space or a dot, S and G.`);
    if (cells.length < 2) throw new Error("A maze has a start and a goal at least.");
    this.#load(cells, columns);
  }

  show(frame) {
    this.#frame = frame;
    if (frame && this.#picture) this.#learn(frame.answer);
    this.#draw();
    if (frame) this.grid.glow(frame.changed.map(([row, column]) => row * this.#columns + column));
  }

  /** A maze that was read from a picture is known exactly once the server has said what it read. */
  finish({ read_as: lines }) {
    if (!lines || !this.#picture) return;
    const frame = this.#frame;
    this.#picture = null;
    this.file.value = "";
    this.#shape(this.#cellsOf(lines), lines[0].length);
    this.show(frame);
  }

  mark() {}

  describe(frame) {
    const path = this.#cellsOf(frame.answer).filter((cell) => cell === "o").length;
    const changed = frame.changed.length;
    return `${changed} ${changed === 1 ? "cell" : "cells"} changed, ${path} on the path`;
  }

  #load(cells, columns) {
    this.#frame = null;
    this.#picture = null;
    this.file.value = "";
    this.#shape(cells, columns);
    this.#draw();
    this.page.onEdit();
  }

  /** Takes cells as they are, without a word to the page. */
  #shape(cells, columns) {
    this.#cells = cells;
    this.#columns = columns;
    this.#rows = cells.length / columns;
    this.chooseSide(this.#rows === columns ? String(columns) : null);
    this.grid.resize(this.#rows, columns);
    if (document.activeElement !== this.text) this.text.value = this.#lines().join("\n");
  }

  /** Walls around, start and goal in opposite corners. */
  #empty(side) {
    const last = side - 1;
    const cells = Array.from({ length: side * side }, (_, index) => {
      const [row, column] = [Math.floor(index / side), index % side];
      if (row === 1 && column === 1) return "S";
      if (row === last - 1 && column === last - 1) return "G";
      return [0, last].includes(row) || [0, last].includes(column) ? "#" : " ";
    });
    this.#load(cells, side);
  }

  #lines() {
    return Array.from({ length: this.#rows }, (_, row) =>
      this.#cells.slice(row * this.#columns, (row + 1) * this.#columns).join(""),
    );
  }

  #set(index, value) {
    const cells = [...this.#cells];
    // There is one start and one goal: the former one becomes free.
    if ("SG".includes(value)) {
      const former = cells.indexOf(value);
      if (former >= 0) cells[former] = " ";
    }
    if (cells[index] === value) return;
    cells[index] = value;
    this.#load(cells, this.#columns);
  }

  #draws(index, isFirst) {
    if (isFirst) {
      const tool = document.querySelector("input[name=maze-tool]:checked").value;
      // A wall drawn on a wall takes it away, and so does the rest of that stroke.
      this.#stroke = tool === "#" && this.#cells[index] === "#" ? " " : tool;
    }
    const isEnd = "SG".includes(this.#cells[index]);
    if (!("#".includes(this.#stroke) && isEnd && !isFirst)) this.#set(index, this.#stroke);
  }

  #key(index, event) {
    const key = event.key.toUpperCase();
    if (key === "ENTER") this.page.onSolve();
    else if (key === "#" || key === " ") this.#set(index, this.#cells[index] === "#" ? " " : "#");
    else if (key === "S" || key === "G") this.#set(index, key);
    else if ([".", "DELETE", "BACKSPACE"].includes(key)) this.#set(index, " ");
    else return false;
    return true;
  }

  async #typed() {
    const typed = this.text.value;
    this.text.setCustomValidity("");
    if (!typed.trim()) return;
    try {
      const plain = this.isPlain(typed) ? typed : await this.page.ask(typed);
      // Something else may have been typed since.
      if (this.text.value === typed) this.read(plain);
    } catch (error) {
      if (this.text.value !== typed) return;
      this.text.setCustomValidity(error.message);
      this.page.say(error.message);
    }
  }

  /** The server reads pictures, in its one way; the page learns the maze from the first step. */
  #picked() {
    const [picture] = this.file.files;
    if (!picture) return;
    this.#picture = picture;
    this.page.onEdit();
    this.page.onSolve();
  }

  #learn(answer) {
    const cells = this.#cellsOf(answer).map((cell) => ("o?".includes(cell) ? " " : cell));
    this.#shape(cells, cells.length / [answer].flat().length);
  }

  #cellsOf(answer) {
    return [...[answer].flat().join("").replaceAll("\n", "").replaceAll(".", " ")];
  }

  #draw() {
    const shown = this.#frame ? this.#cellsOf(this.#frame.answer) : this.#cells;
    const changed = new Set(this.#frame?.changed.map(([row, column]) => row * this.#columns + column));
    this.grid.paint((index) => {
      // Walls and ends are the visitor's; what the model says about them besides is shown as broken.
      const [given, said] = [this.#cells[index], shown[index] ?? " "];
      const isPath = said === "o" && given === " ";
      const isBroken = this.#frame !== null && said !== given && !isPath;
      const kinds = { [NAMES[given]]: true, path: isPath, changed: changed.has(index), broken: isBroken };
      const place = `row ${Math.floor(index / this.#columns) + 1}, column ${(index % this.#columns) + 1}`;
      return {
        text: "SG".includes(given) ? given : "",
        classes: ["cell", ...Object.keys(kinds).filter((kind) => kinds[kind])].join(" "),
        label: `${place}, ${isPath ? "path" : NAMES[given]}${isBroken ? `, said to be ${NAMES[said] ?? "nothing"}` : ""}`,
      };
    });
  }
}
