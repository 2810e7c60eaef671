//! Pictures read back: mazes (coloured cells of any size, letters for start and goal, signs for walls) and ARC grids.
//! Owns limits, the search for the grid and what colours mean; leaves checking a maze to [`crate::maze`].

use std::io::Cursor;

use image::{DynamicImage, ImageFormat, ImageReader, Limits, Rgb as Pixel, RgbImage, Rgba};

use super::PictureError;
use super::canvas::{Area, Picture, RING};
use super::colours::{ARC_COLOURS, RINGS, Rgb};
use super::font::{Glyph, Size};
use crate::arc::{Grid, MAX_SIDE};
use crate::maze::{Cell, MazeDrawing, MazeShape, Spelling};

/// Most bytes of a PNG file.
pub const MAX_PICTURE_BYTES: u64 = 16 << 20;
/// Most pixels per side of a picture.
pub const MAX_PICTURE_SIDE: u32 = 2048;
/// Memory of a decoded picture: eight bytes for each of its pixels, and the decoder's own buffers.
const MAX_DECODED_BYTES: u64 = 64 << 20;
/// Most pixels of the lines between cells.
const MAX_LINE: u32 = 3;
/// Difference per channel that compression and smoothing of one colour may make.
const TOLERANCE: u8 = 24;
/// Difference per channel from which a pixel is ink on its ground.
const INK_CONTRAST: u8 = 56;
/// Ends of paths of a maze picture that is no larger than this could be anything.
const MIN_MAZE_SIDE: usize = 3;
/// Columns and rows that a sign's ink is reduced to for comparison.
const SIGN: (usize, usize) = (8, 10);

/// Reads a maze or an answer: dark cells (or the sign `#`) are walls, light ones free, a green cell or the letter S is
/// the start, a red or purple cell or the letter G the goal, blue cells or marks and the letter o are path. Cells may have
/// any size down to one pixel, with or without thin lines between them.
///
/// # Errors
/// When the bytes are not a PNG within the limits, the picture is not a grid of equal cells, or a cell means nothing.
pub fn read_maze(bytes: &[u8]) -> Result<MazeDrawing, PictureError> {
    let image = decode(bytes)?;
    let sides = MIN_MAZE_SIDE..=MazeShape::MAX_SIDE;
    let no_grid = PictureError::NoGrid {
        width: image.width(),
        height: image.height(),
        expected: "a maze of 3 to 255 rows and columns",
    };
    let fits = |rows: usize, columns: usize| sides.contains(&rows) && sides.contains(&columns);
    let lattice = Lattice::find(&image, fits, |_| true).ok_or(no_grid.clone())?;
    let cells = (0..lattice.rows * lattice.columns).map(|cell| {
        let (row, column) = (cell / lattice.columns, cell % lattice.columns);
        maze_cell(&image, lattice.area(row, column)).map_err(|found| PictureError::Cell {
            row: row + 1,
            column: column + 1,
            found,
            expected: "dark (wall), light (free), green or S (start), red, purple or G (goal), blue or o (path)",
        })
    });
    let cells = cells.collect::<Result<_, _>>()?;
    MazeDrawing::from_cells(lattice.columns, cells, Spelling::REFERENCE).map_err(|_| no_grid)
}

/// Reads an ARC grid: cells of the ten colours, of any equal size, with or without thin lines between them.
///
/// Without lines, a picture of one colour is a grid of one cell.
///
/// # Errors
/// When the bytes are not a PNG within the limits, the picture is not a grid of at most 30×30 cells, or a colour is none of ARC's.
pub fn read_arc_grid(bytes: &[u8]) -> Result<Grid, PictureError> {
    let image = decode(bytes)?;
    let no_grid = || PictureError::NoGrid {
        width: image.width(),
        height: image.height(),
        expected: "an ARC grid of 1 to 30 rows and columns",
    };
    let fits = |rows: usize, columns: usize| (1..=MAX_SIDE).contains(&rows) && (1..=MAX_SIDE).contains(&columns);
    let lattice = Lattice::find(&image, fits, |line| arc_colour(line).is_none()).ok_or_else(no_grid)?;
    let mut cells = Vec::with_capacity(lattice.rows * lattice.columns);
    for row in 0..lattice.rows {
        for column in 0..lattice.columns {
            let area = lattice.area(row, column);
            let ground = image.pixel(area.x, area.y);
            cells.push(arc_colour(ground).ok_or_else(|| PictureError::Cell {
                row: row + 1,
                column: column + 1,
                found: format!("the colour #{:02X}{:02X}{:02X}", ground[0], ground[1], ground[2]),
                expected: "one of ARC's ten colours",
            })?);
        }
    }
    Grid::from_cells(lattice.rows, lattice.columns, cells).map_err(|_| no_grid())
}

