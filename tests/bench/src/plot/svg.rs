//! As much of SVG as the plots need.

use std::fmt::Write;

/// A picture in pixels, with the origin in its upper left corner.
pub(super) struct Picture {
    width: f64,
    height: f64,
    body: String,
}

/// How text lies at its point.
#[derive(Clone, Copy)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

impl Picture {
    /// An empty picture with a heading.
    pub(super) fn new(width: f64, height: f64, heading: &str) -> Self {
        let mut picture = Picture { width, height, body: String::new() };
        picture.rectangle(0.0, 0.0, width, height, "#ffffff");
        picture.write(16.0, 24.0, heading, Anchor::Start, "font-size=\"15\" font-weight=\"600\"");
        picture
    }

    pub(super) fn rectangle(&mut self, x: f64, y: f64, width: f64, height: f64, fill: &str) {
        self.element(format_args!(
            r#"<rect x="{x:.1}" y="{y:.1}" width="{width:.1}" height="{height:.1}" fill="{fill}"/>"#
        ));
    }

    /// A straight line; `stroke` is a colour, with further attributes if need be.
    pub(super) fn line(&mut self, from: (f64, f64), to: (f64, f64), colour: &str, width: f64) {
        let ((x1, y1), (x2, y2)) = (from, to);
        self.element(format_args!(
            r#"<line x1="{x1:.1}" y1="{y1:.1}" x2="{x2:.1}" y2="{y2:.1}" stroke="{colour}" stroke-width="{width}"/>"#
        ));
    }

    /// A line through these points.
    pub(super) fn curve(&mut self, points: &[(f64, f64)], colour: &str) {
        let mut all = String::new();
        for (x, y) in points {
            // Writing into text cannot fail.
            write!(all, "{x:.1},{y:.1} ").unwrap_or(());
        }
        self.element(format_args!(
            r#"<polyline points="{}" fill="none" stroke="{colour}" stroke-width="2" stroke-linejoin="round"/>"#,
            all.trim_end()
        ));
    }

    pub(super) fn text(&mut self, x: f64, y: f64, text: &str, anchor: Anchor) {
        self.write(x, y, text, anchor, "");
    }

    fn write(&mut self, x: f64, y: f64, text: &str, anchor: Anchor, further: &str) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        self.element(format_args!(
            r#"<text x="{x:.1}" y="{y:.1}" text-anchor="{anchor}" {further}>{text}</text>"#
        ));
    }

    fn element(&mut self, element: std::fmt::Arguments<'_>) {
        writeln!(self.body, "{element}").unwrap_or(());
    }

    /// The whole file.
    pub(super) fn finish(self) -> String {
        let Picture { width, height, body } = self;
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
             height=\"{height}\" font-family=\"system-ui, sans-serif\" font-size=\"12\" fill=\"#222222\">\n{body}</svg>\n"
        )
    }
}
