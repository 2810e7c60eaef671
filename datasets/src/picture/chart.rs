//! Line charts as SVG and PNG: learning curves, accuracy against test-time compute.
//! Owns what a chart looks like; takes points and names, and leaves measuring to its callers.

use std::ops::Range;

use plotters::coord::Shift;
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use plotters_backend::text_anchor::{HPos, VPos};
use plotters_backend::{BackendColor, BackendCoord, BackendTextStyle, DrawingErrorKind};

use super::PictureError;
use super::canvas::{Picture, text_height, text_width};
use super::colours::Rgb;

/// Width and height in pixels.
const SIZE: (u32, u32) = (900, 480);
/// What everything is drawn on.
const GROUND: Rgb = [255; 3];

/// How places along the horizontal axis follow from values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// Evenly.
    Linear,
    /// Every doubling takes the same room; values are at least 1.
    Doublings,
}

/// One line of a chart.
#[derive(Debug, Clone, PartialEq)]
pub struct ChartLine {
    /// Its name in the legend.
    pub label: String,
    /// Its colour.
    pub colour: Rgb,
    /// Its points from left to right.
    pub points: Vec<(f64, f64)>,
}

/// The room between two lines, such as the interval around one: behind all lines, and see-through.
#[derive(Debug, Clone, PartialEq)]
pub struct ChartBand {
    /// Its colour.
    pub colour: Rgb,
    /// Place, lower and upper value, from left to right.
    pub points: Vec<(f64, f64, f64)>,
}

/// Shares (0 to 1) against some quantity.
#[derive(Debug, Clone, PartialEq)]
pub struct LineChart {
    /// What stands above.
    pub title: String,
    /// What runs from left to right.
    pub x_label: String,
    /// Where values of it lie.
    pub x_scale: Scale,
    /// The lines, the last on top.
    pub lines: Vec<ChartLine>,
}

impl LineChart {
    /// The chart as the text of an SVG file.
    ///
    /// # Errors
    /// When there is no point, or the drawing fails.
    pub fn to_svg(&self) -> Result<String, PictureError> {
        self.to_svg_with_bands(&[])
    }

    /// As [`to_svg`](Self::to_svg), with `bands` behind the lines.
    ///
    /// # Errors
    /// As [`to_svg`](Self::to_svg).
    pub fn to_svg_with_bands(&self, bands: &[ChartBand]) -> Result<String, PictureError> {
        svg_of(|backend| self.draw(backend, bands))
    }

    /// The chart as the bytes of a PNG file.
    ///
    /// # Errors
    /// When there is no point, or the drawing fails.
    pub fn to_png(&self) -> Result<Vec<u8>, PictureError> {
        self.to_png_with_bands(&[])
    }

    /// As [`to_png`](Self::to_png), with `bands` behind the lines.
    ///
    /// # Errors
    /// As [`to_png`](Self::to_png).
    pub fn to_png_with_bands(&self, bands: &[ChartBand]) -> Result<Vec<u8>, PictureError> {
        png_of(|backend| self.draw(backend, bands))
    }

    fn draw<B: DrawingBackend>(&self, backend: B, bands: &[ChartBand]) -> Result<(), PictureError> {
        let place = |value: f64| match self.x_scale {
            Scale::Linear => value,
            Scale::Doublings => value.max(1.0).log2(),
        };
        let all = || self.lines.iter().flat_map(|line| &line.points);
        if all().next().is_none() {
            return Err(PictureError::Encode { reason: "a chart needs at least one point".into() });
        }
        let right = all().map(|point| place(point.0)).fold(0.0, f64::max);
        let lower = bands.iter().flat_map(|band| &band.points).map(|point| point.1);
        let lowest = all().map(|point| point.1).chain(lower).fold(1.0, f64::min);
        // To the tenth below, so that a line near the top is not a flat one.
        let bottom = (lowest * 10.0 - 0.5).floor().max(0.0) / 10.0;
        let failed = |reason: String| PictureError::Encode { reason };
        self.draw_within(backend, place, (right.max(1.0), bottom), bands).map_err(|error| failed(error.to_string()))
    }

