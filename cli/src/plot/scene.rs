//! Where everything of a picture stands: panels one above the other, a variable each, as simple shapes. It computes no
//! statistics and knows no file format.

pub(super) const WIDTH: f64 = 800.0;
const PANEL_HEIGHT: f64 = 260.0;
const LEFT: f64 = 96.0;
const RIGHT: f64 = 24.0;
const TOP: f64 = 36.0;
const BOTTOM: f64 = 52.0;
const TICKS: usize = 5;
/// Above and below the curves, as a share of their range.
const ROOM: f64 = 0.05;

pub(super) const LINE: Colour = Colour(0x1f, 0x5f, 0x99);
pub(super) const BAND: Colour = Colour(0xb5, 0xd3, 0xec);
const GRID: Colour = Colour(0xe2, 0xe2, 0xe2);
const FRAME: Colour = Colour(0x80, 0x80, 0x80);
const INK: Colour = Colour(0x22, 0x22, 0x22);

/// Red, green, blue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Colour(pub(super) u8, pub(super) u8, pub(super) u8);

/// Which point of a text its place is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

/// What a picture is made of, the first behind the later ones. Places are in pixels from the upper left.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Shape {
    Line { points: Vec<(f64, f64)>, colour: Colour, width: f64 },
    Area { points: Vec<(f64, f64)>, colour: Colour },
    Text { at: (f64, f64), anchor: Anchor, size: f64, upwards: bool, text: String },
}

/// One variable over time.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Panel {
    pub(super) title: String,
    /// Of the values.
    pub(super) unit: String,
    pub(super) minutes: Vec<f64>,
    /// The value, or the middle of many.
    pub(super) middle: Vec<f64>,
    /// Lower and upper edge; empty where there is one value each.
    pub(super) band: Vec<(f64, f64)>,
}

/// A whole picture.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Scene {
    pub(super) height: f64,
    pub(super) shapes: Vec<Shape>,
}

/// Where a panel's values lie in the picture.
struct Frame {
    x: (f64, f64),
    y: (f64, f64),
    top: f64,
}

impl Scene {
    pub(super) fn of(panels: &[Panel]) -> Self {
        let mut scene = Self { height: PANEL_HEIGHT * panels.len() as f64, shapes: Vec::new() };
        for (place, panel) in panels.iter().enumerate() {
            scene.panel(panel, PANEL_HEIGHT * place as f64);
        }
        scene
    }

    fn panel(&mut self, panel: &Panel, top: f64) {
        let edges = panel.band.iter().flat_map(|(low, high)| [*low, *high]);
        let y = widened(range(panel.middle.iter().copied().chain(edges)));
        let frame = Frame { x: range(panel.minutes.iter().copied()), y, top: top + TOP };
        self.text((LEFT, top + 22.0), Anchor::Start, 14.0, panel.title.clone());
        self.axes(&frame, &panel.unit);
        if !panel.band.is_empty() {
            let band = || panel.minutes.iter().zip(&panel.band);
            let upper = band().map(|(minute, band)| frame.at(*minute, band.1));
            let lower = band().map(|(minute, band)| frame.at(*minute, band.0));
            let points = upper.chain(lower.rev()).collect();
            self.shapes.push(Shape::Area { points, colour: BAND });
            self.legend(top + 22.0);
        }
        let points = panel.minutes.iter().zip(&panel.middle).filter(|(_, value)| value.is_finite());
        let points = points.map(|(minute, value)| frame.at(*minute, *value)).collect();
        self.shapes.push(Shape::Line { points, colour: LINE, width: 1.8 });
        self.outline(&frame);
    }

    fn axes(&mut self, frame: &Frame, unit: &str) {
        let (right, bottom) = (WIDTH - RIGHT, frame.top + plot_height());
        let values = ticks(frame.y);
        for (value, label) in values.iter().zip(labels(&values)) {
            let y = frame.y_of(*value);
            self.line(vec![(LEFT, y), (right, y)], GRID);
            self.text((LEFT - 8.0, y + 4.0), Anchor::End, 12.0, label);
        }
        let values = ticks(frame.x);
        for (value, label) in values.iter().zip(labels(&values)) {
            let x = frame.x_of(*value);
            self.line(vec![(x, frame.top), (x, bottom)], GRID);
            self.text((x, bottom + 17.0), Anchor::Middle, 12.0, label);
        }
        let middle = LEFT + (right - LEFT) / 2.0;
        self.text((middle, bottom + 36.0), Anchor::Middle, 12.0, "simulated time (min)".to_owned());
        let at = (18.0, frame.top + plot_height() / 2.0);
        let text = unit.to_owned();
        self.shapes.push(Shape::Text { at, anchor: Anchor::Middle, size: 12.0, upwards: true, text });
    }