/// Decodes within the limits, which are checked before pixels are allocated, and takes our own rings off.
fn decode(bytes: &[u8]) -> Result<Picture, PictureError> {
    if bytes.len() as u64 > MAX_PICTURE_BYTES {
        return Err(PictureError::TooManyBytes);
    }
    let failed = |error: image::ImageError| PictureError::Decode { reason: error.to_string() };
    let mut reader = ImageReader::with_format(Cursor::new(bytes), ImageFormat::Png);
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_PICTURE_SIDE);
    limits.max_image_height = Some(MAX_PICTURE_SIDE);
    limits.max_alloc = Some(MAX_DECODED_BYTES);
    reader.limits(limits);
    Ok(without_rings(Picture::of_image(on_white(reader.decode().map_err(failed)?))))
}

/// Transparent cells are free ones, as on a white page.
fn on_white(image: DynamicImage) -> RgbImage {
    if !image.color().has_alpha() {
        return image.into_rgb8();
    }
    let image = image.into_rgba8();
    RgbImage::from_fn(image.width(), image.height(), |x, y| {
        let Rgba([red, green, blue, alpha]) = *image.get_pixel(x, y);
        let blend = |channel: u8| (u16::from(channel) * u16::from(alpha) + 255 * (255 - u16::from(alpha))) / 255;
        Pixel([red, green, blue].map(|channel| blend(channel) as u8))
    })
}

fn without_rings(image: Picture) -> Picture {
    let margin = RING * RINGS.len() as u32;
    let (width, height) = (image.width(), image.height());
    if width <= 2 * margin || height <= 2 * margin {
        return image;
    }
    let is_ring = |depth: u32| {
        let colour = RINGS[(depth / RING) as usize];
        let (right, bottom) = (width - 1 - depth, height - 1 - depth);
        (depth..=right).all(|x| image.pixel(x, depth) == colour && image.pixel(x, bottom) == colour)
            && (depth..=bottom).all(|y| image.pixel(depth, y) == colour && image.pixel(right, y) == colour)
    };
    if (0..margin).all(is_ring) { image.cropped(Area { x: 0, y: 0, width, height }.inset(margin)) } else { image }
}

/// Equal cells with lines of one thickness around them, possibly none.
#[derive(Debug, Clone, Copy)]
struct Lattice {
    rows: usize,
    columns: usize,
    /// Pixels from a cell's beginning to the next one's.
    pitch: u32,
    line: u32,
}

impl Lattice {
    /// The lattice of the largest cells that have a ground of one colour each; lines have a colour of their own, that
    /// `may_be_line` accepts.
    fn find(image: &Picture, fits: impl Fn(usize, usize) -> bool, may_be_line: impl Fn(Rgb) -> bool) -> Option<Self> {
        let (width, height) = (image.width(), image.height());
        let mut candidates = Vec::new();
        for line in (0..=MAX_LINE).rev() {
            for pitch in (line + 1..=width.min(height).saturating_sub(line)).rev() {
                let cells =
                    |length: u32| (length - line).is_multiple_of(pitch).then(|| ((length - line) / pitch) as usize);
                if let (Some(rows), Some(columns)) = (cells(height), cells(width))
                    && fits(rows, columns)
                {
                    candidates.push(Self { rows, columns, pitch, line });
                }
            }
        }
        candidates
            .into_iter()
            .find(|lattice| lattice.has_clear_lines(image, &may_be_line) && lattice.has_clear_cells(image))
    }

