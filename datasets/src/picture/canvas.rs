//! The drawing surface: rectangles, outlines, letters, pictures side by side, the rings around them, PNG bytes.
//! Owns pixels; leaves what they mean to the drawings of each task.

use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{RgbImage, imageops};

use super::PictureError;
use super::colours::{BACKGROUND, OUTLINE, RINGS, Rgb};
use super::font::{Glyph, Size, blend};

/// Pixels of each ring around a picture.
pub(super) const RING: u32 = 2;
const GAP: u32 = 16;

/// A rectangle of pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Area {
    pub(super) x: u32,
    pub(super) y: u32,
    pub(super) width: u32,
    pub(super) height: u32,
}

impl Area {
    /// The area without `margin` pixels on each side.
    pub(super) fn inset(self, margin: u32) -> Self {
        Self {
            x: self.x + margin,
            y: self.y + margin,
            width: self.width.saturating_sub(2 * margin),
            height: self.height.saturating_sub(2 * margin),
        }
    }
}

/// A finished or growing picture, eight bits per channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    image: RgbImage,
}

impl Picture {
    /// A picture of one colour.
    pub(super) fn filled(width: u32, height: u32, colour: Rgb) -> Self {
        Self { image: RgbImage::from_pixel(width, height, colour.into()) }
    }

    /// A picture that was decoded.
    pub(super) fn of_image(image: RgbImage) -> Self {
        Self { image }
    }

    /// All pixels, row by row.
    pub(super) fn pixels(&self) -> &[Rgb] {
        self.image.as_raw().as_chunks().0
    }

    /// Pixels from left to right.
    pub fn width(&self) -> u32 {
        self.image.width()
    }

    /// Pixels from top to bottom.
    pub fn height(&self) -> u32 {
        self.image.height()
    }

    /// The colour of a pixel, from the top left corner.
    ///
    /// # Panics
    /// When it lies outside the picture.
    pub fn pixel(&self, x: u32, y: u32) -> Rgb {
        self.image.get_pixel(x, y).0
    }

    /// The picture as the bytes of a PNG file.
    ///
    /// # Errors
    /// When the encoder fails.
    pub fn to_png(&self) -> Result<Vec<u8>, PictureError> {
        let mut bytes = Vec::new();
        let encoder = PngEncoder::new_with_quality(&mut bytes, CompressionType::Best, FilterType::Adaptive);
        let written = self.image.write_with_encoder(encoder);
        written.map_err(|error| PictureError::Encode { reason: error.to_string() })?;
        Ok(bytes)
    }

    /// Pictures from left to right with a gap between them, tops aligned.
    pub(super) fn beside(pictures: &[Self]) -> Self {
        let gaps = GAP * (pictures.len().max(1) as u32 - 1);
        let width = pictures.iter().map(Self::width).sum::<u32>() + gaps;
        let height = pictures.iter().map(Self::height).max().unwrap_or(1);
        let mut all = Self::filled(width, height, BACKGROUND);
        let mut x = 0;
        for picture in pictures {
            all.paste(picture, x, 0);
            x += picture.width() + GAP;
        }
        all
    }

    /// The picture within a thin light line, so that dark cells at its edge stand out on the background.
    pub(super) fn outlined(&self) -> Self {
        let mut all = Self::filled(self.width() + 2 * RING, self.height() + 2 * RING, OUTLINE);
        all.paste(self, RING, RING);
        all
    }

    /// The picture with `margin` pixels of background around it.
    pub(super) fn with_margin(&self, margin: u32) -> Self {
        let mut all = Self::filled(self.width() + 2 * margin, self.height() + 2 * margin, BACKGROUND);
        all.paste(self, margin, margin);
        all
    }

    /// The picture within a light and a dark ring, so that it stands out on any page.
    pub(super) fn framed(&self) -> Self {
        let margin = RING * RINGS.len() as u32;
        let mut all = Self::filled(self.width() + 2 * margin, self.height() + 2 * margin, RINGS[0]);
        let inner = Area { x: 0, y: 0, width: all.width(), height: all.height() }.inset(RING);
        all.fill(inner, RINGS[1]);
        all.paste(self, margin, margin);
        all
    }

