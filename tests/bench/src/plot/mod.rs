//! The plots of the reports, as SVG: drawn from the same JSON as the tables, so that the two cannot disagree.
//!
//! Lengths in pictures are floating point, as SVG has them; nothing is computed here that is not drawn.
#![expect(clippy::float_arithmetic, reason = "lengths in pictures, not money")]

mod axes;
mod svg;

use std::path::Path;

use hdrhistogram::Histogram;

use crate::report::{Goal, Report, Row, Sample};
use crate::table::hundredths;
use axes::{Axes, Scale};
use svg::{Anchor, Picture};

const OURS: &str = "#0b6e99";
const OTHER: &str = "#9a9a9a";
const GOAL: &str = "#c0392b";
/// What lies behind everything else.
const GRID: &str = "#e4e4e4";

/// A picture of reports.
pub(crate) struct Plot {
    /// Its file's name without the ending.
    pub(crate) name: String,
    /// What it shows.
    pub(crate) heading: String,
    picture: Picture,
}

impl Plot {
    fn new(name: &str, heading: &str, picture: Picture) -> Self {
        Plot { name: name.to_owned(), heading: heading.to_owned(), picture }
    }
}

/// Draws what there is to draw of these reports into a directory.
pub(crate) fn draw(reports: &[Report], to: &Path) {
    std::fs::create_dir_all(to).unwrap_or_else(|e| panic!("{}: {e}", to.display()));
    for plot in of_all(reports).into_iter().chain(reports.iter().flat_map(of)) {
        let file = to.join(format!("{}.svg", plot.name));
        std::fs::write(&file, plot.picture.finish()).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        println!("{}", file.display());
    }
}

/// What shows the reports together.
pub(crate) fn of_all(reports: &[Report]) -> Vec<Plot> {
    let (limits, times): (Vec<_>, Vec<_>) = ratios(reports).partition(|bar| bar.goal <= 100);
    let several = [
        ("ratios", "Daybook beside the limit, which is 1.00; the red mark is the goal", limits),
        ("peers", "Daybook beside its peers, which are 1.00; the red mark is the goal", times),
    ];
    let drawn = several.into_iter().filter(|(_, _, rows)| !rows.is_empty());
    drawn.map(|(name, heading, rows)| Plot::new(name, heading, bars(heading, &rows))).collect()
}

/// What shows one report: of each journal the latencies of the first row that has some, and what went on over time.
pub(crate) fn of(report: &Report) -> Vec<Plot> {
    let mut plots = Vec::new();
    for journal in ["embedded", "jetstream"] {
        let name = format!("{}-{journal}", report.file);
        let mut rows = report.rows.iter().filter(|row| row.journal.as_deref() == Some(journal));
        if let Some((heading, picture)) = rows.find_map(|row| latencies(&report.suite, row)) {
            plots.push(Plot::new(&format!("latency-{name}"), &heading, picture));
        }
        let samples: Vec<_> = report.samples.iter().filter(|sample| sample.journal == journal).collect();
        if samples.len() > 1 {
            let heading = format!("{}: {journal}", report.title);
            plots.push(Plot::new(&name, &heading, over_time(&heading, &samples)));
        }
    }
    plots
}

/// One bar: ours in percent of the other side, and the goal.
struct Bar {
    label: String,
    percent: u64,
    goal: u64,
}

/// The rows that should be at least so much of the other side. A soak has pictures of its own.
fn ratios(reports: &[Report]) -> impl Iterator<Item = Bar> {
    let rows = reports.iter().filter(|report| report.samples.is_empty());
    let rows = rows.flat_map(|report| report.rows.iter().map(move |row| (report, row)));
    rows.filter_map(|(report, row)| {
        let Some(Goal::PercentAtLeast(goal)) = row.goal else { return None };
        let mut label = format!("{}: {}", report.suite, row.name);
        label.extend(row.journal.iter().map(|journal| format!(", {journal}")));
        label.extend(row.connections.map(|connections| format!(", {connections}")));
        Some(Bar { label, percent: row.ratio_percent?, goal })
    })
}

fn bars(heading: &str, bars: &[Bar]) -> Picture {
    const LEFT: f64 = 330.0;
    const WIDTH: f64 = 400.0;
    const STEP: f64 = 24.0;
    let most = bars.iter().map(|bar| bar.percent.max(bar.goal)).max().unwrap_or(0) as f64 * 1.05;
    let mut picture = Picture::new(LEFT + WIDTH + 60.0, 50.0 + STEP * bars.len() as f64, heading);
    for (index, bar) in bars.iter().enumerate() {
        let y = 42.0 + STEP * index as f64;
        let x = |percent: u64| LEFT + WIDTH * percent as f64 / most;
        picture.text(LEFT - 8.0, y + 13.0, &bar.label, Anchor::End);
        picture.rectangle(LEFT, y, WIDTH, 17.0, "#f4f4f4");
        picture.rectangle(LEFT, y, x(bar.percent) - LEFT, 17.0, OURS);
        picture.line((x(bar.goal), y - 2.0), (x(bar.goal), y + 19.0), GOAL, 2.0);
        picture.text(LEFT + WIDTH + 8.0, y + 13.0, &hundredths(bar.percent), Anchor::Start);
    }
    picture
}