    fn draw_within<B: DrawingBackend>(
        &self,
        backend: B,
        place: impl Fn(f64) -> f64,
        (right, bottom): (f64, f64),
        bands: &[ChartBand],
    ) -> Result<(), DrawingAreaErrorKind<B::ErrorType>> {
        let area = backend.into_drawing_area();
        let mut chart = frame(&area, &self.title, 0.0..right, bottom..1.0)?;
        let written = |x: &f64| match self.x_scale {
            Scale::Linear => format!("{x:.0}"),
            Scale::Doublings => format!("{:.0}", x.exp2()),
        };
        let labels = if self.x_scale == Scale::Doublings { right as usize + 1 } else { 10 };
        chart
            .configure_mesh()
            .x_desc(&self.x_label)
            .y_desc("share")
            .x_labels(labels)
            .x_label_formatter(&written)
            .y_label_formatter(&|share| format!("{share:.2}"))
            .light_line_style(WHITE)
            .draw()?;
        for band in bands {
            let [red, green, blue] = band.colour;
            let clamped = |x: f64, share: f64| (place(x), share.clamp(bottom, 1.0));
            let upper = band.points.iter().map(|&(x, _, high)| clamped(x, high));
            let lower = band.points.iter().rev().map(|&(x, low, _)| clamped(x, low));
            let outline: Vec<(f64, f64)> = upper.chain(lower).collect();
            chart.draw_series(std::iter::once(Polygon::new(outline, RGBColor(red, green, blue).mix(0.2).filled())))?;
        }
        for line in &self.lines {
            let [red, green, blue] = line.colour;
            let colour = RGBColor(red, green, blue);
            let points = line.points.iter().map(|&(x, y)| (place(x), y));
            chart
                .draw_series(LineSeries::new(points, colour.stroke_width(2)))?
                .label(&line.label)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(2)));
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::LowerRight)
            .label_font(("sans-serif", 16))
            .background_style(WHITE.mix(0.8))
            .border_style(RGBColor(200, 200, 200))
            .draw()?;
        area.present()
    }
}

/// A chart as the text of an SVG file.
pub(super) fn svg_of(draw: impl FnOnce(SVGBackend<'_>) -> Result<(), PictureError>) -> Result<String, PictureError> {
    let mut svg = String::new();
    draw(SVGBackend::with_string(&mut svg, SIZE))?;
    Ok(svg)
}

/// A chart as the bytes of a PNG file.
pub(super) fn png_of(
    draw: impl FnOnce(PictureBackend<'_>) -> Result<(), PictureError>,
) -> Result<Vec<u8>, PictureError> {
    let mut picture = Picture::filled(SIZE.0, SIZE.1, GROUND);
    draw(PictureBackend(&mut picture))?;
    picture.to_png()
}

/// The white ground of a chart with its title, and room for what is written beside its axes.
pub(super) fn frame<'a, B: DrawingBackend>(
    area: &'a DrawingArea<B, Shift>,
    title: &str,
    x: Range<f64>,
    y: Range<f64>,
) -> Result<Frame<'a, B>, DrawingAreaErrorKind<B::ErrorType>> {
    area.fill(&WHITE)?;
    ChartBuilder::on(area)
        .caption(title, ("sans-serif", 18))
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(56)
        .build_cartesian_2d(x, y)
}

/// A chart on two linear axes.
type Frame<'a, B> = ChartContext<'a, B, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

/// Pixels and letters of a chart on a picture: plotters has no letters of its own without the system's fonts.
pub(super) struct PictureBackend<'p>(&'p mut Picture);

