//! Lines and bands as an SVG picture: panels one above the other, a variable each. It computes no statistics.

use std::fmt::Write as _;

const WIDTH: f64 = 800.0;
const PANEL_HEIGHT: f64 = 240.0;
const LEFT: f64 = 90.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 30.0;
const BOTTOM: f64 = 40.0;
const LINE: &str = "#1f5f99";
const BAND: &str = "#a9cbe8";
const GRID: &str = "#d8d8d8";
const TICKS: usize = 5;

/// One variable over time.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Panel {
    pub(super) title: String,
    pub(super) minutes: Vec<f64>,
    /// The value, or the middle of many.
    pub(super) middle: Vec<f64>,
    /// Lower and upper edge; empty where there is one value each.
    pub(super) band: Vec<(f64, f64)>,
}

/// Where a panel's values lie in the picture.
struct Frame {
    x: (f64, f64),
    y: (f64, f64),
    top: f64,
}

/// The whole picture.
pub(super) fn picture(panels: &[Panel]) -> String {
    let height = PANEL_HEIGHT * panels.len() as f64;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" viewBox=\"0 0 {WIDTH} {height}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    for (place, panel) in panels.iter().enumerate() {
        draw(&mut svg, panel, PANEL_HEIGHT * place as f64);
    }
    svg.push_str("</svg>\n");
    svg
}

fn draw(svg: &mut String, panel: &Panel, top: f64) {
    let edges = panel.band.iter().flat_map(|(low, high)| [*low, *high]);
    let y = range(panel.middle.iter().copied().chain(edges));
    let frame = Frame { x: range(panel.minutes.iter().copied()), y, top: top + TOP };
    // Writing to a String cannot fail.
    let _ = writeln!(
        svg,
        "<text x=\"{LEFT}\" y=\"{}\" font-weight=\"bold\">{}</text>",
        top + 18.0,
        escaped(&panel.title)
    );
    axes(svg, &frame);
    if !panel.band.is_empty() {
        let upper = panel.minutes.iter().zip(&panel.band).map(|(minute, band)| frame.at(*minute, band.1));
        let lower = panel.minutes.iter().zip(&panel.band).map(|(minute, band)| frame.at(*minute, band.0));
        let outline: Vec<String> = upper.chain(lower.rev()).collect();
        let _ = writeln!(svg, "<polygon points=\"{}\" fill=\"{BAND}\" stroke=\"none\"/>", outline.join(" "));
    }
    let points = panel.minutes.iter().zip(&panel.middle).filter(|(_, value)| value.is_finite());
    let points: Vec<String> = points.map(|(minute, value)| frame.at(*minute, *value)).collect();
    let _ = writeln!(
        svg,
        "<polyline points=\"{}\" fill=\"none\" stroke=\"{LINE}\" stroke-width=\"1.5\"/>",
        points.join(" ")
    );
}

fn axes(svg: &mut String, frame: &Frame) {
    for value in ticks(frame.y) {
        let y = frame.y_of(value);
        let _ = writeln!(
            svg,
            "<line x1=\"{LEFT}\" y1=\"{y:.2}\" x2=\"{}\" y2=\"{y:.2}\" stroke=\"{GRID}\"/>\
             <text x=\"{}\" y=\"{:.2}\" text-anchor=\"end\">{}</text>",
            WIDTH - RIGHT,
            LEFT - 6.0,
            y + 4.0,
            label(value)
        );
    }
    let bottom = frame.top + plot_height();
    for value in ticks(frame.x) {
        let x = frame.x_of(value);
        let _ = writeln!(
            svg,
            "<line x1=\"{x:.2}\" y1=\"{:.2}\" x2=\"{x:.2}\" y2=\"{bottom:.2}\" stroke=\"{GRID}\"/>\
             <text x=\"{x:.2}\" y=\"{:.2}\" text-anchor=\"middle\">{}</text>",
            frame.top,
            bottom + 16.0,
            label(value)
        );
    }
    let _ = writeln!(
        svg,
        "<text x=\"{}\" y=\"{:.2}\" text-anchor=\"end\">simulated minutes</text>",
        WIDTH - RIGHT,
        bottom + 32.0
    );
}

impl Frame {
    fn at(&self, minute: f64, value: f64) -> String {
        format!("{:.2},{:.2}", self.x_of(minute), self.y_of(value))
    }

    fn x_of(&self, minute: f64) -> f64 {
        LEFT + share(self.x, minute) * (WIDTH - LEFT - RIGHT)
    }

    fn y_of(&self, value: f64) -> f64 {
        self.top + (1.0 - share(self.y, value)) * plot_height()
    }
}

fn plot_height() -> f64 {
    PANEL_HEIGHT - TOP - BOTTOM
}

fn share((low, high): (f64, f64), value: f64) -> f64 {
    (value - low) / (high - low)
}

/// Lowest and highest, never the same.
fn range(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let finite = values.filter(|value| value.is_finite());
    let (low, high) = finite
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
    if low > high {
        return (0.0, 1.0);
    }
    let room = if high > low { 0.0 } else { (0.05 * high.abs()).max(0.5) };
    (low - room, high + room)
}

/// Round values within a range: 1, 2 or 5 times a power of ten apart.
fn ticks((low, high): (f64, f64)) -> Vec<f64> {
    let rough = (high - low) / TICKS as f64;
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|times| times * power).find(|step| *step >= rough);
    let step = step.unwrap_or(rough);
    let first = (low / step).ceil();
    let values = (0..=2 * TICKS).map(|place| (first + place as f64) * step);
    values.take_while(|value| *value <= high + 1e-9 * step).collect()
}

fn label(value: f64) -> String {
    let size = value.abs();
    if size != 0.0 && !(1e-3..1e6).contains(&size) {
        return format!("{value:.1e}");
    }
    let text = format!("{value:.4}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_within_the_range() {
        assert_eq!(ticks((0.0, 100.0)), vec![0.0, 20.0, 40.0, 60.0, 80.0, 100.0]);
        assert!(ticks((0.013, 0.0271)).iter().all(|tick| (0.013..=0.0272).contains(tick)));
    }

    #[test]
    fn a_band_is_drawn_behind_its_line() {
        let panel = Panel {
            title: "atp < all".to_owned(),
            minutes: vec![0.0, 1.0],
            middle: vec![5.0, 5.0],
            band: vec![(4.0, 6.0), (4.5, 5.5)],
        };
        let svg = picture(&[panel]);
        let (band, line) = (svg.find("<polygon"), svg.find("<polyline"));
        assert!(band < line && band.is_some(), "{svg}");
        assert!(svg.contains("atp &lt; all"));
    }
}