/// How long requests took, by how many took no longer. None if that was not measured.
fn latencies(suite: &str, row: &Row) -> Option<(String, Picture)> {
    let ours = row.ours.latency.as_ref()?;
    let other = row.against.as_ref().and_then(|side| Some((side.name.as_str(), side.latency.as_ref()?)));
    let most = other.iter().map(|(_, latency)| latency.max).fold(ours.max, u64::max);
    let heading = format!(
        "{suite}: {}, {}, at {}/s",
        row.name,
        row.journal.as_deref().unwrap_or_default(),
        ours.offered
    );
    let mut picture = Picture::new(760.0, 380.0, &heading);
    let axes = Axes {
        area: (70.0, 50.0, 660.0, 270.0),
        x: Scale::Linear(0.0, NINES as f64),
        y: Scale::Logarithmic(50.0, most.max(100) as f64),
    };
    for (nines, label) in ["0 %", "90 %", "99 %", "99.9 %", "99.99 %"].into_iter().enumerate() {
        axes.mark_x(&mut picture, nines as f64, label);
    }
    for (micros, label) in
        [(100.0, "0.1 ms"), (1e3, "1 ms"), (1e4, "10 ms"), (1e5, "100 ms"), (1e6, "1 s"), (1e7, "10 s")]
    {
        axes.mark_y(&mut picture, micros, label);
    }
    if let Some((_, latency)) = other {
        axes.curve(&mut picture, &percentiles(&latency.histogram), OTHER);
    }
    axes.curve(&mut picture, &percentiles(&ours.histogram), OURS);
    let beside = other.map(|(name, _)| (name, OTHER));
    legend(&mut picture, 365.0, &[Some(("Daybook", OURS)), beside]);
    Some((heading, picture))
}

/// How far the curves of latencies go: one minus the percentile, as a power of ten.
const NINES: u32 = 4;

/// Points of a curve: how many nines, and the microseconds.
fn percentiles(histogram: &Histogram<u64>) -> Vec<(f64, f64)> {
    const STEPS: u32 = 40;
    // Where fewer than one request is left there is nothing to draw.
    let known = (histogram.len().max(1) as f64).log10();
    let all = (0..=NINES * STEPS).map(|step| f64::from(step) / f64::from(STEPS));
    let points = all
        .take_while(|&nines| nines <= known)
        .map(|nines| (nines, histogram.value_at_quantile(1.0 - 10f64.powf(-nines)) as f64));
    points.collect()
}

fn legend(picture: &mut Picture, y: f64, entries: &[Option<(&str, &str)>]) {
    for (index, (name, colour)) in entries.iter().flatten().enumerate() {
        let x = 70.0 + 200.0 * index as f64;
        picture.rectangle(x, y - 8.0, 14.0, 4.0, colour);
        picture.text(x + 20.0, y, name, Anchor::Start);
    }
}

/// Rate, latency and memory, one below the other.
fn over_time(heading: &str, samples: &[&Sample]) -> Picture {
    type Panel = (&'static str, &'static [fn(&Sample) -> f64]);
    let panels: [Panel; 4] = [
        ("requests/s", &[|sample| sample.rate as f64]),
        (
            "p99 (blue) and p50 (grey), ms",
            &[|sample| sample.p99 as f64 / 1e3, |sample| sample.p50 as f64 / 1e3],
        ),
        ("resident memory, MiB", &[|sample| sample.rss_kib as f64 / 1024.0]),
        (
            "views (blue) and journal (grey) on disk, MiB",
            &[
                |sample| sample.views_bytes as f64 / 1_048_576.0,
                |sample| sample.journal_bytes as f64 / 1_048_576.0,
            ],
        ),
    ];
    const HEIGHT: f64 = 150.0;
    let mut picture = Picture::new(760.0, 50.0 + HEIGHT * panels.len() as f64, heading);
    let end = samples.last().map_or(1.0, |sample| sample.at as f64);
    for (index, (name, lines)) in panels.into_iter().enumerate() {
        let values = lines.iter().flat_map(|value| samples.iter().map(|sample| value(sample)));
        let most = values.fold(1.0, f64::max) * 1.1;
        let top = 60.0 + HEIGHT * index as f64;
        let axes = Axes {
            area: (70.0, top, 660.0, HEIGHT - 50.0),
            x: Scale::Linear(0.0, end),
            y: Scale::Linear(0.0, most),
        };
        picture.text(70.0, top - 6.0, name, Anchor::Start);
        for quarter in 0..=4 {
            let at = end * f64::from(quarter) / 4.0;
            axes.mark_x(&mut picture, at, &format!("{:.0} s", at));
        }
        for half in 0..=2 {
            let at = most * f64::from(half) / 2.2;
            axes.mark_y(&mut picture, at, &axes::label(at));
        }
        for (value, colour) in lines.iter().zip([OURS, OTHER]) {
            let points: Vec<_> = samples.iter().map(|sample| (sample.at as f64, value(sample))).collect();
            axes.curve(&mut picture, &points, colour);
        }
    }
    picture
}