    fn area(&self, row: usize, column: usize) -> Area {
        let start = |index: usize| index as u32 * self.pitch + self.line;
        let side = self.pitch - self.line;
        Area { x: start(column), y: start(row), width: side, height: side }
    }

    /// Whether all lines have one colour, which is not a cell's.
    fn has_clear_lines(&self, image: &Picture, may_be_line: impl Fn(Rgb) -> bool) -> bool {
        if self.line == 0 {
            return true;
        }
        let colour = image.pixel(0, 0);
        let is_line = |x: u32, y: u32| x % self.pitch < self.line || y % self.pitch < self.line;
        may_be_line(colour)
            && self.grounds(image).all(|ground| differs(ground, colour, TOLERANCE))
            && (0..image.height())
                .all(|y| (0..image.width()).all(|x| !is_line(x, y) || !differs(image.pixel(x, y), colour, TOLERANCE)))
    }

    /// Whether the edge of each cell has one colour.
    fn has_clear_cells(&self, image: &Picture) -> bool {
        (0..self.rows * self.columns).all(|cell| {
            let area = self.area(cell / self.columns, cell % self.columns);
            let ground = image.pixel(area.x, area.y);
            let same = |x: u32, y: u32| !differs(image.pixel(x, y), ground, TOLERANCE);
            let (right, bottom) = (area.x + area.width - 1, area.y + area.height - 1);
            (area.x..=right).all(|x| same(x, area.y) && same(x, bottom))
                && (area.y..=bottom).all(|y| same(area.x, y) && same(right, y))
        })
    }

    fn grounds(&self, image: &Picture) -> impl Iterator<Item = Rgb> {
        (0..self.rows * self.columns).map(|cell| {
            let area = self.area(cell / self.columns, cell % self.columns);
            image.pixel(area.x, area.y)
        })
    }
}

