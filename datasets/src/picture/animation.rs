//! A model's reasoning as an animated GIF: one frame per step, what changed framed, what is wrong in red.
//! Owns frames, captions and the GIF's bytes; leaves the drawing of a step to [`super::scene`].

use std::collections::HashMap;

use gif::{Encoder, Frame, Repeat};

use super::PictureError;
use super::canvas::{Picture, text_height, text_width};
use super::colours::{BACKGROUND, FAINT_TEXT, RIGHT_TEXT, Rgb, TEXT, WRONG_TEXT};
use super::scene::Scene;
use crate::Task;

/// Most steps of one animation.
pub const MAX_FRAMES: usize = 256;
/// Hundredths of a second that a step is shown.
const STEP_DELAY: u16 = 80;
/// The same for the last one.
const LAST_DELAY: u16 = 300;
const MARGIN: u32 = 10;

/// The frames of a reasoning, all of one size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Animation {
    frames: Vec<Picture>,
}

/// A rectangle of pixels with its place in the palette each.
struct Patch {
    left: u32,
    top: u32,
    width: u32,
    pixels: Vec<u8>,
}

impl Animation {
    /// The question, then each of `steps` (`[steps][seq_len]` tokens, the prediction after each supervision step). With
    /// a label, cells that differ from it are red and counted in the caption.
    ///
    /// # Errors
    /// When there is no step or there are more than [`MAX_FRAMES`], or a row of tokens has another length than the task.
    pub fn of_steps<S: AsRef<[i32]>>(
        task: Task,
        input: &[i32],
        steps: &[S],
        label: Option<&[i32]>,
    ) -> Result<Self, PictureError> {
        if steps.is_empty() || steps.len() > MAX_FRAMES {
            return Err(PictureError::frames(steps.len()));
        }
        let mut frames = Vec::with_capacity(steps.len() + 1);
        // On ARC's canvas the question stands beside every step; elsewhere it opens the animation.
        if task != Task::Arc {
            let question = Scene::question(task, input);
            question.check()?;
            frames.push(captioned(&question.on_background(), &[("question", TEXT)]));
        }
        let mut before = if task == Task::Arc { None } else { Some(input) };
        for (index, step) in steps.iter().enumerate() {
            let scene = Scene { task, input, shown: step.as_ref(), before, label };
            scene.check()?;
            frames.push(captioned(&scene.on_background(), &caption(&scene, index + 1, steps.len())));
            before = Some(step.as_ref());
        }
        Ok(Self { frames: same_size(frames) })
    }

    /// The frames in order.
    pub fn frames(&self) -> &[Picture] {
        &self.frames
    }

    /// The bytes of a GIF that repeats for ever; frames behind the first hold only what changes.
    ///
    /// # Errors
    /// When the encoder fails, or the frames have more than 256 colours, which no drawing of this module has.
    pub fn to_gif(&self) -> Result<Vec<u8>, PictureError> {
        let failed = |reason: String| PictureError::Encode { reason };
        let (palette, indexed) = self.index().map_err(failed)?;
        let (width, height) = (self.frames[0].width() as u16, self.frames[0].height() as u16);
        let mut bytes = Vec::new();
        let mut encoder =
            Encoder::new(&mut bytes, width, height, &palette).map_err(|error| failed(error.to_string()))?;
        encoder.set_repeat(Repeat::Infinite).map_err(|error| failed(error.to_string()))?;
        for (number, pixels) in indexed.iter().enumerate() {
            let before = number.checked_sub(1).map(|before| &indexed[before][..]);
            let patch = Patch::of(pixels, before, u32::from(width));
            let rows = patch.pixels.len() as u32 / patch.width;
            let frame = Frame {
                delay: if number + 1 == indexed.len() { LAST_DELAY } else { STEP_DELAY },
                left: patch.left as u16,
                top: patch.top as u16,
                width: patch.width as u16,
                height: rows as u16,
                buffer: patch.pixels.into(),
                ..Frame::default()
            };
            encoder.write_frame(&frame).map_err(|error| failed(error.to_string()))?;
        }
        drop(encoder);
        Ok(bytes)
    }

