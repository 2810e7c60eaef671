//! Bars and points with their names: accuracies of a few things side by side, or against what they cost.
//! Owns what such a chart looks like; takes values and names, and leaves measuring to its callers.

use plotters::prelude::*;

use super::PictureError;
use super::chart::{frame, png_of, svg_of};
use super::colours::Rgb;

/// One value.
#[derive(Debug, Clone, PartialEq)]
pub struct Mark {
    /// Its name.
    pub label: String,
    /// Its place, for points; bars stand in their order.
    pub x: f64,
    /// The value, a share from 0 to 1.
    pub share: f64,
    /// Lower and upper bound of it, if they are known.
    pub interval: Option<(f64, f64)>,
    /// Its colour.
    pub colour: Rgb,
}

/// How values are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MarkStyle {
    /// Bars side by side.
    Bars,
    /// Points at their places.
    Points,
}

/// Shares of a few things.
#[derive(Debug, Clone, PartialEq)]
pub struct MarkChart {
    /// What stands above.
    pub title: String,
    /// What runs from left to right.
    pub x_label: String,
    /// How values are shown.
    pub style: MarkStyle,
    /// The values.
    pub marks: Vec<Mark>,
}

impl MarkChart {
    /// The chart as the text of an SVG file.
    ///
    /// # Errors
    /// When there is no value, or the drawing fails.
    pub fn to_svg(&self) -> Result<String, PictureError> {
        svg_of(|backend| self.draw(backend))
    }

    /// The chart as the bytes of a PNG file.
    ///
    /// # Errors
    /// When there is no value, or the drawing fails.
    pub fn to_png(&self) -> Result<Vec<u8>, PictureError> {
        png_of(|backend| self.draw(backend))
    }

    fn draw<B: DrawingBackend>(&self, backend: B) -> Result<(), PictureError> {
        if self.marks.is_empty() {
            return Err(PictureError::Encode { reason: "a chart needs at least one value".into() });
        }
        self.draw_within(backend).map_err(|error| PictureError::Encode { reason: error.to_string() })
    }

    fn draw_within<B: DrawingBackend>(&self, backend: B) -> Result<(), DrawingAreaErrorKind<B::ErrorType>> {
        let area = backend.into_drawing_area();
        let count = self.marks.len();
        let right = match self.style {
            MarkStyle::Bars => count as f64,
            // Room for the name of the last point.
            MarkStyle::Points => self.marks.iter().map(|mark| mark.x).fold(0.0, f64::max).max(f64::MIN_POSITIVE) * 1.25,
        };
        let mut chart = frame(&area, &self.title, 0.0..right, 0.0..1.0)?;
        let written = |x: &f64| if self.style == MarkStyle::Bars { String::new() } else { short(*x) };
        chart
            .configure_mesh()
            .x_desc(&self.x_label)
            .y_desc("share")
            .x_label_formatter(&written)
            .y_label_formatter(&|share| format!("{share:.2}"))
            .light_line_style(WHITE)
            .draw()?;
        for (place, mark) in self.marks.iter().enumerate() {
            let [red, green, blue] = mark.colour;
            let colour = RGBColor(red, green, blue);
            let middle = if self.style == MarkStyle::Bars { place as f64 + 0.5 } else { mark.x };
            match self.style {
                MarkStyle::Bars => {
                    let corners = [(middle - 0.35, 0.0), (middle + 0.35, mark.share)];
                    chart.draw_series([Rectangle::new(corners, colour.filled())])?;
                }
                MarkStyle::Points => _ = chart.draw_series([Circle::new((middle, mark.share), 5, colour.filled())])?,
            }
            if let Some((low, high)) = mark.interval {
                let ends = [(middle, low.max(0.0)), (middle, high.min(1.0))];
                chart.draw_series([PathElement::new(ends, BLACK.stroke_width(1))])?;
            }
            let above = mark.interval.map_or(mark.share, |(_, high)| high.min(1.0)).max(mark.share);
            let start = if self.style == MarkStyle::Bars { middle - 0.35 } else { middle + 0.01 * right };
            let text = format!("{} {:.2}", mark.label, mark.share);
            chart.draw_series([Text::new(text, (start, (above + 0.05).min(1.0)), ("sans-serif", 13))])?;
        }
        area.present()
    }
}

/// A place in few letters.
fn short(value: f64) -> String {
    if value >= 10.0 { format!("{value:.0}") } else { format!("{value:.2}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(style: MarkStyle) -> MarkChart {
        let mark = |label: &str, x: f64, share: f64, colour: Rgb| Mark {
            label: label.into(),
            x,
            share,
            interval: Some((share - 0.125, share + 0.125)),
            colour,
        };
        let marks = vec![mark("two", 1.5, 0.5, [200, 60, 40]), mark("four", 3.0, 0.25, [60, 110, 190])];
        MarkChart { title: "layers".into(), x_label: "parameters".into(), style, marks }
    }

    #[test]
    fn bars_are_as_high_as_their_values_and_points_lie_at_their_places() {
        let bars = chart(MarkStyle::Bars).to_png().unwrap();
        let pixels = image::load_from_memory(&bars).unwrap().into_rgb8().into_raw();
        let count = |colour: Rgb| pixels.chunks_exact(3).filter(|pixel| *pixel == colour).count() as f64;
        let ratio = count([200, 60, 40]) / count([60, 110, 190]);
        assert!((1.8..2.2).contains(&ratio), "half and a quarter, found areas of {ratio}");
        let svg = chart(MarkStyle::Points).to_svg().unwrap();
        for says in ["<circle", "two 0.50", "four 0.25", "parameters", "layers"] {
            assert!(svg.contains(says), "{says:?} is missing in {svg}");
        }
        let empty = MarkChart { marks: Vec::new(), ..chart(MarkStyle::Bars) };
        assert!(empty.to_svg().is_err() && empty.to_png().is_err());
    }
}
