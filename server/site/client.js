// A page without a server: the interface of http.js, answered by a worker in the visitor's own browser.
// Owns the messages to the worker and the samples; leaves solving to worker.js, reading text to reading.js.

import { Problem } from "../page/problem.js";
import * as files from "./files.js";
import { readMaze, readSudoku } from "./reading.js";

const READERS = { sudoku: readSudoku, maze: readMaze };

const worker = new Worker(new URL("worker.js", import.meta.url), { type: "module" });
/** Who waits for what, by the number of the request. */
const waiting = new Map();
let requests = 0;
let samples = null;
/** The tasks that the first ARC model knows. */
let arcTasks = null;

worker.addEventListener("message", ({ data: { id, event, data } }) => waiting.get(id)?.(event, data));
worker.addEventListener("error", (event) => {
  event.preventDefault();
  const why = event.message ?? "its worker does not start";
  const detail = `This browser cannot run the model: ${why}. It needs modules in workers and WebAssembly.`;
  for (const take of [...waiting.values()]) take("problem", { title: "No model", detail });
});

/** What is in site.json, in the form of GET /info. Begins to load the first model. */
export async function info() {
  const site = await json("site.json");
  const address = location.hash.slice(1).split("=")[0];
  prepare(site.models.some((model) => model.task.startsWith(address) && address) ? address : site.models[0].task);
  return site;
}

/** Why there is no model of a kind. */
export function lacking(kind) {
  return `This page has no model for ${kind}: none is shipped yet. A server can load one of yours.`;
}

/** A puzzle in one of the common forms, in the plainest. */
export async function read(task, text) {
  return READERS[task](text);
}

/** One of the samples that were drawn when the site was written; of ARC the names of known tasks, or one of these. */
export async function sample(task, { size, extra_clues: clues, limit, task_id: name } = {}) {
  if (task === "arc") return sampleArc(limit, name);
  prepare(task);
  samples ??= json("samples.json");
  const all = await samples.catch((error) => {
    samples = null;
    throw error;
  });
  const fitting = (all[task] ?? []).filter((one) => clues === undefined || one.extra_clues === Number(clues));
  if (fitting.length === 0)
    throw new Problem({ title: "No sample", detail: "This page has no samples of this kind." }, 0);
  // Mazes may be drawn in any size; samples are there in a few.
  const distance = (one) => Math.abs(one.size - size);
  const nearest = fitting.reduce((best, one) => (distance(one) < distance(best) ? one : best));
  const { puzzles } = nearest;
  return { puzzle: puzzles[Math.floor(Math.random() * puzzles.length)], size: nearest.size };
}

async function sampleArc(limit, name) {
  const site = await json("site.json");
  const model = site.models.find(({ arc }) => arc);
  if (!model) throw new Problem({ title: "No model", detail: "This page has no model for ARC." }, 0);
  arcTasks ??= json(model.arc.tasks);
  const { tasks } = await arcTasks.catch((error) => {
    arcTasks = null;
    throw error;
  });
  // Answers to memorized test pairs would prove nothing.
  const heldOut = tasks.filter((task) => task.held_out);
  const shown = heldOut.length > 0 ? heldOut : tasks;
  if (name === undefined) return { task_ids: shown.slice(0, limit).map((task) => task.task_id) };
  prepare("arc");
  const known = tasks.find((task) => task.task_id === name);
  if (!known) throw new Problem({ title: "Unknown task", detail: `This page knows no task called ${name}.` }, 0);
  const test = known.test.map(({ input }) => ({ input }));
  return { task_id: name, task: { train: known.train, test } };
}

/** Solves one puzzle in the worker and calls back for every step; as in http.js. */
export function solve(task, puzzle, options, onStep, signal) {
  if (puzzle instanceof Blob) {
    throw new Problem(
      {
        title: "No picture",
        detail: "Pictures of mazes are read by a server only; draw the maze, or paste it as text.",
      },
      0,
    );
  }
  const id = requests++;
  return new Promise((resolve, reject) => {
    const end = (settle, value) => {
      waiting.delete(id);
      settle(value);
    };
    signal.addEventListener("abort", () => {
      worker.postMessage({ id, kind: "abort" });
      end(reject, signal.reason);
    });
    waiting.set(id, (event, data) => {
      if (event === "step") onStep(data);
      if (event === "answer") end(resolve, data);
      if (event === "problem") end(reject, new Problem(data, data.status));
    });
    worker.postMessage({ id, kind: "solve", task, puzzle, options });
  });
}

/** There is no key where there is no server. */
export function useKey() {}

function prepare(task) {
  worker.postMessage({ kind: "prepare", task });
}

function json(path) {
  return files.json(path).catch(() => {
    const detail = `The host of this page does not send ${path}; load the page again.`;
    throw new Problem({ title: "No connection", detail }, 0);
  });
}