impl DrawingBackend for PictureBackend<'_> {
    type ErrorType = std::convert::Infallible;

    fn get_size(&self) -> (u32, u32) {
        (self.0.width(), self.0.height())
    }

    fn ensure_prepared(&mut self) -> Result<(), DrawingErrorKind<Self::ErrorType>> {
        Ok(())
    }

    fn present(&mut self) -> Result<(), DrawingErrorKind<Self::ErrorType>> {
        Ok(())
    }

    fn draw_pixel(
        &mut self,
        (x, y): BackendCoord,
        colour: BackendColor,
    ) -> Result<(), DrawingErrorKind<Self::ErrorType>> {
        let (Ok(x), Ok(y)) = (u32::try_from(x), u32::try_from(y)) else { return Ok(()) };
        let (red, green, blue) = colour.rgb;
        self.0.mix_pixel(x, y, [red, green, blue], colour.alpha);
        Ok(())
    }

    fn draw_text<S: BackendTextStyle>(
        &mut self,
        text: &str,
        style: &S,
        position: BackendCoord,
    ) -> Result<(), DrawingErrorKind<Self::ErrorType>> {
        let (width, height) = (text_width(text).max(1), text_height());
        let (red, green, blue) = style.color().rgb;
        let mut line = Picture::filled(width, height, GROUND);
        line.text(text, 0, 0, [red, green, blue]);
        let left = match style.anchor().h_pos {
            HPos::Left => 0,
            HPos::Right => -(width as i32),
            HPos::Center => -(width as i32) / 2,
        };
        let top = match style.anchor().v_pos {
            VPos::Top => 0,
            VPos::Center => -(height as i32) / 2,
            VPos::Bottom => -(height as i32),
        };
        for y in 0..height {
            for x in 0..width {
                let colour = line.pixel(x, y);
                if colour == GROUND {
                    continue;
                }
                let (dx, dy) = style.transform().transform(x as i32 + left, y as i32 + top);
                let [red, green, blue] = colour;
                let colour = BackendColor { alpha: 1.0, rgb: (red, green, blue) };
                self.draw_pixel((position.0 + dx, position.1 + dy), colour)?;
            }
        }
        Ok(())
    }

    fn estimate_text_size<S: BackendTextStyle>(
        &self,
        text: &str,
        _style: &S,
    ) -> Result<(u32, u32), DrawingErrorKind<Self::ErrorType>> {
        Ok((text_width(text), text_height()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(points: &[(f64, f64)]) -> LineChart {
        let line = ChartLine { label: "raw".into(), colour: [200, 60, 40], points: points.to_vec() };
        LineChart { title: "a curve".into(), x_label: "steps".into(), x_scale: Scale::Doublings, lines: vec![line] }
    }

    #[test]
    fn svg_and_png_show_the_line_and_its_name() {
        let chart = chart(&[(1.0, 0.5), (2.0, 0.75), (16.0, 1.0)]);
        let svg = chart.to_svg().unwrap();
        for says in ["<svg", "a curve", "steps", "raw", "<polyline", ">\n16\n<", ">\n8\n<"] {
            assert!(svg.contains(says), "{says:?} is missing in {svg}");
        }
        let png = chart.to_png().unwrap();
        let pixels = image::load_from_memory(&png).unwrap().into_rgb8().into_raw();
        let red = pixels.chunks_exact(3).filter(|pixel| *pixel == [200, 60, 40]).count();
        // A line of two pixels through most of the width, and nothing that fills an area.
        assert!((800..8000).contains(&red), "{red} pixels have the line's colour");
        let black = pixels.chunks_exact(3).filter(|pixel| *pixel == [0, 0, 0]).count();
        assert!(black > 500, "letters and axes are missing: {black} black pixels");
    }

    #[test]
    fn a_band_lies_behind_its_line() {
        let chart = chart(&[(1.0, 0.5), (2.0, 0.75)]);
        let band = ChartBand { colour: [0, 0, 255], points: vec![(1.0, 0.25, 0.75), (2.0, 0.5, 1.5)] };
        let svg = chart.to_svg_with_bands(std::slice::from_ref(&band)).unwrap();
        let (polygon, line) = (svg.find("<polygon").unwrap(), svg.find("#C83C28").unwrap());
        assert!(polygon < line && !chart.to_svg().unwrap().contains("<polygon"), "{svg}");
        assert_ne!(chart.to_png_with_bands(&[band]).unwrap(), chart.to_png().unwrap());
    }

    #[test]
    fn a_chart_without_points_is_an_error() {
        assert!(chart(&[]).to_svg().is_err() && chart(&[]).to_png().is_err());
        // One point has no extent, which must not become a division by zero.
        assert!(chart(&[(1.0, 1.0)]).to_svg().is_ok());
    }
}
