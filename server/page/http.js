// The server's interface as the page uses it: what is loaded, samples, and solving as a stream.
// Owns requests and their errors; leaves showing them to main.js. Addresses are relative: the page may lie below a path.

import { events } from "./events.js";
import { Problem } from "./problem.js";

const KEY = "trm-key";

/** What is loaded, as GET /info says. */
export function info() {
  return json("info");
}

/** Why there is no model of a kind. */
export function lacking(kind) {
  return `No model for ${kind} is loaded. Start the server with --checkpoint and the folder of one.`;
}

/** A puzzle in any form as the server reads it, in the plainest: the only reader of text that there is. */
export async function read(task, text) {
  const response = await request(`read/${task}`, { method: "POST", headers: { Accept: "application/json", "Content-Type": "text/plain" }, body: text });
  return [(await response.json()).puzzle].flat().join("\n");
}

/** A sample of a task: {puzzle, seed, …}; for ARC {task_ids}, or {task_id, task} of the one that is named. */
export function sample(task, query = {}) {
  if (query.task_id) return json(`samples/${task}/${encodeURIComponent(query.task_id)}`);
  return json(`samples/${task}?${new URLSearchParams(query)}`);
}

/**
 * Solves one puzzle and calls back for every step.
 * @param {string} task sudoku, maze or arc
 * @param {object|Blob} puzzle the request's object, or a picture
 * @param {object} options max_steps, halting, …
 * @param {(step: object) => void} onStep
 * @param {AbortSignal} signal
 * @param {(job: object) => void} [onProgress] for tasks that the server must learn first
 * @returns {Promise<object>} the response
 */
export async function solve(task, puzzle, options, onStep, signal, onProgress) {
  const isPicture = puzzle instanceof Blob;
  const query = isPicture ? `?${new URLSearchParams({ ...options, stream: "true" })}` : "";
  const response = await request(`solve/${task}${query}`, {
    method: "POST",
    signal,
    headers: { Accept: "text/event-stream", "Content-Type": isPicture ? puzzle.type : "application/json" },
    body: isPicture ? puzzle : JSON.stringify({ ...puzzle, ...options, stream: true }),
  });
  // A task that no model knows: a job learns it, and ends in the answer.
  const learns = response.status === 202;
  const { body } = learns ? await follow((await response.json()).id, signal) : response;
  for await (const { event, data } of events(body)) {
    const content = JSON.parse(data);
    if (event === "step") onStep(content);
    if (event === "progress") onProgress?.(content);
    if (event === "answer") return learns ? content.answer : content;
    if (event === "problem") throw new Problem(content, content.status);
  }
  throw new Problem({ title: "Cut off", detail: "The stream ended before the answer; try again." }, 0);
}

/** Sends this key with every request until the window is closed. */
export function useKey(key) {
  sessionStorage.setItem(KEY, key);
}

/** The events of a job. */
function follow(id, signal) {
  return request(`jobs/${id}/events`, { signal, headers: { Accept: "text/event-stream" } });
}

async function json(path) {
  return (await request(path, { headers: { Accept: "application/json" } })).json();
}

async function request(path, init) {
  const headers = new Headers(init.headers);
  const key = sessionStorage.getItem(KEY);
  if (key) headers.set("Authorization", `Bearer ${key}`);
  let response;
  try {
    response = await fetch(path, { ...init, headers });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem({ title: "No connection", detail: "The server cannot be reached; is it still running?" }, 0);
  }
  if (!response.ok) throw new Problem(await response.json().catch(() => ({})), response.status);
  return response;
}
