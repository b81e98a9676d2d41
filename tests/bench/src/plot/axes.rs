//! From values to places in a picture.

use super::GRID;
use super::svg::{Anchor, Picture};

/// How values are spread over a length, from the first to the last.
pub(super) enum Scale {
    Linear(f64, f64),
    Logarithmic(f64, f64),
}

impl Scale {
    /// Where a value lies: 0 at the first, 1 at the last.
    fn share(&self, value: f64) -> f64 {
        let (first, last, value) = match *self {
            Scale::Linear(first, last) => (first, last, value),
            Scale::Logarithmic(first, last) => (first.ln(), last.ln(), value.max(first).ln()),
        };
        (value - first) / (last - first).max(f64::EPSILON)
    }
}

/// An area (left, top, width, height) and what its sides mean.
pub(super) struct Axes {
    pub(super) area: (f64, f64, f64, f64),
    pub(super) x: Scale,
    pub(super) y: Scale,
}

impl Axes {
    fn place(&self, (x, y): (f64, f64)) -> (f64, f64) {
        let (left, top, width, height) = self.area;
        (left + width * self.x.share(x), top + height * (1.0 - self.y.share(y)))
    }

    /// A line across at this value, with a label below.
    pub(super) fn mark_x(&self, picture: &mut Picture, value: f64, label: &str) {
        let (_, top, _, height) = self.area;
        let (x, _) = self.place((value, 0.0));
        picture.line((x, top), (x, top + height), GRID, 1.0);
        picture.text(x, top + height + 16.0, label, Anchor::Middle);
    }

    /// A line along at this value, with a label beside it, if it lies in the area.
    pub(super) fn mark_y(&self, picture: &mut Picture, value: f64, label: &str) {
        let (left, _, width, _) = self.area;
        if (0.0..=1.0).contains(&self.y.share(value)) {
            let (_, y) = self.place((0.0, value));
            picture.line((left, y), (left + width, y), GRID, 1.0);
            picture.text(left - 6.0, y + 4.0, label, Anchor::End);
        }
    }

    /// A curve through these values.
    pub(super) fn curve(&self, picture: &mut Picture, values: &[(f64, f64)], colour: &str) {
        let points: Vec<_> = values.iter().map(|&value| self.place(value)).collect();
        picture.curve(&points, colour);
    }
}

/// A value beside an axis: with a decimal when it is small.
pub(super) fn label(value: f64) -> String {
    if value > 0.0 && value < 10.0 { format!("{value:.1}") } else { format!("{value:.0}") }
}
