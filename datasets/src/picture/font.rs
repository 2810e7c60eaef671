//! Letters of Noto Sans Mono Bold, centred by their ink. Owns sizes and smoothing; leaves colours to the drawings.

use noto_sans_mono_bitmap::{FontWeight, RasterHeight, RasterizedChar, get_raster};

use super::colours::Rgb;

/// Steps from ground to ink: few enough that every picture fits the 256 colours of a GIF.
const SHADES: u16 = 5;
/// Ink that counts when a letter is measured.
const VISIBLE: u8 = 96;

/// Height of a line of text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Size {
    Small,
    Large,
}

/// A letter's ink: coverage within the smallest rectangle around it.
#[derive(Debug, Clone)]
pub(super) struct Glyph {
    raster: RasterizedChar,
    /// `(left, top)` of the ink in the raster.
    pub(super) origin: (usize, usize),
    /// `(width, height)` of the ink.
    pub(super) ink: (usize, usize),
}

impl Glyph {
    /// The letter, or a question mark where the font has none.
    pub(super) fn of(letter: char, size: Size) -> Self {
        let height = match size {
            Size::Small => RasterHeight::Size16,
            Size::Large => RasterHeight::Size24,
        };
        let raster = get_raster(letter, FontWeight::Bold, height)
            .or_else(|| get_raster('?', FontWeight::Bold, height))
            .expect("the font has all of ASCII in this weight and size");
        let columns: Vec<usize> = (0..raster.width()).filter(|&x| raster.rows().any(|row| row[x] >= VISIBLE)).collect();
        let rows: Vec<usize> = raster
            .rows()
            .enumerate()
            .filter(|(_, row)| row.iter().any(|&ink| ink >= VISIBLE))
            .map(|(y, _)| y)
            .collect();
        let span = |places: &[usize]| match (places.first(), places.last()) {
            (Some(first), Some(last)) => (*first, last - first + 1),
            _ => (0, 0),
        };
        let ((left, width), (top, height)) = (span(&columns), span(&rows));
        Self { raster, origin: (left, top), ink: (width, height) }
    }

    /// Columns and rows of the whole raster, which all letters of a size share.
    pub(super) fn advance(&self) -> (usize, usize) {
        (self.raster.width(), self.raster.height())
    }

    /// Coverage of a pixel of the raster, 0 to 255.
    pub(super) fn coverage(&self, x: usize, y: usize) -> u8 {
        self.raster.pixel(x, y).unwrap_or(0)
    }
}

/// The colour of a pixel that `coverage` of 255 is covered with ink.
pub(super) fn blend(ground: Rgb, ink: Rgb, coverage: u8) -> Rgb {
    let shade = (u16::from(coverage) * SHADES + 127) / 255;
    std::array::from_fn(|channel| {
        let (from, to) = (u16::from(ground[channel]), u16::from(ink[channel]));
        ((from * (SHADES - shade) + to * shade + SHADES / 2) / SHADES) as u8
    })
}
