// The worker of a page without a server: loads ONNX Runtime and a model's graph, and solves one puzzle at a time.
// Owns session and recursion states; leaves the search to search.js, the rules to puzzles.js, the page to client.js.

import * as ort from "../runtime/ort.wasm.bundle.min.mjs";
import { Ballot, Copy, KnownTasks, elected } from "./arc.js";
import { file, json } from "./files.js";
import { MazePuzzle, SudokuPuzzle, problem } from "./puzzles.js";
import { disturb } from "./random.js";
import { policyOf, solve as search } from "./search.js";

/** What site.json says. Not awaited here: messages that came meanwhile would be lost. */
const described = json("site.json");
const BINARY = "runtime/ort-wasm-simd-threaded.wasm.gz";
/** A blank of a Sudoku, a wall of a maze: known to every model. */
const WARM_UP_TOKEN = 1;
const PUZZLES = { sudoku: SudokuPuzzle, maze: MazePuzzle };
/** Copies of an ARC task that vote where a request does not say how many. */
const COPIES = 32;

/** Sessions by the address of their graphs. */
const sessions = new Map();
/** Tasks and rows of ARC models by name. */
const arcData = new Map();
/** What ends each request that runs. */
const running = new Map();
/** The runtime has one thread: steps of two requests would only wait for each other. */
let last = Promise.resolve();

addEventListener("message", ({ data }) => receive(data));
const runtime = start();
// A failure is reported with the answer that is asked for.
for (const promise of [described, runtime]) promise.catch(() => {});

function receive({ id, kind, ...request }) {
  if (kind === "abort") {
    running.get(id)?.abort();
  } else if (kind === "prepare") {
    // A failure is reported with the answer that is asked for.
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
    const emit = (data) => postMessage({ id, event: "step", data });
    const response = await (request.task === "arc" ? solveArc : solve)(request, asked, signal, emit);
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
  const { answer, verified, steps, q, stopped, chain, chains, votes, totalSteps } = await search({
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

/** One ARC task under its augmentations; events and answer are as the server's. */
async function solveArc({ puzzle: sent, options }, asked, signal, emit) {
  const { models } = await described;
  const named = models.filter((model) => model.arc && (!options.model || model.name === options.model));
  if (named.length === 0) throw problem("no-model-for-task", "no model of this page solves ARC tasks");
  const [model] = named;
  const { augmentations = COPIES, ...others } = options;
  const most = Math.max(model.limits.chains, COPIES);
  if (!(Number.isSafeInteger(augmentations) && augmentations >= 1 && augmentations <= most)) {
    const detail = `augmentations: expected 1 to ${most} (the task itself counts), found ${augmentations}`;
    throw problem("invalid-option", detail);
  }
  const policy = policyOf(model.policy, model.limits, { ...others, augmentations: 0 });
  const { known, rows } = await arcOf(model);
  const puzzle = known.recognise(sent.puzzle ?? sent);
  const session = await loaded(model);
  const begun = performance.now();
  const ballots = puzzle.tests.map(() => new Ballot());
  const copies = puzzle.task.copies.slice(0, augmentations);
  const facts = { steps: 0, total_steps: 0 };
  for (const [index, augmented] of copies.entries()) {
    for (const test of puzzle.tests.keys()) {
      const copy = new Copy(puzzle, test, index, augmented);
      const size = model.arc.row_size;
      const row = rows.subarray(copy.row * size, (copy.row + 1) * size);
      const { answer, q, steps, totalSteps } = await search({
        puzzle: copy,
        model,
        policy,
        step: (tokens, state, noise) => compute(session, model, tokens, state, noise, row),
        onStep: (_, step, tokens, q) => emit(copy.event(step, tokens, q)),
        signal,
      });
      ballots[test].vote(copy.own(answer), q);
      facts.steps = Math.max(facts.steps, steps);
      facts.total_steps += totalSteps;
    }
  }
  const now = performance.now();
  return {
    puzzle: 0,
    task_id: puzzle.name,
    ...elected(puzzle, ballots),
    ...facts,
    augmentations: copies.length,
    cut_short: false,
    model: { name: model.name, sha256: model.sha256 },
    timings: { queue_ms: begun - asked, compute_ms: now - begun, total_ms: now - asked },
  };
}

/** The tasks that an ARC model knows, and its table of their rows. */
function arcOf({ name, arc }) {
  if (!arcData.has(name)) {
    const read = async () => {
      const [{ tasks }, bytes] = await Promise.all([json(arc.tasks), file(arc.rows)]);
      return { known: new KnownTasks(tasks), rows: new Float32Array(bytes) };
    };
    const data = read();
    arcData.set(name, data);
    // The next request tries again.
    data.catch(() => arcData.delete(name));
  }
  return arcData.get(name);
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
  if (model?.arc) await arcOf(model);
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
  const row = smallest.arc && new Float32Array(smallest.arc.row_size);
  await compute(session, smallest, Array(smallest.board_size ** 2).fill(WARM_UP_TOKEN), null, null, row);
  return session;
}

/** Starts the runtime's WebAssembly, which lies packed beside it, so that every file host sends few bytes. */
async function start() {
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.wasmBinary = await file(BINARY);
}

/** One supervision step of one chain; `row` is the puzzle's embedding, of models that have any. */
async function compute(session, model, tokens, state, noise, row = null) {
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
  if (row) inputs.puzzle_embeddings = new ort.Tensor("float32", row, [1, row.length / shape[1], shape[1]]);
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
