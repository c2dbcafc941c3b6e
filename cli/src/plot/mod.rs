//! What `bioxen plot` draws: a recording as lines; many at the same minutes as their median and the band from 5 to 95 %.
//! From text to a picture; it asks no fleet and writes no file.

mod png;
mod scene;
mod svg;

use std::collections::BTreeMap;

use scene::{Panel, Scene};

/// The column that every recording starts with.
const TIME: &str = "minute";
const LOW: f64 = 0.05;
const HIGH: f64 = 0.95;

/// Recorded values by variable and minute; several at one minute where there are several cells.
#[derive(Debug, Default)]
pub(crate) struct Recordings {
    /// In the order of the first recording.
    names: Vec<String>,
    /// By the bits of the minute, which sort as minutes do: none is negative.
    values: BTreeMap<u64, Vec<Vec<f64>>>,
}

/// Why there is nothing to draw.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PlotError {
    #[error("there is no recording: expected a CSV whose first column is minute; create the VM with record")]
    NoRecording,
    #[error("line {line} is not a row of {columns} numbers")]
    Row { line: usize, columns: usize },
    #[error("no column is called {name}; there are {known}")]
    NoColumn { name: String, known: String },
    #[error("the recordings are not of the same variables")]
    Different,
    #[error("the picture cannot be made as PNG ({reason}); try a name that ends with .svg")]
    Png { reason: String },
}

impl Recordings {
    /// Adds a recording in CSV.
    pub(crate) fn add_csv(&mut self, text: &str) -> Result<(), PlotError> {
        let mut lines = text.lines();
        let titles: Vec<&str> = lines.next().unwrap_or_default().split(',').collect();
        let Some((&TIME, names)) = titles.split_first() else { return Err(PlotError::NoRecording) };
        if self.names.is_empty() {
            self.names = names.iter().map(|name| (*name).to_owned()).collect();
        } else if self.names != names {
            return Err(PlotError::Different);
        }
        for (place, line) in lines.enumerate() {
            let wrong = || PlotError::Row { line: place + 2, columns: titles.len() };
            let number = |field: &str| if field.is_empty() { Ok(f64::NAN) } else { field.parse() };
            let row: Result<Vec<f64>, _> = line.split(',').map(number).collect();
            let row = row.map_err(|_| wrong())?;
            let (minute, values) =
                row.split_first().filter(|(minute, _)| **minute >= 0.0).ok_or_else(wrong)?;
            if values.len() != self.names.len() {
                return Err(wrong());
            }
            let at = self.values.entry(minute.to_bits()).or_insert_with(|| vec![Vec::new(); values.len()]);
            for (column, value) in at.iter_mut().zip(values) {
                column.extend(Some(*value).filter(|value| value.is_finite()));
            }
        }
        Ok(())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The picture of these variables, or of all, as SVG.
    pub(crate) fn svg(&self, variables: &[String]) -> Result<String, PlotError> {
        Ok(svg::svg(&self.scene(variables)?))
    }

    /// The same as PNG.
    pub(crate) fn png(&self, variables: &[String]) -> Result<Vec<u8>, PlotError> {
        png::png(&self.scene(variables)?)
    }

    fn scene(&self, variables: &[String]) -> Result<Scene, PlotError> {
        if self.values.is_empty() {
            return Err(PlotError::NoRecording);
        }
        let place = |name: &String| {
            self.names
                .iter()
                .position(|known| known == name)
                .ok_or_else(|| PlotError::NoColumn { name: name.clone(), known: self.names.join(", ") })
        };
        let wanted: Vec<usize> = if variables.is_empty() {
            (0..self.names.len()).collect()
        } else {
            variables.iter().map(place).collect::<Result<_, _>>()?
        };
        let panels: Vec<Panel> = wanted.into_iter().map(|column| self.panel(column)).collect();
        Ok(Scene::of(&panels))
    }

    fn panel(&self, column: usize) -> Panel {
        let name = &self.names[column];
        let mut panel =
            Panel { title: name.replace('_', " "), unit: unit(name).to_owned(), ..Panel::default() };
        let cells = self.values.values().map(|at| at[column].len()).max().unwrap_or(0);
        for (minute, at) in &self.values {
            let mut values = at[column].clone();
            values.sort_by(f64::total_cmp);
            // Where most cells have ended already the rest say nothing of all.
            if 2 * values.len() < cells {
                continue;
            }
            let Some(middle) = quantile(&values, 0.5) else { continue };
            panel.minutes.push(f64::from_bits(*minute));
            panel.middle.push(middle);
            if cells > 1 {
                panel.band.extend(quantile(&values, LOW).zip(quantile(&values, HIGH)));
            }
        }
        if cells > 1 {
            panel.title.push_str(&format!(", {cells} cells"));
        }
        panel
    }
}

/// What a variable is counted in.
fn unit(name: &str) -> &'static str {
    let endings = [
        ("_per_min", "1 / min"),
        ("_min", "min"),
        ("_fraction", "share of mass"),
        ("_closure", "ratio"),
        ("atp_level", "share of unlimited"),
        ("generation", "divisions"),
        ("copies", "copies"),
    ];
    endings.into_iter().find(|(ending, _)| name.ends_with(ending)).map_or("molecules", |(_, unit)| unit)
}

/// Of sorted values, linear between neighbours.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a place in a list, not negative"
)]
fn quantile(sorted: &[f64], share: f64) -> Option<f64> {
    let place = share * sorted.len().checked_sub(1)? as f64;
    let (low, high) = (place.floor() as usize, place.ceil() as usize);
    Some(sorted[low] + (sorted[high] - sorted[low]) * place.fract())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_recordings_become_a_median_and_a_band() {
        let mut recordings = Recordings::default();
        for value in 1..=21 {
            recordings.add_csv(&format!("minute,atp\n0.0,{value}.0\n1.5,{value}.0\n")).unwrap();
        }
        let panel = recordings.panel(0);
        assert_eq!((panel.minutes, panel.middle), (vec![0.0, 1.5], vec![11.0, 11.0]));
        assert_eq!(panel.band, vec![(2.0, 20.0), (2.0, 20.0)]);
    }

    #[test]
    fn what_is_no_recording_is_told_with_what_was_expected() {
        let mut recordings = Recordings::default();
        assert_eq!(recordings.add_csv("member,vm_id\n1,a\n"), Err(PlotError::NoRecording));
        assert_eq!(recordings.add_csv("minute,atp\n0,x\n"), Err(PlotError::Row { line: 2, columns: 2 }));
        let mut recordings = Recordings::default();
        recordings.add_csv("minute,atp\n0,1\n").unwrap();
        let missing = recordings.svg(&["atq".to_owned()]);
        assert_eq!(missing, Err(PlotError::NoColumn { name: "atq".to_owned(), known: "atp".to_owned() }));
    }
}
