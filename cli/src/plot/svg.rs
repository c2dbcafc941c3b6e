//! A scene as SVG text.

use std::fmt::Write as _;

use super::scene::{Anchor, Colour, Scene, Shape, WIDTH};

pub(super) fn svg(scene: &Scene) -> String {
    let height = scene.height;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" viewBox=\"0 0 {WIDTH} {height}\" \
         font-family=\"DejaVu Sans, Verdana, sans-serif\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    for shape in &scene.shapes {
        // Writing to a String cannot fail.
        let _ = writeln!(svg, "{}", element(shape));
    }
    svg.push_str("</svg>\n");
    svg
}

fn element(shape: &Shape) -> String {
    match shape {
        Shape::Line { points, colour, width } => format!(
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"{width}\"/>",
            listed(points),
            hex(*colour)
        ),
        Shape::Area { points, colour } => {
            format!("<polygon points=\"{}\" fill=\"{}\"/>", listed(points), hex(*colour))
        }
        Shape::Text { at: (x, y), anchor, size, upwards, text } => {
            let anchor = match anchor {
                Anchor::Start => "start",
                Anchor::Middle => "middle",
                Anchor::End => "end",
            };
            let turned =
                if *upwards { format!(" transform=\"rotate(-90 {x:.2} {y:.2})\"") } else { String::new() };
            format!(
                "<text x=\"{x:.2}\" y=\"{y:.2}\" font-size=\"{size}\" text-anchor=\"{anchor}\" fill=\"{}\"{turned}>{}</text>",
                hex(Shape::ink()),
                escaped(text)
            )
        }
    }
}

fn listed(points: &[(f64, f64)]) -> String {
    points.iter().map(|(x, y)| format!("{x:.2},{y:.2}")).collect::<Vec<_>>().join(" ")
}

fn hex(Colour(red, green, blue): Colour) -> String {
    format!("#{red:02x}{green:02x}{blue:02x}")
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_break_out_of_its_element() {
        let text = "atp < all & more".to_owned();
        let text = Shape::Text { at: (1.0, 2.0), anchor: Anchor::End, size: 12.0, upwards: true, text };
        let shown = element(&text);
        assert!(shown.contains(">atp &lt; all &amp; more</text>") && shown.contains("rotate(-90"), "{shown}");
    }
}
