// A grid of cells that keyboard, pointer and screen reader can walk (WAI-ARIA "grid" with roving focus).
// Owns focus and drawing of cells; leaves their meaning to the task that holds the grid.

/**
 * How a cell looks.
 * @typedef {{text?: string, classes: string, label: string}} Look
 */

export class Grid {
  #cells = [];
  #cursor = 0;
  #columns = 0;
  #dragging = false;
  #last = -1;

  /**
   * @param {HTMLElement} host
   * @param {object} handlers
   * @param {string} handlers.label name of the grid
   * @param {(index: number, event: KeyboardEvent) => boolean} handlers.onKey true when the key meant something
   * @param {(index: number, isFirst: boolean) => void} [handlers.onDraw] a cell under a pressed pointer
   */
  constructor(host, { label, onKey, onDraw }) {
    this.host = host;
    this.onKey = onKey ?? (() => false);
    this.onDraw = onDraw;
    host.setAttribute("role", "grid");
    host.setAttribute("aria-label", label);
    host.addEventListener("keydown", (event) => this.#key(event));
    host.addEventListener("focusin", (event) => this.#rove(this.#indexOf(event.target)));
    host.addEventListener("pointerdown", (event) => this.#press(event));
    host.addEventListener("pointermove", (event) => this.#drag(event));
    for (const end of ["pointerup", "pointercancel"]) {
      host.addEventListener(end, () => (this.#dragging = false));
    }
  }

  get cursor() {
    return this.#cursor;
  }

  /** Makes it a grid of this many cells, blank until painted. */
  resize(rows, columns) {
    if (this.#cells.length === rows * columns && this.#columns === columns) return;
    this.#columns = columns;
    this.#cursor = 0;
    this.#cells = [];
    this.host.style.setProperty("--rows", rows);
    this.host.style.setProperty("--columns", columns);
    const lines = Array.from({ length: rows }, () => {
      const line = document.createElement("div");
      line.setAttribute("role", "row");
      for (let column = 0; column < columns; column++) {
        const cell = document.createElement("div");
        cell.setAttribute("role", "gridcell");
        cell.dataset.index = this.#cells.length;
        cell.tabIndex = this.#cells.length === 0 ? 0 : -1;
        this.#cells.push(cell);
        line.append(cell);
      }
      return line;
    });
    this.host.replaceChildren(...lines);
  }

  /** Draws every cell as `look` says. */
  paint(look) {
    this.#cells.forEach((cell, index) => {
      const { text = "", classes, label } = look(index);
      if (cell.textContent !== text) cell.textContent = text;
      if (cell.className !== classes) cell.className = classes;
      if (cell.getAttribute("aria-label") !== label) cell.setAttribute("aria-label", label);
    });
  }

  /** Lets cells light up and fade. */
  glow(indices) {
    if (matchMedia("(prefers-reduced-motion: reduce)").matches) return;
    for (const running of this.host.getAnimations({ subtree: true })) running.cancel();
    const light = getComputedStyle(this.host).getPropertyValue("--glow");
    for (const index of indices) {
      this.#cells[index]?.animate(
        [
          { boxShadow: `inset 0 0 0 2px ${light}, 0 0 18px 2px ${light}`, transform: "scale(1.06)", zIndex: 2 },
          { boxShadow: `inset 0 0 0 2px ${light}, 0 0 10px 0 ${light}`, transform: "scale(1)", zIndex: 2, offset: 0.35 },
          { boxShadow: "inset 0 0 0 0 transparent, 0 0 0 0 transparent", transform: "scale(1)", zIndex: 1 },
        ],
        { duration: 900, easing: "ease-out" },
      );
    }
  }

  /** Moves the focus to a cell. */
  focus(index) {
    this.#cells[Math.min(Math.max(index, 0), this.#cells.length - 1)]?.focus({ preventScroll: false });
  }

  #indexOf(target) {
    const cell = target instanceof Element ? target.closest("[role=gridcell]") : null;
    return cell && this.host.contains(cell) ? Number(cell.dataset.index) : -1;
  }

  /** Exactly one cell is in the order of tabs. */
  #rove(index) {
    if (index < 0) return;
    const former = this.#cells[this.#cursor];
    if (former) former.tabIndex = -1;
    this.#cursor = index;
    this.#cells[index].tabIndex = 0;
  }

  #key(event) {
    const index = this.#indexOf(event.target);
    if (index < 0 || event.altKey || event.metaKey) return;
    const column = index % this.#columns;
    const moves = {
      ArrowLeft: column > 0 ? index - 1 : index,
      ArrowRight: column < this.#columns - 1 ? index + 1 : index,
      ArrowUp: index - this.#columns,
      ArrowDown: index + this.#columns,
      Home: event.ctrlKey ? 0 : index - column,
      End: event.ctrlKey ? this.#cells.length - 1 : index - column + this.#columns - 1,
    };
    if (event.key in moves) {
      event.preventDefault();
      const target = moves[event.key];
      if (target >= 0 && target < this.#cells.length) this.focus(target);
    } else if (!event.ctrlKey && this.onKey(index, event)) {
      event.preventDefault();
    }
  }

  #press(event) {
    const index = this.#indexOf(event.target);
    if (index < 0 || event.button !== 0) return;
    event.preventDefault();
    this.#cells[index].focus({ preventScroll: true });
    if (!this.onDraw) return;
    this.#dragging = true;
    this.#last = index;
    this.onDraw(index, true);
  }

  #drag(event) {
    if (!this.#dragging || event.buttons === 0) return;
    // A finger keeps its events at the cell where it went down.
    const index = this.#indexOf(document.elementFromPoint(event.clientX, event.clientY));
    if (index < 0 || index === this.#last) return;
    for (const cell of this.#between(this.#last, index)) this.onDraw(cell, false);
    this.#last = index;
  }

  /** The cells of the line to `to`, which a fast pointer jumps over. */
  *#between(from, to) {
    const [row, column] = [Math.floor(from / this.#columns), from % this.#columns];
    const rows = Math.floor(to / this.#columns) - row;
    const columns = (to % this.#columns) - column;
    const length = Math.max(Math.abs(rows), Math.abs(columns));
    for (let at = 1; at <= length; at++) {
      yield (row + Math.round((rows * at) / length)) * this.#columns + column + Math.round((columns * at) / length);
    }
  }
}