    /// At the right end of the title's line.
    fn legend(&mut self, base: f64) {
        let (right, y) = (WIDTH - RIGHT, base - 4.0);
        self.text((right, base), Anchor::End, 12.0, "5 to 95 %".to_owned());
        let (from, to) = (right - 92.0, right - 68.0);
        let points = vec![(from, y - 5.0), (to, y - 5.0), (to, y + 5.0), (from, y + 5.0)];
        self.shapes.push(Shape::Area { points, colour: BAND });
        self.text((right - 104.0, base), Anchor::End, 12.0, "median".to_owned());
        let points = vec![(right - 182.0, y), (right - 158.0, y)];
        self.shapes.push(Shape::Line { points, colour: LINE, width: 1.8 });
    }

    fn outline(&mut self, frame: &Frame) {
        let (right, bottom) = (WIDTH - RIGHT, frame.top + plot_height());
        let corners =
            vec![(LEFT, frame.top), (right, frame.top), (right, bottom), (LEFT, bottom), (LEFT, frame.top)];
        self.line(corners, FRAME);
    }

    fn line(&mut self, points: Vec<(f64, f64)>, colour: Colour) {
        self.shapes.push(Shape::Line { points, colour, width: 1.0 });
    }

    fn text(&mut self, at: (f64, f64), anchor: Anchor, size: f64, text: String) {
        self.shapes.push(Shape::Text { at, anchor, size, upwards: false, text });
    }
}

impl Shape {
    pub(super) fn ink() -> Colour {
        INK
    }
}

impl Frame {
    fn at(&self, minute: f64, value: f64) -> (f64, f64) {
        (self.x_of(minute), self.y_of(value))
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

/// With some room at both ends; what is nowhere negative does not get a negative end.
fn widened((low, high): (f64, f64)) -> (f64, f64) {
    let room = ROOM * (high - low);
    let below = low - room;
    (if low >= 0.0 { below.max(0.0) } else { below }, high + room)
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

/// All of an axis with as many decimals as the one that needs most.
fn labels(values: &[f64]) -> Vec<String> {
    let most = values.iter().fold(0.0_f64, |most, value| most.max(value.abs()));
    if most != 0.0 && !(1e-3..1e6).contains(&most) {
        return values.iter().map(|value| format!("{value:.1e}")).collect();
    }
    let needed = |value: &f64| {
        let text = format!("{value:.7}");
        text.trim_end_matches('0').split('.').nth(1).map_or(0, str::len)
    };
    let decimals = values.iter().map(needed).max().unwrap_or(0);
    values.iter().map(|value| format!("{value:.decimals$}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_within_the_range() {
        assert_eq!(ticks((0.0, 100.0)), vec![0.0, 20.0, 40.0, 60.0, 80.0, 100.0]);
        assert_eq!(labels(&[0.0055, 0.006, 0.0065]), ["0.0055", "0.0060", "0.0065"]);
        assert_eq!(labels(&ticks((0.0, 300_000.0)))[1], "100000");
        assert!(ticks((0.013, 0.0271)).iter().all(|tick| (0.013..=0.0272).contains(tick)));
    }

    #[test]
    fn a_band_is_drawn_behind_its_line_and_everything_within_the_picture() {
        let panel = Panel {
            title: "atp".to_owned(),
            unit: "molecules".to_owned(),
            minutes: vec![0.0, 1.0],
            middle: vec![5.0, 5.0],
            band: vec![(4.0, 6.0), (4.5, 5.5)],
        };
        let scene = Scene::of(&[panel]);
        let place = |wanted: Colour| {
            scene.shapes.iter().position(|shape| match shape {
                Shape::Line { colour, .. } | Shape::Area { colour, .. } => *colour == wanted,
                Shape::Text { .. } => false,
            })
        };
        assert!(place(BAND) < place(LINE) && place(BAND).is_some());
        for shape in &scene.shapes {
            let points = match shape {
                Shape::Line { points, .. } | Shape::Area { points, .. } => points.clone(),
                Shape::Text { at, .. } => vec![*at],
            };
            let within = |(x, y): &(f64, f64)| (0.0..=WIDTH).contains(x) && (0.0..=scene.height).contains(y);
            assert!(points.iter().all(within), "{shape:?}");
        }
    }
}
