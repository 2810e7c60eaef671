//! Paths in a plane, such as states on their first two principal components. Owns what such a chart looks like.

use std::ops::Range;

use plotters::prelude::*;

use super::PictureError;
use super::chart::{frame, png_of, svg_of};
use super::colours::Rgb;

/// A path: where it begins is a ring, where it ends a disc.
#[derive(Debug, Clone, PartialEq)]
pub struct PlanePath {
    /// Its points in order.
    pub points: Vec<(f64, f64)>,
    /// Its colour.
    pub colour: Rgb,
}

/// Paths in one plane.
#[derive(Debug, Clone, PartialEq)]
pub struct PathChart {
    /// What stands above.
    pub title: String,
    /// What runs from left to right.
    pub x_label: String,
    /// What runs upwards.
    pub y_label: String,
    /// The paths.
    pub paths: Vec<PlanePath>,
}

impl PathChart {
    /// The chart as the text of an SVG file.
    ///
    /// # Errors
    /// When there is no point, one is not finite, or the drawing fails.
    pub fn to_svg(&self) -> Result<String, PictureError> {
        svg_of(|backend| self.draw(backend))
    }

    /// The chart as the bytes of a PNG file.
    ///
    /// # Errors
    /// When there is no point, one is not finite, or the drawing fails.
    pub fn to_png(&self) -> Result<Vec<u8>, PictureError> {
        png_of(|backend| self.draw(backend))
    }

    fn draw<B: DrawingBackend>(&self, backend: B) -> Result<(), PictureError> {
        let failed = |reason: String| PictureError::Encode { reason };
        let all = || self.paths.iter().flat_map(|path| &path.points);
        if all().next().is_none() || all().any(|point| !point.0.is_finite() || !point.1.is_finite()) {
            return Err(failed("a chart of paths needs points, and finite ones".into()));
        }
        let range = |of: fn(&(f64, f64)) -> f64| {
            let (least, most) = all().map(of).fold((f64::MAX, f64::MIN), |(l, m), value| (l.min(value), m.max(value)));
            // A little room on both sides; some where all points coincide.
            let room = ((most - least) * 0.05).max(1e-6);
            least - room..most + room
        };
        let ranges = (range(|point| point.0), range(|point| point.1));
        self.draw_within(backend, ranges).map_err(|error| failed(error.to_string()))
    }

    fn draw_within<B: DrawingBackend>(
        &self,
        backend: B,
        (x, y): (Range<f64>, Range<f64>),
    ) -> Result<(), DrawingAreaErrorKind<B::ErrorType>> {
        let area = backend.into_drawing_area();
        let mut chart = frame(&area, &self.title, x, y)?;
        let written = |value: &f64| format!("{value:.2}");
        chart
            .configure_mesh()
            .x_desc(&self.x_label)
            .y_desc(&self.y_label)
            .x_label_formatter(&written)
            .y_label_formatter(&written)
            .light_line_style(WHITE)
            .draw()?;
        for path in &self.paths {
            let [red, green, blue] = path.colour;
            let colour = RGBColor(red, green, blue);
            chart.draw_series(LineSeries::new(path.points.iter().copied(), colour.stroke_width(1)))?;
            let ends = path.points.first().into_iter().map(|&point| Circle::new(point, 4, colour.stroke_width(1)));
            chart.draw_series(ends)?;
            chart.draw_series(path.points.last().into_iter().map(|&point| Circle::new(point, 4, colour.filled())))?;
        }
        area.present()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(points: Vec<(f64, f64)>) -> PathChart {
        let paths = vec![PlanePath { points, colour: [10, 20, 200] }];
        PathChart { title: "states".into(), x_label: "first".into(), y_label: "second".into(), paths }
    }

    #[test]
    fn paths_are_drawn_with_their_ends() {
        let svg = chart(vec![(0.0, -1.0), (2.0, 3.0)]).to_svg().unwrap();
        assert_eq!(svg.matches("<circle").count(), 2);
        assert!(svg.contains("states") && svg.contains("first") && svg.contains("second"));
        assert!(chart(vec![(1.0, 1.0)]).to_png().unwrap().starts_with(b"\x89PNG"), "one point has a chart, too");
        assert!(chart(Vec::new()).to_svg().is_err() && chart(vec![(f64::NAN, 0.0)]).to_svg().is_err());
    }
}
