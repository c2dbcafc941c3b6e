//! A scene as PNG bytes: the same shapes, at twice the pixels, with letters of a font of our own (`font/`).

#![expect(
    clippy::cast_possible_truncation,
    reason = "places in a picture are small, and f32 is what is drawn with"
)]

use tiny_skia::{Color, FillRule, LineCap, LineJoin, Paint, Path, PathBuilder, Pixmap, Stroke, Transform};
use ttf_parser::{Face, GlyphId, OutlineBuilder};

use super::PlotError;
use super::scene::{Anchor, Colour, Scene, Shape, WIDTH};

const FONT: &[u8] = include_bytes!("font/sans.ttf");
/// Pixels for one of the scene's, so that letters are sharp.
const SCALE: f32 = 2.0;

#[expect(clippy::cast_sign_loss, reason = "sizes are not negative")]
pub(super) fn png(scene: &Scene) -> Result<Vec<u8>, PlotError> {
    let failed = |what: &str| PlotError::Png { reason: what.to_owned() };
    let (width, height) = ((WIDTH as f32 * SCALE) as u32, (scene.height as f32 * SCALE) as u32);
    let mut pixmap = Pixmap::new(width, height).ok_or_else(|| failed("so many panels make no picture"))?;
    pixmap.fill(Color::WHITE);
    let face = Face::parse(FONT, 0).map_err(|error| failed(&error.to_string()))?;
    for shape in &scene.shapes {
        draw(&mut pixmap, &face, shape);
    }
    pixmap.encode_png().map_err(|error| failed(&error.to_string()))
}

fn draw(pixmap: &mut Pixmap, face: &Face<'_>, shape: &Shape) {
    let scaled = Transform::from_scale(SCALE, SCALE);
    match shape {
        Shape::Line { points, colour, width } => {
            let stroke = Stroke {
                width: *width as f32,
                line_cap: LineCap::Butt,
                line_join: LineJoin::Round,
                ..Stroke::default()
            };
            if let Some(path) = path(points, false) {
                pixmap.stroke_path(&path, &paint(*colour), &stroke, scaled, None);
            }
        }
        Shape::Area { points, colour } => {
            if let Some(path) = path(points, true) {
                pixmap.fill_path(&path, &paint(*colour), FillRule::Winding, scaled, None);
            }
        }
        Shape::Text { at, anchor, size, upwards, text } => {
            let (letters, width) = letters(face, text, *size as f32);
            let back = match anchor {
                Anchor::Start => 0.0,
                Anchor::Middle => -width / 2.0,
                Anchor::End => -width,
            };
            let turn = if *upwards { Transform::from_rotate(-90.0) } else { Transform::identity() };
            let at = turn.post_translate(at.0 as f32, at.1 as f32).post_scale(SCALE, SCALE);
            if let Some(letters) = letters {
                let placed = at.pre_translate(back, 0.0);
                pixmap.fill_path(&letters, &paint(Shape::ink()), FillRule::Winding, placed, None);
            }
        }
    }
}

fn paint(Colour(red, green, blue): Colour) -> Paint<'static> {
    let mut paint = Paint { anti_alias: true, ..Paint::default() };
    paint.set_color_rgba8(red, green, blue, 255);
    paint
}

fn path(points: &[(f64, f64)], closed: bool) -> Option<Path> {
    let mut path = PathBuilder::new();
    for (place, (x, y)) in points.iter().enumerate() {
        let (x, y) = (*x as f32, *y as f32);
        if place == 0 { path.move_to(x, y) } else { path.line_to(x, y) }
    }
    if closed {
        path.close();
    }
    path.finish()
}

/// The outlines of a text from the origin to the right, and its width. A letter that the font lacks is left out.
fn letters(face: &Face<'_>, text: &str, size: f32) -> (Option<Path>, f32) {
    let scale = size / f32::from(face.units_per_em());
    let mut pen = Pen { path: PathBuilder::new(), x: 0.0, scale };
    for letter in text.chars() {
        let glyph: GlyphId = face.glyph_index(letter).unwrap_or_default();
        face.outline_glyph(glyph, &mut pen);
        pen.x += f32::from(face.glyph_hor_advance(glyph).unwrap_or(0)) * scale;
    }
    (pen.path.finish(), pen.x)
}

/// Outlines in the font's units, upwards, become pixels, downwards.
struct Pen {
    path: PathBuilder,
    x: f32,
    scale: f32,
}

impl Pen {
    fn at(&self, x: f32, y: f32) -> (f32, f32) {
        (self.x + x * self.scale, -y * self.scale)
    }
}

impl OutlineBuilder for Pen {
    fn move_to(&mut self, x: f32, y: f32) {
        let (x, y) = self.at(x, y);
        self.path.move_to(x, y);
    }

    fn line_to(&mut self, x: f32, y: f32) {
        let (x, y) = self.at(x, y);
        self.path.line_to(x, y);
    }

    fn quad_to(&mut self, x1: f32, y1: f32, x: f32, y: f32) {
        let ((x1, y1), (x, y)) = (self.at(x1, y1), self.at(x, y));
        self.path.quad_to(x1, y1, x, y);
    }

    fn curve_to(&mut self, x1: f32, y1: f32, x2: f32, y2: f32, x: f32, y: f32) {
        let ((x1, y1), (x2, y2), (x, y)) = (self.at(x1, y1), self.at(x2, y2), self.at(x, y));
        self.path.cubic_to(x1, y1, x2, y2, x, y);
    }

    fn close(&mut self) {
        self.path.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plot::scene::{BAND, LINE};

    #[test]
    fn lines_areas_and_letters_leave_their_colours_in_the_picture() {
        let square = vec![(10.0, 10.0), (60.0, 10.0), (60.0, 60.0), (10.0, 60.0)];
        let shapes = vec![
            Shape::Area { points: square, colour: BAND },
            Shape::Line { points: vec![(100.0, 10.0), (300.0, 10.0)], colour: LINE, width: 4.0 },
            Shape::Text {
                at: (100.0, 60.0),
                anchor: Anchor::Start,
                size: 40.0,
                upwards: false,
                text: "H".to_owned(),
            },
        ];
        let bytes = png(&Scene { height: 80.0, shapes }).unwrap();
        let picture = Pixmap::decode_png(&bytes).unwrap();
        assert_eq!((picture.width(), picture.height()), (1600, 160));
        let has = |Colour(red, green, blue): Colour| {
            let wanted = |pixel: &tiny_skia::PremultipliedColorU8| {
                (pixel.red(), pixel.green(), pixel.blue()) == (red, green, blue)
            };
            picture.pixels().iter().any(wanted)
        };
        assert!(has(BAND) && has(LINE) && has(Shape::ink()));
    }

    #[test]
    fn every_letter_of_the_labels_is_in_the_font() {
        let face = Face::parse(FONT, 0).unwrap();
        for letter in (' '..='~').chain(['µ', '±', '×']) {
            assert!(face.glyph_index(letter).is_some(), "{letter}");
        }
    }
}
