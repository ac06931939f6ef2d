//! The page of a classifier: how often each class is told as each other, and the rows that are told worst.

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kuva::render::color::Color;
use kuva::render::render::{Primitive, Scene, TextAnchor};

use super::charts::{FONT, INK, MUTED, PAPER, finish, grouped};
use super::page::{END, escape, facts, figure, head, layers, layers_alone, put, recipe};
use super::{Figure, LayerAlone, Starts, bars, charts, pictures, starts, write_files};
use narrows::base::atomic_file;
use narrows::base::text::short_text;
use narrows::data::Shape;
use narrows::error::Result;
use narrows::network::plan::LayerTable;
use narrows::progress::EpochRecord;

/// Classes up to which each pair has a cell that can be read.
const CELLS: usize = 30;

/// Everything the page of a classifier says. Empty slices and `None` leave their part out.
#[derive(Debug, Clone)]
pub struct ClassesContents<'a> {
    /// What was judged on what: `classifier on mnist`.
    pub title: &'a str,
    /// One plain sentence.
    pub verdict: &'a str,
    /// Figures by name.
    pub facts: &'a [(String, String)],
    /// The layers, one a row.
    pub layers: &'a LayerTable,
    /// The share told wrong by each method, the classifier last.
    pub errors: &'a [(String, f64)],
    /// The losses and errors, epoch by epoch.
    pub history: &'a [EpochRecord],
    /// The epoch whose parameters were kept, where that is not just the last.
    pub kept_epoch: Option<usize>,
    /// The names of the classes.
    pub names: &'a [String],
    /// For each class (a row) how many of its rows were told to be of each class (a column).
    pub confusion: &'a [Vec<usize>],
    /// The rows that were told worst, the worst first.
    pub worst: &'a [Mistake],
    /// The shape of a row.
    pub shape: Shape,
    /// The worst rows' numbers on the scale where 0 is black and 1 is white, one row after the other.
    pub images: &'a [f32],
    /// The layers that were trained alone before.
    pub pretraining: &'a [LayerAlone<'a>],
    /// The same network from other starts beside it.
    pub starts: Option<&'a Starts>,
    /// The recipe, as TOML.
    pub recipe: &'a str,
}

/// A row whose class was told wrong.
#[derive(Debug, Clone, PartialEq)]
pub struct Mistake {
    /// Its number, from 1.
    pub row: usize,
    /// Its class.
    pub class: String,
    /// The class it was told to be of.
    pub told: String,
    /// The share that class was given.
    pub share: f64,
    /// The share its own class was given.
    pub own: f64,
}

/// Writes the page of a classifier into `directory`, and answers the paths written, `report.html` first.
///
/// Beside the page: `errors`, `loss`, `error-by-epoch`, `confusion`, as `.png` and `.svg`, and `worst.png` where rows are
/// images.
pub fn write_classes(directory: &Path, contents: &ClassesContents<'_>) -> Result<Vec<PathBuf>> {
    let mut figures: Vec<Figure> = [
        confusion(contents.names, contents.confusion),
        bars::errors(contents.errors),
        charts::loss("loss", contents.history, "cross-entropy", None, contents.kept_epoch),
        charts::errors(contents.history),
    ]
    .into_iter()
    .flatten()
    .collect();
    let mut page = head("Narrows report", contents.title, contents.verdict);
    facts(&mut page, contents.facts);
    for one in &figures {
        figure(&mut page, one);
    }
    if contents.names.len() > CELLS {
        put(
            &mut page,
            format_args!(
                "<p class=\"notes\">There are {} classes: confusions are drawn of {CELLS} at most.</p>\n",
                contents.names.len()
            ),
        );
    }
    worst(&mut page, contents);
    figures.extend(contents.starts.and_then(|starts| starts::section(&mut page, starts)));
    layers(&mut page, contents.layers);
    figures.extend(layers_alone(&mut page, contents.pretraining));
    recipe(&mut page, "Recipe", contents.recipe);
    page.push_str(END);
    let mut written = write_files(directory, &figures, &page)?;
    if contents.shape.is_image()
        && let Some((png, _)) = pictures::grid(contents.shape, contents.images, 10, (0.0, 1.0))
    {
        let path = directory.join("worst.png");
        atomic_file::write(&path, &png)?;
        written.push(path);
    }
    Ok(written)
}