    /// The part of the picture within an area of it.
    pub(super) fn cropped(&self, area: Area) -> Self {
        let Area { x, y, width, height } = area;
        Self { image: imageops::crop_imm(&self.image, x, y, width, height).to_image() }
    }

    pub(super) fn paste(&mut self, picture: &Self, x: u32, y: u32) {
        imageops::replace(&mut self.image, &picture.image, x.into(), y.into());
    }

    pub(super) fn fill(&mut self, area: Area, colour: Rgb) {
        let (right, bottom) = ((area.x + area.width).min(self.width()), (area.y + area.height).min(self.height()));
        for y in area.y..bottom {
            (area.x..right).for_each(|x| self.image.put_pixel(x, y, colour.into()));
        }
    }

    /// Covers a share (0 to 1) of a pixel with a colour; outside the picture nothing happens.
    pub(super) fn mix_pixel(&mut self, x: u32, y: u32, colour: Rgb, share: f64) {
        if let Some(pixel) = self.image.get_pixel_mut_checked(x, y) {
            let ground = pixel.0;
            pixel.0 = std::array::from_fn(|channel| {
                let (from, to) = (f64::from(ground[channel]), f64::from(colour[channel]));
                (from + (to - from) * share.clamp(0.0, 1.0)).round() as u8
            });
        }
    }

    /// A rectangle's edge, `thickness` pixels inwards.
    pub(super) fn outline(&mut self, area: Area, thickness: u32, colour: Rgb) {
        let Area { x, y, width, height } = area;
        let (right, bottom) = (x + width.saturating_sub(thickness), y + height.saturating_sub(thickness));
        self.fill(Area { height: thickness, ..area }, colour);
        self.fill(Area { y: bottom, height: thickness, ..area }, colour);
        self.fill(Area { width: thickness, ..area }, colour);
        self.fill(Area { x: right, width: thickness, ..area }, colour);
    }

    /// A letter whose ink is centred in the area.
    pub(super) fn letter(&mut self, letter: char, area: Area, size: Size, colour: Rgb) {
        let glyph = Glyph::of(letter, size);
        let start = |start: u32, length: u32, ink: usize, origin: usize| {
            i64::from(start) + (i64::from(length) - ink as i64) / 2 - origin as i64
        };
        let x = start(area.x, area.width, glyph.ink.0, glyph.origin.0);
        let y = start(area.y, area.height, glyph.ink.1, glyph.origin.1);
        self.glyph(&glyph, x, y, colour);
    }

    /// A line of text from its top left corner; gives the place behind it.
    pub(super) fn text(&mut self, text: &str, x: u32, y: u32, colour: Rgb) -> u32 {
        let mut x = x;
        for letter in text.chars() {
            let glyph = Glyph::of(letter, Size::Small);
            self.glyph(&glyph, i64::from(x), i64::from(y), colour);
            x += glyph.advance().0 as u32;
        }
        x
    }

    fn glyph(&mut self, glyph: &Glyph, x: i64, y: i64, colour: Rgb) {
        let (width, height) = glyph.advance();
        for row in 0..height {
            for column in 0..width {
                let (Ok(x), Ok(y)) = (u32::try_from(x + column as i64), u32::try_from(y + row as i64)) else {
                    continue;
                };
                if let Some(pixel) = self.image.get_pixel_mut_checked(x, y) {
                    pixel.0 = blend(pixel.0, colour, glyph.coverage(column, row));
                }
            }
        }
    }
}

/// Pixels that a line of text takes from left to right.
pub(super) fn text_width(text: &str) -> u32 {
    (text.chars().count() * Glyph::of('0', Size::Small).advance().0) as u32
}

/// Pixels that a line of text takes from top to bottom.
pub(super) fn text_height() -> u32 {
    Glyph::of('0', Size::Small).advance().1 as u32
}
