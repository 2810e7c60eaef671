// What the page says about a thinking: the verdict in words, and the facts beside it.
// Owns wording only; the server decides what is verified.

const STOPPED = {
  verified: "the answer obeys the rules",
  q: "the model was sure",
  stable: "the answer no longer changed",
  steps: "all steps were taken",
  vote: "the chains voted",
  deadline: "time was up",
};

/** Shows a state of the page: idle, thinking, verified, unverified, contradictory or error. */
export function say(state, title, detail) {
  document.getElementById("mind").dataset.state = state;
  document.getElementById("verdict-title").textContent = title;
  document.getElementById("verdict-detail").textContent = detail;
}

/** The verdict on an answer. */
export function judge(task, response) {
  const steps = plural(response.total_steps ?? response.steps, "step");
  if (task === "arc") return judgeArc(response);
  if (response.verified) {
    const what =
      task === "maze"
        ? `Code followed the path: ${plural(response.path_length ?? 0, "cell")}, and none is shorter.`
        : "Code checked every row, column and box, and all givens.";
    return ["verified", "Verified", `${what} Found after ${steps} in ${ms(response.timings.compute_ms)} of thinking.`];
  }
  const why = response.stopped === "deadline" ? "Time was up before an answer obeyed the rules" : `${steps}, and no answer obeyed the rules`;
  return ["unverified", "Not verified", `${why}. You see the last attempt, with what is wrong marked. More steps or restarts may find it.`];
}

/** The verdict on a failure. */
export function blame(problem) {
  if (problem.name === "contradictory-givens") return ["contradictory", "Contradictory givens", sentence(problem.message)];
  if (problem.retryAfter) return ["error", "Busy", `${sentence(problem.message)} Try again in ${problem.retryAfter} s.`];
  return ["error", problem.title ?? "That did not work", sentence(problem.message)];
}

/** Fills the list of facts; empty without a response. */
export function tell(response) {
  const facts = [];
  if (response) {
    const { timings, model } = response;
    facts.push(["Steps", response.total_steps > response.steps ? `${response.steps} of ${response.total_steps} in all` : response.steps]);
    if (response.augmentations) facts.push(["Copies", response.augmentations]);
    if (response.chains > 1) facts.push(["Chains", response.chains]);
    if (response.votes > 1) facts.push(["Votes", response.votes]);
    if (Number.isFinite(response.q)) facts.push(["Q", number(response.q)]);
    facts.push(["Thinking", ms(timings.compute_ms)], ["Waiting", ms(timings.queue_ms)], ["In all", ms(timings.total_ms)]);
    if (response.stopped) facts.push(["Ended because", STOPPED[response.stopped] ?? response.stopped]);
    facts.push(["Model", `${model.name} · ${model.sha256.slice(0, 12)}`]);
  }
  const rows = facts.map(([name, value]) => {
    const row = document.createElement("div");
    row.className = name === "Model" ? "wide" : "";
    const [term, description] = [document.createElement("dt"), document.createElement("dd")];
    term.textContent = name;
    description.textContent = String(value);
    row.append(term, description);
    return row;
  });
  document.getElementById("facts").replaceChildren(...rows);
}

/** `1 step`, `12 steps`. */
export function plural(count, noun) {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}

/** Two digits, with a proper minus. */
export function number(value) {
  return value.toFixed(2).replace("-", "\u2212");
}

function judgeArc(response) {
  if (response.verified) return ["verified", "Solved", "For every test, an attempt equals the known output."];
  if (response.solved === false) return ["unverified", "Not solved", "For one test at least, no attempt equals the known output."];
  const late = response.cut_short ? " Time was up before all copies were done." : "";
  return ["answered", "Two attempts", `There is no output to check them against. They are ranked by the votes of all copies.${late}`];
}

/** The server's messages are parts of a sentence. */
function sentence(text) {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}${/[.!?]$/.test(text) ? "" : "."}`;
}

function ms(value) {
  return value < 10 ? `${value.toFixed(1)} ms` : value < 1000 ? `${Math.round(value)} ms` : `${(value / 1000).toFixed(1)} s`;
}
