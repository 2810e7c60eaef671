// The page: finds out what is loaded, lets a visitor choose a task, solves, and shows the thinking.
// Owns the wiring of the parts and the address; leaves boards to the tasks, requests to api.js, playing to player.js.

import * as api from "./api.js";
import { Arc } from "./arc.js";
import { Chart, sureness } from "./chart.js";
import { Maze } from "./maze.js";
import { Player } from "./player.js";
import { Sudoku } from "./sudoku.js";
import { Thinking } from "./thinking.js";
import { blame, judge, number, plural, say, tell } from "./verdict.js";

const TASKS = { sudoku: Sudoku, maze: Maze, arc: Arc };
const find = (id) => document.getElementById(id);
const tabs = [...document.querySelectorAll("[role=tab]")];

/** Tasks that loaded models solve, by name; what GET /info says; its models with their kind and side. */
const tasks = new Map();
let about = null;
let models = [];
let task = null;
/** Tasks that a visitor has seen a puzzle of. */
const begun = new Set();
let thinking = null;
/** Ends the request that runs; null when none does. */
let running = null;

const graph = new Chart(find("chart"), (chain, index) => player.show(chain, index));
const player = new Player({ onShow: show, onRest: rest, onChains: chart });

await start();

async function start() {
  wire();
  try {
    await meet(await api.info());
  } catch (error) {
    fail(error);
  }
}

/** Builds the page for the models that are loaded. */
async function meet(info) {
  find("key-form").hidden = true;
  about = info;
  models = info.models.map((model) => ({ ...model, kind: kindOf(model.task), side: model.board_size }));
  for (const tab of tabs) {
    const kind = tab.dataset.task;
    const fitting = models.filter((model) => model.kind === kind);
    tab.setAttribute("aria-disabled", String(fitting.length === 0));
    tab.title = fitting.length ? "" : reason(tab);
    if (fitting.length && !tasks.has(kind)) {
      tasks.set(kind, new TASKS[kind](fitting, { onEdit: edited, onSolve: solve, say: announce, ask: (text) => api.read(kind, text) }));
    }
  }
  const first = tabs.map((tab) => tab.dataset.task).find((kind) => tasks.has(kind));
  if (!first) throw new Error("No model of a task that this page knows is loaded.");
  if (!(await visit())) {
    choose(first);
    await fill();
  }
  // Without them, a task's id can still be typed.
  await tasks.get("arc")?.prepare(api).catch(() => {});
}

function kindOf(name) {
  return Object.keys(TASKS).find((kind) => name.startsWith(kind));
}

function reason(tab) {
  return api.lacking(tab.textContent);
}

/** Says what thinks here: the model in a sentence, all of them at the foot. */
function introduce() {
  // Of several models that fit, the server asks the first.
  const { parameters } = models.find((model) => model.kind === task.name);
  const weights = new Intl.NumberFormat("en", { notation: "compact", compactDisplay: "long", maximumSignificantDigits: 2 });
  find("lede").textContent =
    `A network of ${weights.format(parameters)} weights reads its own answer again and again, ${task.purpose}.`;
  const { execution_provider: provider, threads } = about.runtime;
  // A model for boards of several sizes stands there once for each.
  const names = [...new Set(models.map((model) => model.name))].join(", ");
  find("footer").textContent = `${names} · ${provider}, ${plural(threads, "thread")} · version ${about.version}`;
}

function wire() {
  for (const tab of tabs) {
    tab.addEventListener("click", () => open(tab));
    tab.addEventListener("keydown", (event) => {
      const move = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!move) return;
      event.preventDefault();
      const next = tabs[(tabs.indexOf(tab) + move + tabs.length) % tabs.length];
      next.focus();
      open(next);
    });
  }
  find("solve").addEventListener("click", () => (running ? stop() : solve()));
  find("sample").addEventListener("click", () => fill(true));
  find("clear").addEventListener("click", () => task?.clear());
  find("link").addEventListener("click", copyLink);
  find("key-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    api.useKey(find("key").value);
    try {
      await meet(await api.info());
    } catch (error) {
      fail(error);
    }
  });
  document.addEventListener("paste", pasted);
  addEventListener("hashchange", () => visit());
}

function open(tab) {
  const isOpen = tab.getAttribute("aria-disabled") !== "true";
  find("tab-reason").textContent = isOpen ? "" : reason(tab);
  if (!isOpen || task?.name === tab.dataset.task) return;
  choose(tab.dataset.task);
  if (!begun.has(task)) fill();
}

function choose(kind) {
  task = tasks.get(kind);
  for (const tab of tabs) {
    const isChosen = tab.dataset.task === kind;
    tab.setAttribute("aria-selected", String(isChosen));
    tab.tabIndex = isChosen ? 0 : -1;
    const panel = find(`panel-${tab.dataset.task}`);
    panel.hidden = !isChosen;
    if (isChosen) panel.querySelector(".actions-place").append(find("actions"));
  }
  introduce();
  edited();
}

/** The puzzle in the address, if there is one. */
async function visit() {
  const [kind, text] = decodeURIComponent(location.hash.slice(1)).split(/=(.*)/s);
  if (!text || !tasks.has(kind) || (task?.name === kind && task.address === text)) return false;
  choose(kind);
  begun.add(task);
  try {
    await take(text);
  } catch (error) {
    say("error", "The address holds no puzzle", error.message);
  }
  return true;
}

