//! The colours of all pictures. Owns what each means, the same in every task; leaves shapes to the drawings.

/// Red, green, blue.
pub type Rgb = [u8; 3];

/// ARC's ten colours, as on its own page.
pub const ARC_COLOURS: [Rgb; 10] = [
    [0x00, 0x00, 0x00],
    [0x00, 0x74, 0xD9],
    [0xFF, 0x41, 0x36],
    [0x2E, 0xCC, 0x40],
    [0xFF, 0xDC, 0x00],
    [0xAA, 0xAA, 0xAA],
    [0xF0, 0x12, 0xBE],
    [0xFF, 0x85, 0x1B],
    [0x7F, 0xDB, 0xFF],
    [0x87, 0x0C, 0x25],
];
/// Wall, free, start, goal and path, in the order of their tokens.
pub const MAZE_COLOURS: [Rgb; 5] = [INK, PAPER, START, GOAL, PATH];

/// Lines between the cells of ARC grids, as on its own page.
pub(super) const ARC_LINE: Rgb = [0x55, 0x55, 0x55];
/// Walls, givens, thick lines.
pub(super) const INK: Rgb = [0x26, 0x2B, 0x33];
/// Ground of cells.
pub(super) const PAPER: Rgb = [0xFF, 0xFF, 0xFF];
/// Ground of givens.
pub(super) const GIVEN: Rgb = [0xE6, 0xE9, 0xEE];
/// Thin lines.
pub(super) const LINE: Rgb = [0xA9, 0xB0, 0xBA];
/// What the model wrote.
pub(super) const ANSWER: Rgb = [0x17, 0x4E, 0xC2];
/// Cells that are wrong.
pub(super) const WRONG: Rgb = [0xD0, 0x1C, 0x1C];
/// Ground of cells that are wrong.
pub(super) const WRONG_PAPER: Rgb = [0xFB, 0xD9, 0xD6];
/// Frames around cells that changed in this step.
pub(super) const CHANGED: Rgb = [0xF5, 0x9E, 0x0B];
pub(super) const START: Rgb = [0x1E, 0x8E, 0x4A];
pub(super) const GOAL: Rgb = [0x7C, 0x3A, 0xC9];
pub(super) const PATH: Rgb = [0x2F, 0x7D, 0xE1];
/// Ground behind several grids, and captions.
pub(super) const BACKGROUND: Rgb = [0x1B, 0x1F, 0x26];
/// Around boards on that ground.
pub(super) const OUTLINE: Rgb = [0xC3, 0xC9, 0xD2];
/// Text on that ground.
pub(super) const TEXT: Rgb = [0xE8, 0xEB, 0xF0];
pub(super) const FAINT_TEXT: Rgb = [0x9A, 0xA3, 0xB0];
pub(super) const RIGHT_TEXT: Rgb = [0x55, 0xC7, 0x7F];
pub(super) const WRONG_TEXT: Rgb = [0xFF, 0x7B, 0x72];
/// Outer and inner ring around every picture: one of them stands out on a dark page, the other on a light one. No task
/// uses these colours, so that a reader knows the ring.
pub(super) const RINGS: [Rgb; 2] = [[0xF4, 0xF5, 0xF7], [0x3A, 0x41, 0x4D]];
