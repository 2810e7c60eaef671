// The chart of a thinking: what the Q head says at every step as a line for each chain, and how many cells changed as
// bars. Owns drawing and the choice of a step by pointer; keyboards use the slider.

const SVG = "http://www.w3.org/2000/svg";
const HEIGHT = 150;
const PLOT = { left: 44, right: 12, top: 12, bottom: 24 };

/** How sure the Q head is: its value is the logit of "all cells are right". */
export function confidence(q) {
  return 1 / (1 + Math.exp(-q));
}

/** The same in words, which promise neither certainty nor none. */
export function sureness(q) {
  const share = confidence(q) * 100;
  if (share > 99.9) return "over 99.9 % sure";
  if (share < 0.1) return "under 0.1 % sure";
  return `${share.toFixed(share > 99 || share < 1 ? 1 : 0)} % sure`;
}

export class Chart {
  #marks = [];
  #width = 480;
  #drawn = [[], null, 0];

  /**
   * @param {SVGElement} host
   * @param {(chain: object, index: number) => void} onPick
   */
  constructor(host, onPick) {
    this.host = host;
    host.addEventListener("click", (event) => {
      const box = host.getBoundingClientRect();
      const [x, y] = [event.clientX - box.left, event.clientY - box.top];
      const distance = (mark) => Math.hypot(mark.x - x, (mark.y - y) / 4);
      const nearest = this.#marks.toSorted((one, other) => distance(one) - distance(other))[0];
      if (nearest) onPick(nearest.chain, nearest.index);
    });
    // One unit is one pixel, so that words keep their size on every screen.
    new ResizeObserver(([{ contentRect }]) => {
      this.#width = Math.max(contentRect.width, 200);
      this.draw(...this.#drawn);
    }).observe(host);
    this.draw(...this.#drawn);
  }

  /** Draws all chains, the chosen one in front with its bars, and where the playing stands. */
  draw(chains, chosen, index) {
    this.#drawn = [chains, chosen, index];
    this.host.setAttribute("viewBox", `0 0 ${this.#width} ${HEIGHT}`);
    const longest = Math.max(4, ...chains.map((chain) => chain.frames.length));
    const most = Math.max(1, ...chains.flatMap((chain) => chain.frames.map((frame) => frame.changed.length)));
    const [width, height] = [this.#width - PLOT.left - PLOT.right, HEIGHT - PLOT.top - PLOT.bottom];
    const x = (step) => PLOT.left + (width * (step - 0.5)) / longest;
    const y = (share) => PLOT.top + height * (1 - share);
    const parts = [1, 0.5, 0].flatMap((share) => [
      shape("line", { class: share === 0.5 ? "rule dashed" : "rule", x1: PLOT.left, x2: this.#width - PLOT.right, y1: y(share), y2: y(share) }),
      words(`${share * 100} %`, { class: "axis", x: PLOT.left - 8, y: y(share) + 4, "text-anchor": "end" }),
    ]);
    const every = Math.ceil((longest * 24) / width);
    for (let step = 1; step <= longest; step++) {
      if ((step - 1) % every === 0) {
        parts.push(words(String(step), { class: "axis", x: x(step), y: HEIGHT - 6, "text-anchor": "middle" }));
      }
    }
    const bar = Math.min(22, (width / longest) * 0.56);
    chosen?.frames.forEach((frame, at) => {
      const share = frame.changed.length / most;
      parts.push(shape("rect", { class: at < index ? "bar" : "bar ahead", x: x(at + 1) - bar / 2, width: bar, y: y(share), height: height * share, rx: 2 }));
    });
    this.#marks = [];
    for (const chain of [...chains.filter((one) => one !== chosen), ...(chosen ? [chosen] : [])]) {
      const points = chain.frames.map((frame, at) => ({ x: x(at + 1), y: y(confidence(frame.q)), chain, index: at + 1 }));
      this.#marks.push(...points);
      const role = chain === chosen ? "line chosen" : "line";
      parts.push(shape("polyline", { class: role, points: points.map((point) => `${point.x},${point.y}`).join(" ") }));
      if (chain === chosen) {
        parts.push(...points.map((point) => shape("circle", { class: point.index === index ? "dot here" : "dot", cx: point.x, cy: point.y, r: point.index === index ? 6 : 3 })));
      }
    }
    this.host.replaceChildren(...parts);
    this.host.setAttribute("aria-label", describe(chains, chosen));
  }
}

function describe(chains, chosen) {
  if (!chosen?.frames.length) return "No steps yet";
  const shares = chosen.frames.map((frame) => `${Math.round(confidence(frame.q) * 100)} %`);
  return `${chains.length > 1 ? `${chosen.label}: c` : "C"}onfidence by step: ${shares.join(", ")}`;
}

function shape(name, attributes) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}

function words(text, attributes) {
  const element = shape("text", attributes);
  element.textContent = text;
  return element;
}