/// The rows that were told worst: as images, or in a table.
fn worst(page: &mut String, contents: &ClassesContents<'_>) {
    if contents.worst.is_empty() {
        return;
    }
    page.push_str("<section>\n<h2>Told worst</h2>\n");
    let percent = |share: f64| format!("{:.0} %", share * 100.0);
    if contents.shape.is_image() {
        page.push_str("<div class=\"tiles\">\n");
        for (mistake, image) in contents.worst.iter().zip(contents.images.chunks_exact(contents.shape.len()))
        {
            let Some((png, _)) = pictures::grid(contents.shape, image, 1, (0.0, 1.0)) else { continue };
            let (class, told) = (escape(&mistake.class), escape(&mistake.told));
            let row = mistake.row;
            put(
                page,
                format_args!(
                    "<figure><img src=\"data:image/png;base64,{}\" width=\"84\" alt=\"row {row}: {class} told as {told}\">\
                     <figcaption>{class} as <strong>{told}</strong><br>{} to {}<br>row {row}</figcaption></figure>\n",
                    STANDARD.encode(&png),
                    percent(mistake.own),
                    percent(mistake.share)
                ),
            );
        }
        page.push_str("</div>\n<p class=\"notes\">The class of each row and the class it was told to be of, and the shares that both were given; the row that was given the least of its own class comes first. Rows are numbered from 1 among those that were judged.</p>\n");
    } else {
        page.push_str("<table>\n<thead><tr><th scope=\"col\" class=\"number\">row</th><th scope=\"col\">class</th><th scope=\"col\">told as</th><th scope=\"col\" class=\"number\">share of its class</th><th scope=\"col\" class=\"number\">share told</th></tr></thead>\n<tbody>\n");
        for mistake in contents.worst {
            put(
                page,
                format_args!(
                    "<tr><td class=\"number\">{}</td><td>{}</td><td>{}</td><td class=\"number\">{}</td><td class=\"number\">{}</td></tr>\n",
                    mistake.row,
                    escape(&mistake.class),
                    escape(&mistake.told),
                    percent(mistake.own),
                    percent(mistake.share)
                ),
            );
        }
        page.push_str("</tbody>\n</table>\n<p class=\"notes\">Rows are numbered from 1 among those that were judged; the one that was given the least of its own class comes first.</p>\n");
    }
    page.push_str("</section>\n");
}

/// A cell for each pair of classes; the darker, the more of the class's rows.
fn confusion(names: &[String], confusion: &[Vec<usize>]) -> Option<Figure> {
    let count = names.len();
    if count == 0 || count > CELLS {
        return None;
    }
    let longest = names.iter().map(|name| name.chars().count().min(14)).max().unwrap_or(1) as f64;
    let cell = (620.0 / count as f64).clamp(22.0, 56.0);
    let left = longest * 7.5 + 60.0;
    let top = 56.0;
    let size = cell * count as f64;
    let mut scene = Scene::new(left + size + 24.0, top + size + 16.0).with_background(Some(PAPER));
    scene.text_color = Some(INK.into());
    scene.font_family = Some(FONT.into());
    let text = |x: f64, y: f64, content: String, anchor, size: u32, color: &str| Primitive::Text {
        x,
        y,
        content,
        size,
        anchor,
        rotate: None,
        bold: false,
        color: Some(Color::from(color)),
    };
    scene.add(text(left + size / 2.0, 18.0, "told to be".into(), TextAnchor::Middle, 13, MUTED));
    scene.add(text(12.0, top - 10.0, "class".into(), TextAnchor::Start, 13, MUTED));
    for (row, (name, told)) in names.iter().zip(confusion).enumerate() {
        let all: usize = told.iter().sum();
        let middle = top + (row as f64 + 0.5) * cell + 4.5;
        scene.add(text(left - 10.0, middle, short_text(name, 14), TextAnchor::End, 13, INK));
        let above = short_text(name, (cell / 8.0).max(3.0) as usize);
        scene.add(text(left + (row as f64 + 0.5) * cell, top - 10.0, above, TextAnchor::Middle, 12, INK));
        for (column, &cases) in told.iter().enumerate() {
            let share = if all > 0 { cases as f64 / all as f64 } else { 0.0 };
            // Mistakes are rare where a classifier is good: the square root lets a few per cent be seen.
            let depth = share.sqrt();
            let blend = |from: f64, to: f64| (from + (to - from) * depth).round() as u8;
            let [red, green, blue] = if row == column {
                [blend(245.0, 63.0), blend(247.0, 144.0), blend(250.0, 218.0)]
            } else {
                [blend(245.0, 189.0), blend(247.0, 31.0), blend(250.0, 1.0)]
            };
            scene.add(Primitive::Rect {
                x: left + column as f64 * cell + 1.0,
                y: top + row as f64 * cell + 1.0,
                width: cell - 2.0,
                height: cell - 2.0,
                fill: Color::from(format!("#{red:02x}{green:02x}{blue:02x}").as_str()),
                stroke: None,
                stroke_width: None,
                opacity: None,
            });
            if cases > 0 {
                let colour = if depth > 0.6 { PAPER } else { "#111827" };
                let size = if cell > 36.0 { 12 } else { 9 };
                let x = left + (column as f64 + 0.5) * cell;
                scene.add(text(x, middle, cases.to_string(), TextAnchor::Middle, size, colour));
            }
        }
    }
    let mut mistakes: Vec<(usize, usize, usize)> = (0..count)
        .flat_map(|row| (0..count).map(move |column| (row, column)))
        .filter(|(row, column)| row != column)
        .map(|(row, column)| (confusion[row][column], row, column))
        .filter(|mistake| mistake.0 > 0)
        .collect();
    mistakes.sort_by(|a, b| b.0.cmp(&a.0).then((a.1, a.2).cmp(&(b.1, b.2))));
    let often: Vec<String> = mistakes
        .iter()
        .take(3)
        .map(|(cases, row, column)| format!("{} as {} ({})", names[*row], names[*column], grouped(*cases)))
        .collect();
    let often =
        if often.is_empty() { "no mistake".into() } else { format!("most often: {}", often.join(", ")) };
    let caption = format!(
        "Rows of each class (down) by the class they are told to be of (across): blue is right, red wrong, each the darker the larger its share of the class; {often}."
    );
    let alternative = format!("Confusions of {count} classes; {often}.");
    finish("confusion", "Confusions", caption, alternative, &scene)
}
