//! One page that needs no other file, no script and no network.

use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::{Contents, Figure, LayerAlone, charts, pictures, starts};
use narrows::network::plan::LayerTable;

/// The style of the page. In the dark it also gives the charts' neutral colours their dark counterparts.
const STYLE: &str = include_str!("page.css");

/// The whole page. `figures` are in the order they are shown; those of its sections are added.
pub(super) fn render(contents: &Contents, figures: &mut Vec<Figure>) -> String {
    let mut page = head("Narrows report", contents.title, contents.verdict);
    // What was rebuilt comes first, then the figures in numbers, then the other charts.
    let (first, rest) =
        figures.split_at(usize::from(figures.first().is_some_and(|one| one.name == "reconstructions")));
    for one in first {
        figure(&mut page, one);
    }
    facts(&mut page, contents.facts);
    for one in rest {
        figure(&mut page, one);
    }
    figures.extend(contents.starts.and_then(|starts| starts::section(&mut page, starts)));
    layers(&mut page, contents.layers);
    figures.extend(layers_alone(&mut page, contents.pretraining));
    recipe(&mut page, "Recipe", contents.recipe);
    page.push_str(END);
    page
}

/// What every page ends with.
pub(super) const END: &str = "</main>\n</body>\n</html>\n";

/// Everything up to the first section.
pub(super) fn head(kind: &str, title: &str, verdict: &str) -> String {
    let title = escape(title);
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n<p class=\"kind\">{kind}</p>\n<h1>{title}</h1>\n"
    );
    if !verdict.is_empty() {
        put(&mut page, format_args!("<p class=\"verdict\">{}</p>\n", escape(verdict)));
    }
    page
}

/// A recipe as TOML.
pub(super) fn recipe(page: &mut String, heading: &str, recipe: &str) {
    if recipe.is_empty() {
        return;
    }
    let (heading, recipe) = (escape(heading), escape(recipe.trim_end()));
    put(
        page,
        format_args!(
            "<section>\n<h2>{heading}</h2>\n<pre class=\"wide\" tabindex=\"0\"><code>{recipe}</code></pre>\n</section>\n"
        ),
    );
}

/// A figure as a section of its own.
pub(super) fn figure(page: &mut String, figure: &Figure) {
    put(page, format_args!("<section>\n<h2>{}</h2>\n", figure.heading));
    drawing(page, figure);
    page.push_str("</section>\n");
}

/// A figure with what it shows in words.
fn drawing(page: &mut String, figure: &Figure) {
    let alternative = escape(&figure.alternative);
    page.push_str("<figure>\n");
    match &figure.svg {
        Some(svg) => {
            let labelled = format!("<svg role=\"img\" aria-label=\"{alternative}\" ");
            put(
                page,
                format_args!(
                    "<div class=\"chart wide\" tabindex=\"0\">{}</div>\n",
                    svg.replacen("<svg ", &labelled, 1)
                ),
            );
        }
        None => {
            let (width, height) = figure.size;
            put(
                page,
                format_args!(
                    "<div class=\"picture\"><img src=\"data:image/png;base64,{}\" width=\"{width}\" height=\"{height}\" alt=\"{alternative}\"></div>\n",
                    STANDARD.encode(&figure.png)
                ),
            );
        }
    }
    put(page, format_args!("<figcaption>{}</figcaption>\n</figure>\n", escape(&figure.caption)));
}

pub(super) fn facts(page: &mut String, facts: &[(String, String)]) {
    if facts.is_empty() {
        return;
    }
    page.push_str("<section>\n<h2>Numbers</h2>\n");
    list(page, facts);
    page.push_str("</section>\n");
}

/// Figures by name.
fn list(page: &mut String, facts: &[(String, String)]) {
    page.push_str("<dl class=\"facts\">\n");
    for (name, value) in facts {
        put(page, format_args!("<div><dt>{}</dt><dd>{}</dd></div>\n", escape(name), escape(value)));
    }
    page.push_str("</dl>\n");
}

/// All that is known of layers that were trained alone, a section for each. Answers their figures.
pub(super) fn layers_alone(page: &mut String, layers: &[LayerAlone]) -> Vec<Figure> {
    let mut all = Vec::new();
    for (place, layer) in layers.iter().enumerate() {
        let name = |what: &str| format!("layer-{}-{what}", place + 1);
        let loss = charts::loss(&name("loss"), layer.history, layer.loss_name, None, layer.kept_epoch);
        let filters = pictures::filters(name("weights"), place, layer);
        let figures: Vec<Figure> = loss.into_iter().chain(filters).collect();
        let (inputs, units) = layer.widths;
        put(page, format_args!("<section>\n<h2>Layer {} alone: {inputs}-{units}</h2>\n", place + 1));
        if !layer.facts.is_empty() {
            list(page, layer.facts);
        }
        figures.iter().for_each(|figure| drawing(page, figure));
        page.push_str("</section>\n");
        all.extend(figures);
    }
    all
}

pub(super) fn layers(page: &mut String, table: &LayerTable) {
    if table.rows.is_empty() {
        return;
    }
    page.push_str("<section>\n<h2>Layers</h2>\n<div class=\"wide\" tabindex=\"0\">\n<table>\n<thead><tr>");
    // A column of numbers is read from its right end.
    let numeric = |column: usize| {
        let mut cells =
            table.rows.iter().filter_map(|row| row.get(column)).filter(|cell| !cell.is_empty()).peekable();
        cells.peek().is_some()
            && cells.all(|cell| cell.chars().all(|c| c.is_ascii_digit() || ",. ".contains(c)))
    };
    let class = |column| if numeric(column) { " class=\"number\"" } else { "" };
    for (column, name) in table.header.iter().enumerate() {
        put(page, format_args!("<th scope=\"col\"{}>{}</th>", class(column), escape(name)));
    }
    page.push_str("</tr></thead>\n<tbody>\n");
    for row in &table.rows {
        page.push_str("<tr>");
        for (column, cell) in row.iter().enumerate() {
            put(page, format_args!("<td{}>{}</td>", class(column), escape(cell)));
        }
        page.push_str("</tr>\n");
    }
    page.push_str("</tbody>\n</table>\n</div>\n</section>\n");
}

pub(super) fn put(page: &mut String, text: std::fmt::Arguments) {
    page.write_fmt(text).expect("a string takes all text");
}

/// Text as HTML shows it, between tags and inside double quotes. Control characters, which HTML forbids, show as what they are: unknown.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            '\n' | '\t' => escaped.push(character),
            '\r' => {}
            _ if character.is_control() => escaped.push('\u{fffd}'),
            _ => escaped.push(character),
        }
    }
    escaped
}
