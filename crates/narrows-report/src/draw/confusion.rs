//! The confusion matrix as a picture.

use kuva::render::color::Color;
use kuva::render::render::{Primitive, Scene, TextAnchor};
use narrows::base::text::short_text;

use super::Figure;
use super::axes::{FONT, INK, MUTED, PAPER, finish, grouped};

/// Largest number of classes whose cells can be read.
pub(crate) const CELLS: usize = 30;

/// The confusion matrix: classes down, predicted classes across. A cell is the darker, the larger its share of the class.
/// None for no classes, or more than [`CELLS`].
pub(crate) fn confusion(names: &[String], confusion: &[Vec<usize>]) -> Option<Figure> {
    if names.is_empty() || names.len() > CELLS {
        return None;
    }
    let often = commonest_mistakes(names, confusion);
    let caption = format!(
        "Rows of each class (down) by the predicted class (across): blue is right, red wrong, each the darker the larger its share of the class; {often}."
    );
    let alternative = format!("Confusions of {} classes; {often}.", names.len());
    finish("confusion", "Confusions", caption, alternative, &scene(names, confusion))
}

/// The commonest mistakes in words.
fn commonest_mistakes(names: &[String], confusion: &[Vec<usize>]) -> String {
    let mut mistakes: Vec<(usize, usize, usize)> = Vec::new();
    for (row, predicted) in confusion.iter().enumerate() {
        let wrong = predicted.iter().enumerate().filter(|(column, cases)| *column != row && **cases > 0);
        mistakes.extend(wrong.map(|(column, &cases)| (cases, row, column)));
    }
    mistakes.sort_by(|a, b| b.0.cmp(&a.0).then((a.1, a.2).cmp(&(b.1, b.2))));
    let list: Vec<String> = mistakes
        .iter()
        .take(3)
        .map(|(cases, row, column)| format!("{} as {} ({})", names[*row], names[*column], grouped(*cases)))
        .collect();
    if list.is_empty() { "no mistake".into() } else { format!("most often: {}", list.join(", ")) }
}

/// Side of a cell, and the top left corner of the cells.
struct Grid {
    cell: f64,
    left: f64,
    top: f64,
}

fn scene(names: &[String], confusion: &[Vec<usize>]) -> Scene {
    let count = names.len() as f64;
    let longest = names.iter().map(|name| name.chars().count().min(14)).max().unwrap_or(1) as f64;
    let cell = (620.0 / count).clamp(22.0, 56.0);
    let grid = Grid { cell, left: longest * 7.5 + 60.0, top: 56.0 };
    let size = cell * count;
    let mut scene = Scene::new(grid.left + size + 24.0, grid.top + size + 16.0).with_background(Some(PAPER));
    scene.text_color = Some(INK.into());
    scene.font_family = Some(FONT.into());
    let middle = grid.left + size / 2.0;
    scene.add(text(middle, 18.0, "told to be".into(), TextAnchor::Middle, 13, MUTED));
    scene.add(text(12.0, grid.top - 10.0, "class".into(), TextAnchor::Start, 13, MUTED));
    for (row, (name, predicted)) in names.iter().zip(confusion).enumerate() {
        let all: usize = predicted.iter().sum();
        let beside = short_text(name, 14);
        scene.add(text(grid.left - 10.0, grid.baseline(row), beside, TextAnchor::End, 13, INK));
        let above = short_text(name, (cell / 8.0).max(3.0) as usize);
        scene.add(text(grid.centre(row), grid.top - 10.0, above, TextAnchor::Middle, 12, INK));
        for (column, &cases) in predicted.iter().enumerate() {
            let share = if all > 0 { cases as f64 / all as f64 } else { 0.0 };
            grid.draw_cell(&mut scene, (row, column), cases, share);
        }
    }
    scene
}

impl Grid {
    fn centre(&self, column: usize) -> f64 {
        self.left + (column as f64 + 0.5) * self.cell
    }

    fn baseline(&self, row: usize) -> f64 {
        self.top + (row as f64 + 0.5) * self.cell + 4.5
    }

    /// A coloured cell with its number of rows, which are `share` of the class.
    fn draw_cell(&self, scene: &mut Scene, (row, column): (usize, usize), cases: usize, share: f64) {
        // Mistakes of a good classifier are rare; the square root makes a few per cent visible.
        let depth = share.sqrt();
        scene.add(Primitive::Rect {
            x: self.left + column as f64 * self.cell + 1.0,
            y: self.top + row as f64 * self.cell + 1.0,
            width: self.cell - 2.0,
            height: self.cell - 2.0,
            fill: Color::from(colour(row == column, depth).as_str()),
            stroke: None,
            stroke_width: None,
            opacity: None,
        });
        if cases > 0 {
            let colour = if depth > 0.6 { PAPER } else { "#111827" };
            let size = if self.cell > 36.0 { 12 } else { 9 };
            let (x, y) = (self.centre(column), self.baseline(row));
            scene.add(text(x, y, cases.to_string(), TextAnchor::Middle, size, colour));
        }
    }
}

/// From nearly white to blue for correct predictions, to red for mistakes.
fn colour(is_correct: bool, depth: f64) -> String {
    let blend = |from: f64, to: f64| (from + (to - from) * depth).round() as u8;
    let [red, green, blue] = if is_correct {
        [blend(245.0, 63.0), blend(247.0, 144.0), blend(250.0, 218.0)]
    } else {
        [blend(245.0, 189.0), blend(247.0, 31.0), blend(250.0, 1.0)]
    };
    format!("#{red:02x}{green:02x}{blue:02x}")
}

fn text(x: f64, y: f64, content: String, anchor: TextAnchor, size: u32, color: &str) -> Primitive {
    Primitive::Text {
        x,
        y,
        content,
        size,
        anchor,
        rotate: None,
        bold: false,
        color: Some(Color::from(color)),
    }
}
