// A row of choices of which one holds: radio buttons in a fieldset. Owns building them; looks are in style.css.

/**
 * @param {HTMLFieldSetElement} host keeps its legend
 * @param {object} options
 * @param {string} options.name
 * @param {Array<{value: string, text: string, reason?: string|null}>} options.choices `reason` why one is not to be had
 * @param {(value: string) => void} options.onChoose
 * @returns {(value: string|null) => void} sets the choice without calling back; to none, if it is none of the choices
 */
export function segments(host, { name, choices, onChoose }) {
  const inputs = new Map();
  const labels = choices.map(({ value, text, reason }) => {
    const label = document.createElement("label");
    const input = document.createElement("input");
    const words = document.createElement("span");
    Object.assign(input, { type: "radio", name, value, disabled: Boolean(reason) });
    if (reason) label.title = reason;
    words.textContent = text;
    input.addEventListener("change", () => onChoose(value));
    label.append(input, words);
    inputs.set(value, input);
    return label;
  });
  host.replaceChildren(host.querySelector("legend"), ...labels);
  return (value) => {
    for (const [choice, input] of inputs) input.checked = choice === value;
  };
}
