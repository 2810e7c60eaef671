// Puzzles as text, in the forms that are common and can be read in one way only: what a page without a server takes.
// Everything else is refused with a sentence. What is read here, the server reads as the same board; it reads more.

import { Problem } from "../page/problem.js";

const SIZES = [4, 6, 9, 16];
/** Characters that stand for a blank; one kind in each text. */
const BLANKS = ".0_*?";
/** What people draw around cells. */
const DRAWN = /[\s|,;[\]"'│┃║]/g;
/** A line that is a ruler between boxes, and one that says something about the puzzle. */
const RULER = /^[\s|+=:─━═┼╋╬├┤┌┐└┘┬┴╠╣╔╗╚╝╦╩│┃║-]*$/;
const COMMENT = /^\s*#/;

/** The cells of a Sudoku as one line, dots for blanks. Throws why it cannot be read. */
export function readSudoku(text) {
  const lines = linesOf(text).filter((line) => !RULER.test(line) && !COMMENT.test(line));
  const words = lines.map((line) => line.split(DRAWN).filter(Boolean));
  const isNumbers = words.flat().length === 256 && words.flat().some((word) => word.length > 1);
  const rows = isNumbers ? words.map((row) => row.map(numbered)) : lines.map((line) => [...line.replace(DRAWN, "")]);
  const size = Math.sqrt(rows.flat().length);
  if (!SIZES.includes(size)) {
    throw refusal(`these are ${rows.flat().length} cells; a board has 16, 36, 81 or 256`);
  }
  const isCandidates =
    !isNumbers &&
    words.length === size &&
    words.every((row) => row.length === size) &&
    words.flat().some((word) => word.length > 1);
  if (isCandidates)
    throw refusal("cells hold several digits, candidates perhaps; write one digit or a dot for each cell");
  if (rows.length !== 1 && !(rows.length === size && rows.every((row) => row.length === size))) {
    throw refusal(
      `the lines do not make ${size} rows of ${size} cells; write one row per line, or all cells in one line`,
    );
  }
  const cells = rows.flat().map((character) => character.toUpperCase());
  const blanks = [...BLANKS].filter((blank) => cells.includes(blank));
  if (blanks.length > 1) throw refusal(`both ${blanks[0]} and ${blanks[1]} stand in it; write all blanks as dots`);
  if (size === 16 && blanks[0] === "0" && !isNumbers) {
    throw refusal(
      "on boards of 16 rows 0 may be a blank or a digit; write blanks as dots, and digits as 1 to 9 and A to G",
    );
  }
  if (size === 16 && rows.length === 16 && cells.every((cell) => BLANKS.includes(cell) || "1234".includes(cell))) {
    throw refusal(
      "this may be one board or sixteen boards of 4 rows; write the board in one line, or one of them alone",
    );
  }
  const highest = SIZES.includes(size) && "0123456789ABCDEFG"[size];
  const wrong = cells.find((cell) => !BLANKS.includes(cell) && !(/^[1-9A-G]$/.test(cell) && cell <= highest));
  if (wrong) throw refusal(`“${wrong}” is not a cell of a board of ${size} rows; expected digits, and dots for blanks`);
  return cells.map((cell) => (BLANKS.includes(cell) ? "." : cell)).join("");
}

/** Numbers up to 16 as one character. */
function numbered(word) {
  if (BLANKS.includes(word)) return word;
  const value = /^\d+$/.test(word) ? Number(word) : 0;
  if (value < 1 || value > 16)
    throw refusal(`“${word}” is not a number of a board of 16 rows; expected 1 to 16, and 0 or a dot for blanks`);
  return value.toString(17);
}

/** A maze as lines of #, dots, S and G. Throws why it cannot be read. */
export function readMaze(text) {
  const lines =
    text.includes("\n") || !text.includes("/")
      ? plain(text)
          .replaceAll(/^\n+|\n+$/g, "")
          .split("\n")
      : text.split("/");
  if (lines.some((line) => line.trim() === ""))
    throw refusal("a line is blank, which may be a row of free cells or none; write free cells as dots");
  if (lines.length === 1) {
    const side = Math.sqrt(lines[0].length);
    if (!Number.isInteger(side) || side < 2) {
      throw refusal("one line alone holds all cells of a square; write a line for each row");
    }
    return readMaze(Array.from({ length: side }, (_, row) => lines[0].slice(row * side, (row + 1) * side)).join("\n"));
  }
  const strange = lines.join("").match(/[^# .SGo█]/);
  if (strange) throw refusal(`“${strange[0]}” is not a cell of a maze; expected # wall, a dot or blank free, S and G`);
  const [marks, longest] = [lines.join(""), Math.max(...lines.map((line) => line.length))];
  if (marks.includes("#") && marks.includes("█")) throw refusal("both # and █ stand in it; write all walls alike");
  if (marks.includes(" ")) {
    if (marks.includes(".")) throw refusal("both dots and blanks stand in it; write all free cells as dots");
    // A blank at an end of a line may be a cell or nothing.
    if (lines.some((line) => line !== line.trim()))
      throw refusal("a line begins or ends in blanks; write free cells as dots");
    const isSpaced = lines.every((line) => [...line].every((mark, column) => column % 2 === 0 || mark === " "));
    if (isSpaced) throw refusal("every second column is blank; write free cells as dots, without blanks between cells");
  }
  if (lines.some((line) => line.length !== longest)) throw refusal("the lines of a maze have equal length");
  return lines.map((line) => line.replaceAll(" ", ".").replaceAll("o", ".").replaceAll("█", "#")).join("\n");
}

/** The lines with something on them. */
function linesOf(text) {
  return plain(text)
    .split("\n")
    .filter((line) => line.trim() !== "");
}

/** Without a byte-order mark, with plain ends of lines and plain blanks. */
function plain(text) {
  return text
    .replace(/^\ufeff/, "")
    .replaceAll(/\r\n?/g, "\n")
    .replaceAll("\u00a0", " ");
}

function refusal(why) {
  return new Problem(
    {
      type: "urn:trm:problem:ambiguous-puzzle",
      title: "Not read",
      detail: `Without a server this page reads the plain forms only: ${why}.`,
    },
    422,
  );
}