    /// The palette of all frames (`[colours * 3]`), and each frame's pixels as places in it.
    fn index(&self) -> Result<(Vec<u8>, Vec<Vec<u8>>), String> {
        let mut places: HashMap<Rgb, u8> = HashMap::new();
        let mut palette = Vec::new();
        let mut indexed = Vec::with_capacity(self.frames.len());
        for frame in &self.frames {
            let mut pixels = Vec::with_capacity(frame.pixels().len());
            for pixel in frame.pixels() {
                let next = places.len();
                let place = if let Some(&place) = places.get(pixel) {
                    place
                } else {
                    let place = u8::try_from(next).map_err(|_| "more than 256 colours".to_owned())?;
                    places.insert(*pixel, place);
                    palette.extend(pixel);
                    place
                };
                pixels.push(place);
            }
            indexed.push(pixels);
        }
        Ok((palette, indexed))
    }
}

impl Patch {
    /// The smallest rectangle outside of which nothing differs from the frame before; one pixel where nothing does.
    fn of(pixels: &[u8], before: Option<&[u8]>, width: u32) -> Self {
        let Some(before) = before else {
            return Self { left: 0, top: 0, width, pixels: pixels.to_vec() };
        };
        let (mut columns, mut rows) = ((u32::MAX, 0), (u32::MAX, 0));
        for (index, _) in pixels.iter().zip(before).enumerate().filter(|(_, (now, before))| now != before) {
            let (x, y) = (index as u32 % width, index as u32 / width);
            columns = (columns.0.min(x), columns.1.max(x));
            rows = (rows.0.min(y), rows.1.max(y));
        }
        if columns.0 == u32::MAX {
            (columns, rows) = ((0, 0), (0, 0));
        }
        let line = |y: u32| &pixels[(y * width + columns.0) as usize..=(y * width + columns.1) as usize];
        let pixels = (rows.0..=rows.1).flat_map(line).copied().collect();
        Self { left: columns.0, top: rows.0, width: columns.1 - columns.0 + 1, pixels }
    }
}

fn caption(scene: &Scene, step: usize, steps: usize) -> Vec<(String, Rgb)> {
    let mut caption = vec![(format!("step {step}/{steps}"), TEXT)];
    if scene.label.is_some() {
        caption.push(match scene.wrong_cells() {
            0 => ("right".to_owned(), RIGHT_TEXT),
            wrong => (format!("{wrong} wrong"), WRONG_TEXT),
        });
    } else {
        let changed = (0..scene.shown.len()).filter(|&cell| scene.is_changed(cell)).count();
        caption.push((format!("{changed} changed"), FAINT_TEXT));
    }
    caption
}

/// The drawing above a line of text.
fn captioned<T: AsRef<str>>(drawing: &Picture, caption: &[(T, Rgb)]) -> Picture {
    let space = text_width(" ");
    let text: u32 = caption.iter().map(|(text, _)| text_width(text.as_ref()) + space).sum();
    let width = drawing.width().max(text) + 2 * MARGIN;
    let mut picture = Picture::filled(width, drawing.height() + text_height() + 2 * MARGIN, BACKGROUND);
    picture.paste(drawing, (width - drawing.width()) / 2, MARGIN);
    let mut x = MARGIN;
    for (text, colour) in caption {
        x = picture.text(text.as_ref(), x, drawing.height() + MARGIN + MARGIN / 2, *colour) + space;
    }
    picture
}

/// The frames on grounds of the largest one's size, with the rings of every picture.
fn same_size(frames: Vec<Picture>) -> Vec<Picture> {
    let width = frames.iter().map(Picture::width).max().unwrap_or(1);
    let height = frames.iter().map(Picture::height).max().unwrap_or(1);
    let on_ground = |frame: Picture| {
        let mut ground = Picture::filled(width, height, BACKGROUND);
        ground.paste(&frame, 0, 0);
        ground.framed()
    };
    frames.into_iter().map(on_ground).collect()
}
