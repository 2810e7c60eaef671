// ARC tasks on the page: demonstrations, test inputs, and what the model answers, step by step and at the end.
// Owns reading a task's JSON; leaves which tasks a model knows, and the votes, to the server.

const MAX_SIDE = 30;
/** Colour names for people who do not see them, in the order of the numbers. */
const COLOURS = ["black", "blue", "red", "green", "yellow", "grey", "magenta", "orange", "sky", "maroon"];

export class Arc {
  name = "arc";
  /** What the repetition is for, as the end of a sentence. */
  purpose = "on many copies of a task, which then vote";
  #task = null;
  /** Whether the task was taken by its name. */
  #isSample = false;
  #response = null;
  #frame = null;

  /** As the Sudoku's. */
  constructor(_models, page) {
    this.page = page;
    this.id = document.getElementById("arc-id");
    this.text = document.getElementById("arc-text");
    this.source = document.getElementById("arc-source");
    this.demonstrations = document.getElementById("arc-task");
    this.boards = document.getElementById("arc-boards");
    this.id.addEventListener("input", () => {
      // Another name means another task than the sample's.
      if (this.#isSample) [this.#task, this.text.value] = [null, ""];
      this.#edited();
    });
    this.id.addEventListener("change", () => this.#look());
    this.id.addEventListener("keydown", (event) => {
      if (event.key === "Enter") page.onSolve();
    });
    this.text.addEventListener("input", () => {
      try {
        if (this.text.value.trim()) this.read(this.text.value);
        this.text.setCustomValidity("");
      } catch (error) {
        this.text.setCustomValidity(error.message);
        page.say(error.message);
      }
    });
    document.getElementById("arc-file").addEventListener("change", (event) => this.#open(event.target.files[0]));
    this.#draw();
  }

  /** Fills the list of task ids that the model knows. */
  async prepare(api) {
    this.api = api;
    this.#look();
    const { task_ids: ids } = await api.sample("arc", { limit: 1000 });
    const options = ids.map((id) => Object.assign(document.createElement("option"), { value: id }));
    document.getElementById("arc-ids").replaceChildren(...options);
  }

  /** Shows the task of the name that is written, where the model knows it. */
  async #look() {
    const id = this.id.value.trim();
    if (!id || this.#task || !this.api) return;
    const { task } = await this.api.sample("arc", { task_id: id }).catch(() => ({}));
    // Meanwhile another may have been written.
    if (!task || this.#task || this.id.value.trim() !== id) return;
    [this.#task, this.#isSample, this.text.value] = [parse(JSON.stringify(task)), true, JSON.stringify(task)];
    this.#draw();
  }

  request() {
    const id = this.id.value.trim();
    if (!this.#task && !id) throw new Error("Name a task, open a file or paste a task's JSON.");
    // By its name alone the server knows the right answer, too.
    if (this.#isSample) return { task_id: id };
    return { ...(this.#task && { task: this.#task }), ...(id && { task_id: id }) };
  }

  async sample(api) {
    const { task_ids: ids } = await api.sample("arc", { limit: 1000 });
    if (!ids.length) throw new Error("The loaded model knows no task by id.");
    const { task_id: id, task } = await api.sample("arc", { task_id: ids[Math.floor(Math.random() * ids.length)] });
    this.#task = parse(JSON.stringify(task));
    this.text.value = JSON.stringify(this.#task);
    this.id.value = id;
    this.#edited(true);
  }

  first(api) {
    return this.sample(api);
  }

  clear() {
    this.#task = null;
    this.id.value = "";
    this.text.value = "";
    this.#edited();
    this.id.focus();
  }

  get address() {
    return this.id.value.trim();
  }

  /** Takes a task's JSON, or an id as it stands in the address; throws what is wrong with it. */
  read(text) {
    if (/^[\w-]+$/.test(text.trim())) {
      this.#task = null;
      this.id.value = text.trim();
      this.#edited();
      this.#look();
    } else {
      this.#task = parse(text);
      this.id.value = "";
      if (document.activeElement !== this.text) this.text.value = JSON.stringify(this.#task);
      this.#edited();
    }
  }

  show(frame) {
    this.#frame = frame;
    this.#draw();
  }

  /** What the server made of all augmentations: shown at the last step. */
  finish(response) {
    this.#response = response;
    this.#draw();
  }

  mark() {}

  describe(frame) {
    const changed = frame.changed.length;
    const shape = isBlank(frame.answer) ? "no grid yet" : `a grid of ${frame.answer.length}×${frame.answer[0].length}`;
    return `${changed} ${changed === 1 ? "cell" : "cells"} changed, ${shape}`;
  }

  #edited(isSample = false) {
    this.#isSample = isSample;
    this.#frame = null;
    this.#response = null;
    this.#draw();
    this.page.onEdit();
  }

  async #open(file) {
    if (!file) return;
    try {
      this.read(await file.text());
      // Files are named after their task.
      if (/^[0-9a-f]{8}\.json$/.test(file.name)) this.id.value = file.name.slice(0, 8);
    } catch (error) {
      this.page.say(error.message);
    }
  }

  #draw() {
    const pairs = (this.#task?.train ?? []).map((pair, index) =>
      row(`Pair ${index + 1}`, [picture(pair.input, `input ${index + 1}`), arrow(), picture(pair.output, `output ${index + 1}`)]),
    );
    const tests = (this.#task?.test ?? []).map((pair, index) => row(`Test ${index + 1}`, [picture(pair.input, `test input ${index + 1}`), arrow(), ...this.#answers(index)]));
    const unseen = this.#task ? [] : this.#unseen();
    this.demonstrations.replaceChildren(...pairs);
    this.boards.replaceChildren(...tests, ...unseen);
    if (!pairs.length && !tests.length && !unseen.length) {
      this.boards.replaceChildren(note("Choose a task that the model knows, open a file, or paste its JSON below."));
    }
  }

  /** Answers to a task that is known by its id only. */
  #unseen() {
    const count = this.#response?.tests.length ?? (this.#frame ? this.#frame.test + 1 : 0);
    return Array.from({ length: count }, (_, index) => row(`Test ${index + 1}`, this.#answers(index)));
  }

  #answers(test) {
    const attempts = this.#frame?.isLast && this.#response ? this.#response.tests[test] : null;
    if (attempts) {
      return attempts.attempts.map(({ grid, votes, mean_q: q }, index) => {
        const words = [`attempt ${index + 1}`, `${votes} ${votes === 1 ? "vote" : "votes"}`, `Q ${q.toFixed(2)}`];
        if (attempts.correct !== null && attempts.correct !== undefined) words.push(attempts.correct ? "task solved" : "not the answer");
        return picture(grid, words.join(" · "), true);
      });
    }
    if (this.#frame?.test === test) return [picture(this.#frame.answer, "thinking", true, this.#frame.changed)];
    return [note("?")];
  }
}

/** A task within ARC's bounds, without what else the file holds. */
function parse(text) {
  let task;
  try {
    task = JSON.parse(text);
  } catch {
    throw new Error("This is not JSON.");
  }
  task = task?.task ?? task;
  const grid = (cells, place) => {
    const sides = Array.isArray(cells) ? [cells.length, ...cells.map((line) => line?.length ?? 0)] : [0];
    if (sides.some((side) => side < 1 || side > MAX_SIDE) || new Set(sides.slice(1)).size !== 1) {
      throw new Error(`${place} is not a grid of 1 to ${MAX_SIDE} rows and columns.`);
    }
    if (!cells.flat().every((cell) => Number.isInteger(cell) && cell >= 0 && cell < COLOURS.length)) {
      throw new Error(`${place} holds something other than the colours 0 to 9.`);
    }
    return cells;
  };
  const pairs = (list, name, needsOutput) => {
    if (!Array.isArray(list) || !list.length) throw new Error(`A task has a list “${name}” of pairs.`);
    return list.map((pair, index) => ({
      input: grid(pair?.input, `${name} ${index + 1}, input`),
      ...((needsOutput || pair.output) && { output: grid(pair.output, `${name} ${index + 1}, output`) }),
    }));
  };
  return { train: pairs(task?.train, "train", true), test: pairs(task?.test, "test", false) };
}

/** A grid as a picture with a line of words beneath it. */
function picture(grid, words, isLarge = false, changed = []) {
  if (isBlank(grid)) return note(`${words}: no grid`);
  const figure = document.createElement("figure");
  const canvas = document.createElement("canvas");
  const caption = document.createElement("figcaption");
  const [rows, columns] = [grid.length, grid[0].length];
  const scale = Math.max(4, Math.floor((isLarge ? 480 : 240) / Math.max(rows, columns)));
  Object.assign(canvas, { width: columns * scale, height: rows * scale });
  const spoken = grid.map((line) => line.map((cell) => COLOURS[cell]).join(" ")).join("; ");
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", `${words}: ${rows} by ${columns}. ${spoken}`);
  const context = canvas.getContext("2d");
  const style = getComputedStyle(document.documentElement);
  const line = Math.max(1, Math.round(scale / 20));
  grid.forEach((cells, rowIndex) =>
    cells.forEach((cell, column) => {
      context.fillStyle = style.getPropertyValue("--arc-line");
      context.fillRect(column * scale, rowIndex * scale, scale, scale);
      context.fillStyle = style.getPropertyValue(`--arc-${cell}`);
      context.fillRect(column * scale, rowIndex * scale, scale - line, scale - line);
    }),
  );
  context.strokeStyle = style.getPropertyValue("--changed");
  context.lineWidth = Math.max(2, scale / 10);
  for (const [rowIndex, column] of changed) {
    context.strokeRect(column * scale + 1, rowIndex * scale + 1, scale - 3, scale - 3);
  }
  caption.textContent = words;
  figure.className = isLarge ? "arc-grid large" : "arc-grid";
  figure.append(canvas, caption);
  return figure;
}

/** A model may draw nothing that is a grid. */
function isBlank(grid) {
  return !grid.length || !grid[0].length;
}

function row(title, parts) {
  const line = document.createElement("div");
  const head = document.createElement("h3");
  line.className = "arc-row";
  head.textContent = title;
  line.append(head, ...parts);
  return line;
}

function arrow() {
  const sign = document.createElement("span");
  sign.className = "arrow";
  sign.setAttribute("aria-hidden", "true");
  sign.textContent = "→";
  return sign;
}

function note(words) {
  const line = document.createElement("p");
  line.className = "hint";
  line.textContent = words;
  return line;
}