/** Gives a text to the task, read by the server where it is not plain. */
async function take(text) {
  const current = task;
  const isPlain = current.isPlain?.(text) ?? true;
  const plain = isPlain ? text : await api.read(current.name, text);
  if (task === current) current.read(plain);
}

/** A sample; the very first one fails silently, because an empty board is a good beginning, too. */
async function fill(isAsked = false) {
  begun.add(task);
  try {
    await (isAsked ? task.sample(api) : task.first(api));
  } catch (error) {
    if (isAsked) fail(error);
  }
}

/** The puzzle is another one: what was thought about the former one is over. */
function edited() {
  running?.abort();
  thinking = null;
  player.reset();
  tell(null);
  find("readout").textContent = "\u00a0";
  offerModels();
  say("idle", "Ready", "Enter a puzzle or take a sample, then press Solve.");
}

function offerModels() {
  const select = document.querySelector("#options [name=model]");
  const fitting = models.filter((model) => model.kind === task?.name && (task.name !== "sudoku" || model.side === task.size));
  const names = fitting.map((model) => model.name);
  const options = [select.options[0], ...names.map((name) => new Option(name, name, false, name === select.value))];
  select.replaceChildren(...options);
  select.closest("label").hidden = names.length < 2;
}

/** What was chosen under "How hard to think"; what was left alone is the server's to decide. */
function options() {
  const fields = [...document.querySelectorAll("#options [name]")].filter((field) => field.value !== "" && !field.closest("label").hidden);
  return Object.fromEntries(fields.map((field) => [field.name, field.type === "number" ? Number(field.value) : field.value]));
}

async function solve() {
  if (!task) return;
  running?.abort();
  const controller = new AbortController();
  const own = new Thinking();
  try {
    const puzzle = task.request();
    const chosen = options();
    running = controller;
    thinking = own;
    busy(true);
    task.mark([]);
    task.show(null);
    tell(null);
    remember();
    say("thinking", "Thinking", "The first step is on its way.");
    player.follow(own);
    const onStep = (event) => {
      if (thinking === own) player.arrived(own.add(event));
    };
    const onProgress = (job) => {
      if (thinking === own) say("thinking", "Learning", learning(job));
    };
    const response = await api.solve(task.name, puzzle, chosen, onStep, controller.signal, onProgress);
    if (thinking !== own) return;
    own.response = response;
    player.answered();
    if (own.chains.size === 0) rest();
  } catch (error) {
    if (error.name !== "AbortError") fail(error);
  } finally {
    if (running === controller) {
      running = null;
      busy(false);
    }
  }
}

function stop() {
  running?.abort();
  player.reset();
  say("idle", "Stopped", "The model was told to stop.");
}

function busy(isBusy) {
  find("solve").textContent = isBusy ? "Stop" : "Solve";
  find("solve").classList.toggle("busy", isBusy);
}

/** Draws a step, and what it came to. */
function show({ frame, chain, index, count }) {
  task.show(frame);
  if (!frame) {
    find("readout").textContent = "The puzzle as it was given.";
    return;
  }
  find("readout").textContent = `Q ${number(frame.q)}, ${sureness(frame.q)} · ${task.describe(frame)}`;
  if (find("mind").dataset.state === "thinking") {
    const where = thinking.chains.size > 1 ? `${chain.label}, step ${frame.step}` : `Step ${frame.step}`;
    say("thinking", "Thinking", `${where}: ${task.describe(frame)}.`);
  }
}

/** How far the server is with a task that it must learn first. */
function learning({ state, ahead, step, steps, eta_seconds: eta }) {
  if (state === "queued") return ahead ? `No model knows this task; ${ahead} others are learned first.` : "No model knows this task; it is learned next.";
  const rest = eta === null ? "" : `, about ${Math.max(1, Math.round(eta / 60))} min to go`;
  return steps ? `No model knows this task. Step ${step} of ${steps}${rest}.` : "No model knows this task. Learning begins.";
}

function chart({ chain, index }) {
  graph.draw(thinking?.list ?? [], chain, index);
}

/** The playing has come to the answer. */
function rest() {
  const { response } = thinking;
  task.finish?.(response);
  tell(response);
  const [state, title, detail] = judge(task.name, response);
  say(state, title, detail);
  announce(`${title}. ${detail}`);
}

function fail(error) {
  player.reset();
  if (error.status === 401) find("key-form").hidden = false;
  const [state, title, detail] = blame(error);
  say(state, title, detail);
  task?.mark(error.conflict?.cells ?? []);
  announce(`${title}. ${detail}`);
}

function announce(text) {
  find("live").textContent = text;
}

/** Puts the puzzle into the address, so that it can be kept and sent. */
function remember() {
  const text = task.address;
  history.replaceState(null, "", text ? `#${task.name}=${encodeURIComponent(text)}` : location.pathname);
}

async function copyLink() {
  remember();
  try {
    await navigator.clipboard.writeText(location.href);
    announce("The link is in the clipboard.");
    find("link").textContent = "Copied";
  } catch {
    find("link").textContent = "It is in the address bar";
  }
  setTimeout(() => (find("link").textContent = "Copy link"), 2000);
}

/** Pasting anywhere but into a field means the board. */
async function pasted(event) {
  if (event.target instanceof Element && event.target.closest("input, textarea")) return;
  const text = event.clipboardData?.getData("text/plain") ?? "";
  if (!task || !text.trim()) return;
  event.preventDefault();
  try {
    await take(text);
    announce("Pasted.");
  } catch (error) {
    say("error", "What was pasted is not a puzzle of this kind", error.message);
    announce(error.message);
  }
}