/// What a maze's cell is, by its ground and by the sign on it.
fn maze_cell(image: &Picture, area: Area) -> Result<Cell, String> {
    let ground = image.pixel(area.x, area.y);
    match hue_of(ground) {
        Hue::Green => return Ok(Cell::Start),
        Hue::Red | Hue::Purple => return Ok(Cell::Goal),
        Hue::Blue => return Ok(Cell::Path),
        Hue::Other => return Err(format!("the colour #{:02X}{:02X}{:02X}", ground[0], ground[1], ground[2])),
        Hue::Dark | Hue::Light => {}
    }
    let plain = if hue_of(ground) == Hue::Dark { Cell::Wall } else { Cell::Free };
    let Some(ink) = Ink::of(image, area, ground) else { return Ok(plain) };
    match hue_of(ink.colour) {
        Hue::Green => Ok(Cell::Start),
        Hue::Purple => Ok(Cell::Goal),
        Hue::Blue if ink.is_filled() => Ok(Cell::Path),
        _ => ink.sign().ok_or_else(|| "a sign that is none of S, G, o and #".to_owned()),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hue {
    Dark,
    Light,
    Red,
    Green,
    Blue,
    Purple,
    Other,
}

fn hue_of([red, green, blue]: Rgb) -> Hue {
    let [red, green, blue] = [red, green, blue].map(f32::from);
    let (most, least) = (red.max(green).max(blue), red.min(green).min(blue));
    if most - least < 60.0 {
        return match most {
            0.0..=110.0 => Hue::Dark,
            150.0..=255.0 => Hue::Light,
            _ => Hue::Other,
        };
    }
    let degrees = if most <= red {
        60.0 * (green - blue) / (most - least)
    } else if most <= green {
        60.0 * (blue - red) / (most - least) + 120.0
    } else {
        60.0 * (red - green) / (most - least) + 240.0
    };
    match degrees.rem_euclid(360.0) {
        0.0..=25.0 | 335.0..=360.0 => Hue::Red,
        80.0..=170.0 => Hue::Green,
        185.0..=245.0 => Hue::Blue,
        250.0..335.0 => Hue::Purple,
        _ => Hue::Other,
    }
}

/// What is drawn on a cell's ground.
struct Ink {
    colour: Rgb,
    /// Pixels of the smallest rectangle around it, row by row: whether each is ink.
    mask: Vec<bool>,
    width: usize,
}

impl Ink {
    fn of(image: &Picture, area: Area, ground: Rgb) -> Option<Self> {
        let pixels = || (area.y..area.y + area.height).flat_map(|y| (area.x..area.x + area.width).map(move |x| (x, y)));
        let is_ink = |&(x, y): &(u32, u32)| differs(image.pixel(x, y), ground, INK_CONTRAST);
        // The colour that differs most is the ink's own, the rest is smoothing.
        let contrast = |&(x, y): &(u32, u32)| {
            let colour = image.pixel(x, y);
            (0..3).map(|channel| u32::from(colour[channel].abs_diff(ground[channel]))).sum::<u32>()
        };
        let strongest = pixels().filter(is_ink).max_by_key(contrast)?;
        let (columns, rows) =
            pixels().filter(is_ink).fold(((u32::MAX, 0), (u32::MAX, 0)), |(columns, rows), (x, y)| {
                ((columns.0.min(x), columns.1.max(x)), (rows.0.min(y), rows.1.max(y)))
            });
        let mask =
            (rows.0..=rows.1).flat_map(|y| (columns.0..=columns.1).map(move |x| (x, y))).map(|p| is_ink(&p)).collect();
        Some(Self { colour: image.pixel(strongest.0, strongest.1), mask, width: (columns.1 - columns.0 + 1) as usize })
    }

    fn is_filled(&self) -> bool {
        self.mask.iter().filter(|&&ink| ink).count() * 10 >= self.mask.len() * 7
    }

    /// The sign that looks most like the ink.
    fn sign(&self) -> Option<Cell> {
        let found = reduce(&self.mask, self.width);
        let distance = |cell: Cell| {
            let glyph = Glyph::of(cell.character(), Size::Large);
            let ((left, top), (width, height)) = (glyph.origin, glyph.ink);
            let mask: Vec<bool> = (0..width * height)
                .map(|pixel| glyph.coverage(left + pixel % width, top + pixel / width) >= 128)
                .collect();
            reduce(&mask, width).iter().zip(&found).map(|(a, b)| (a - b).abs()).sum::<f32>()
        };
        let signs = [Cell::Start, Cell::Goal, Cell::Path, Cell::Wall];
        let best = signs.into_iter().map(|cell| (distance(cell), cell)).min_by(|a, b| a.0.total_cmp(&b.0))?;
        // A third of the area may be drawn otherwise in another font.
        (best.0 < (SIGN.0 * SIGN.1) as f32 / 3.0).then_some(best.1)
    }
}

/// Share of ink in each field of a coarse raster over a mask.
fn reduce(mask: &[bool], width: usize) -> Vec<f32> {
    let height = mask.len() / width.max(1);
    let mut shares = Vec::with_capacity(SIGN.0 * SIGN.1);
    for row in 0..SIGN.1 {
        for column in 0..SIGN.0 {
            // At least one pixel each, also where the mask is smaller than the raster.
            let span = |index: usize, fields: usize, length: usize| {
                let start = index * length / fields;
                start..((index + 1) * length / fields).max(start + 1)
            };
            let (rows, columns) = (span(row, SIGN.1, height), span(column, SIGN.0, width));
            let fields = rows.len() * columns.len();
            let ink =
                rows.flat_map(|y| columns.clone().map(move |x| y * width + x)).filter(|&pixel| mask[pixel]).count();
            shares.push(ink as f32 / fields as f32);
        }
    }
    shares
}

fn arc_colour(found: Rgb) -> Option<u8> {
    ARC_COLOURS.iter().position(|&colour| !differs(found, colour, TOLERANCE)).map(|colour| colour as u8)
}

fn differs(a: Rgb, b: Rgb, tolerance: u8) -> bool {
    a.iter().zip(b).any(|(a, b)| a.abs_diff(b) > tolerance)
}
