// The worker of a page without a server: loads ONNX Runtime and a model's graph, and thinks about one puzzle at a time.
// Owns session and recursion states; leaves the search to search.js, the rules to puzzles.js, the page to client.js.

import * as ort from "../runtime/ort.wasm.bundle.min.mjs";
import { MazePuzzle, SudokuPuzzle, problem } from "./puzzles.js";
import { disturb } from "./random.js";
import { policyOf, think } from "./search.js";

/** Addresses in site.json are relative to the page. */
const ROOT = new URL("../", import.meta.url);
/** What site.json says. Not awaited here: messages that came meanwhile would be lost. */
const described = file("site.json").then((bytes) => JSON.parse(new TextDecoder().decode(bytes)));
const BINARY = "runtime/ort-wasm-simd-threaded.wasm.gz";
/** A blank of a Sudoku, a wall of a maze: known to every model. */
const WARM_UP_TOKEN = 1;
const PUZZLES = { sudoku: SudokuPuzzle, maze: MazePuzzle };

/** Sessions by the address of their graphs. */
const sessions = new Map();
/** What ends each request that runs. */
const running = new Map();
/** The runtime has one thread: steps of two requests would only wait for each other. */
let last = Promise.resolve();

addEventListener("message", ({ data }) => receive(data));
const runtime = start();
// A failure is told with the answer that is asked for.
for (const promise of [described, runtime]) promise.catch(() => {});

function receive({ id, kind, ...request }) {
  if (kind === "abort") {
    running.get(id)?.abort();
  } else if (kind === "prepare") {
    // A failure is told with the answer that is asked for.
    prepare(request.task).catch(() => {});
  } else {
    const controller = new AbortController();
    running.set(id, controller);
    const asked = performance.now();
    last = last.then(() => answer(id, request, asked, controller.signal)).finally(() => running.delete(id));
  }
}

async function answer(id, request, asked, signal) {
  try {
    signal.throwIfAborted();
    const response = await solve(request, asked, signal, (data) => postMessage({ id, event: "step", data }));
    postMessage({ id, event: "answer", data: response });
  } catch (error) {
    if (signal.aborted) return;
    const { name, title, status, conflict, message } = error;
    const isProblem = typeof status === "number";
    const type = `urn:trm:problem:${isProblem ? name : "engine-failed"}`;
    postMessage({
      id,
      event: "problem",
      data: { type, title: isProblem ? title : "The model failed", status, conflict, detail: message },
    });
  }
}

/** One puzzle; events and answer are as the server's. */
async function solve({ task, puzzle: sent, options }, asked, signal, emit) {
  const puzzle = new PUZZLES[task](sent.puzzle);
  puzzle.check();
  const model = modelFor((await described).models, puzzle, options.model);
  const policy = policyOf(model.policy, model.limits, options);
  const session = await loaded(model);
  const begun = performance.now();
  const boards = new Map();
  const onStep = (chain, step, answer, q) => {
    const cells = puzzle.shown(answer);
    const before = boards.get(chain) ?? puzzle.givens;
    const changed = cells.flatMap((token, cell) =>
      token === before[cell] ? [] : [[Math.floor(cell / puzzle.columns), cell % puzzle.columns]],
    );
    boards.set(chain, cells);
    emit({ puzzle: 0, chain, step, answer: puzzle.write(cells), changed, q });
  };
  const step = (tokens, state, noise) => compute(session, model, tokens, state, noise);
  const { answer, verified, steps, q, stopped, chain, chains, votes, totalSteps } = await think({
    puzzle,
    model,
    policy,
    step,
    onStep,
    signal,
  });
  const written = puzzle.write(puzzle.shown(answer));
  const now = performance.now();
  return {
    puzzle: 0,
    ...(verified ? { solution: written } : { solution: null, attempt: written }),
    solved: verified,
    verified,
    ...(verified && puzzle.pathLength !== null ? { path_length: puzzle.pathLength } : {}),
    steps,
    q,
    stopped,
    chain,
    chains,
    votes,
    total_steps: totalSteps,
    model: { name: model.name, sha256: model.sha256 },
    timings: { queue_ms: begun - asked, compute_ms: now - begun, total_ms: now - asked },
  };
}

/** The model that the request names, else that of the smallest boards which the puzzle fits into, of several the first. */
function modelFor(models, puzzle, name) {
  const known = models.filter((model) => model.task.startsWith(puzzle.task));
  const fitting = known.filter((model) => puzzle.fits(model) && (!name || model.name === name));
  if (fitting.length === 0) {
    const sides = known.map(({ board_size: side }) => `${side}x${side}`).join(", ");
    throw problem("no-model-for-size", `no model of this page takes ${puzzle.name}; its models take ${sides}`);
  }
  return fitting.reduce((best, model) => (model.board_size < best.board_size ? model : best));
}

/** Loads the first model of a task, before anybody asks for an answer. */
async function prepare(task) {
  const { models } = await described;
  const model = models.find((model) => model.task.startsWith(task));
  if (model) await loaded(model);
}

/** The model's graph in a session. */
function loaded({ graph }) {
  if (!sessions.has(graph)) {
    const session = load(graph);
    sessions.set(graph, session);
    // The next request tries again.
    session.catch(() => sessions.delete(graph));
  }
  return sessions.get(graph);
}

async function load(graph) {
  const [bytes] = await Promise.all([file(graph), runtime]);
  const session = await ort.InferenceSession.create(new Uint8Array(bytes), {
    executionProviders: ["wasm"],
    // Sequential execution plans the reuse of memory in a time that grows with the square of the number of nodes: a
    // minute for a step of thousands. There is one thread either way.
    executionMode: "parallel",
    graphOptimizationLevel: "basic",
  });
  // The browser compiles the kernels when they are first called: better now, on a small board, than in the first step.
  const known = (await described).models.filter((model) => model.graph === graph);
  const smallest = known.reduce((least, model) => (model.board_size < least.board_size ? model : least));
  await compute(session, smallest, Array(smallest.board_size ** 2).fill(WARM_UP_TOKEN), null, null);
  return session;
}

/** Starts the runtime's WebAssembly, which lies packed beside it, so that every file host sends few bytes. */
async function start() {
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.wasmBinary = await file(BINARY);
}

/** A file of the site; a packed one is unpacked, unless the host has done so. */
async function file(path) {
  const response = await fetch(new URL(path, ROOT));
  if (!response.ok) throw new Error(`${path}: the host of this page answered ${response.status}; load the page again`);
  const bytes = await response.arrayBuffer();
  const [first, second] = new Uint8Array(bytes, 0, 2);
  if (first !== 0x1f || second !== 0x8b) return bytes;
  const unpacked = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(unpacked).arrayBuffer();
}

/** One supervision step of one chain. */
async function compute(session, model, tokens, state, noise) {
  // Between two steps, so that the page can say that it wants no more of them.
  await new Promise((resolve) => setTimeout(resolve));
  const { states, state_shape: shape } = model;
  const values = state ?? states.map(() => new Float32Array(shape[0] * shape[1]));
  if (noise) {
    states.forEach((name, index) => {
      if (reaches(noise.target, name, states.length)) disturb(values[index], noise, index);
    });
  }
  const inputs = {
    inputs: new ort.Tensor("int64", BigInt64Array.from(tokens, BigInt), [1, tokens.length]),
    reset: new ort.Tensor("bool", Uint8Array.of(state ? 0 : 1), [1]),
  };
  states.forEach((name, index) => (inputs[`state.${name}`] = new ort.Tensor("float32", values[index], [1, ...shape])));
  const outputs = await session.run(inputs);
  return {
    answer: Array.from(outputs.preds.data, Number),
    q: outputs.q_halt_logits.data[0],
    state: states.map((name) => outputs[`next_state.${name}`].data),
  };
}

/** Whether the state of this name gets the noise, among `count` states. */
function reaches(target, name, count) {
  return target === "all" || count === 1 || (target === "answer") === (name === "z_H");
}
