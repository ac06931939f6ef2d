//! A page in HTML as it is written, section by section. It needs no other file, no script and no network.

use std::fmt::Write;

use narrows::network::plan::{LayerRow, LayerTable};

use crate::draw::Figure;
use crate::draw::pictures::Picture;
use crate::page::{File, Page};

/// The style sheet. In dark mode it also replaces the neutral colours of charts.
const STYLE: &str = include_str!("page.css");

/// The class attribute of cells with numbers, which are aligned to the right.
pub(crate) const NUMBER: &str = " class=\"number\"";

/// A cell of a table: its class attribute and its text.
pub(crate) type HtmlCell = (&'static str, String);

/// A page that is being written, and the files of its figures.
pub(crate) struct Document {
    html: String,
    files: Vec<File>,
}

impl Document {
    /// Begins a page. `kind` stands above its title.
    pub fn new(kind: &str, title: &str, verdict: &str) -> Self {
        let title = escape(title);
        let html = format!(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n<p class=\"kind\">{kind}</p>\n<h1>{title}</h1>\n"
        );
        let mut document = Self { html, files: Vec::new() };
        if !verdict.is_empty() {
            document.put(format_args!("<p class=\"verdict\">{}</p>\n", escape(verdict)));
        }
        document
    }

    /// Ends the page.
    pub fn finish(mut self) -> Page {
        self.html.push_str("</main>\n</body>\n</html>\n");
        Page { html: self.html, files: self.files }
    }

    /// Adds a file beside the page.
    pub fn add_file(&mut self, name: String, bytes: Vec<u8>) {
        self.files.push(File { name, bytes });
    }

    /// Writes HTML.
    pub fn put(&mut self, html: std::fmt::Arguments) {
        self.html.write_fmt(html).expect("a string takes all text");
    }

    /// Writes a section with a heading.
    pub fn section(&mut self, heading: &str, contents: impl FnOnce(&mut Self)) {
        self.put(format_args!("<section>\n<h2>{}</h2>\n", escape(heading)));
        contents(self);
        self.html.push_str("</section>\n");
    }

    /// Writes a figure as a section of its own, and adds its files. Without a figure nothing is written.
    pub fn figure(&mut self, figure: impl Into<Option<Figure>>) {
        if let Some(figure) = figure.into() {
            self.section(figure.heading, |section| section.drawing(figure));
        }
    }

    /// Writes a figure into the section that is being written, and adds its files.
    pub fn drawing(&mut self, figure: Figure) {
        let Figure { name, caption, alternative, svg, png, size, .. } = figure;
        let alternative = escape(&alternative);
        self.html.push_str("<figure>\n");
        match svg {
            Some(svg) => {
                let labelled = format!("<svg role=\"img\" aria-label=\"{alternative}\" ");
                let labelled = svg.replacen("<svg ", &labelled, 1);
                self.put(format_args!("<div class=\"chart wide\" tabindex=\"0\">{labelled}</div>\n"));
                self.add_file(format!("{name}.svg"), svg.into_bytes());
            }
            None => {
                let image = image(&png, size, &alternative);
                self.put(format_args!("<div class=\"picture\">{image}</div>\n"));
            }
        }
        self.add_file(format!("{name}.png"), png);
        self.put(format_args!("<figcaption>{}</figcaption>\n</figure>\n", escape(&caption)));
    }

    /// Writes strips of images, each with its name beside it, as a section of its own.
    pub fn strips(&mut self, heading: &str, caption: &str, strips: Vec<(String, Picture)>) {
        self.section(heading, |section| {
            section.html.push_str("<figure>\n<div class=\"strips\">\n");
            for (name, (png, size)) in strips {
                let name = escape(&name);
                section.put(format_args!("<span>{name}</span>{}\n", image(&png, size, &name)));
            }
            section.put(format_args!("</div>\n<figcaption>{}</figcaption>\n</figure>\n", escape(caption)));
        });
    }

    /// Writes numbers by name as a section of their own.
    pub fn facts(&mut self, facts: &[(String, String)]) {
        if !facts.is_empty() {
            self.section("Numbers", |section| section.list(facts));
        }
    }

    /// Writes numbers by name.
    pub fn list(&mut self, facts: &[(String, String)]) {
        self.html.push_str("<dl class=\"facts\">\n");
        for (name, value) in facts {
            self.put(format_args!("<div><dt>{}</dt><dd>{}</dd></div>\n", escape(name), escape(value)));
        }
        self.html.push_str("</dl>\n");
    }

    /// Writes a table.
    pub fn table(&mut self, header: &[HtmlCell], rows: &[Vec<HtmlCell>]) {
        self.html.push_str("<table>\n<thead><tr>");
        for (class, name) in header {
            self.put(format_args!("<th scope=\"col\"{class}>{}</th>", escape(name)));
        }
        self.html.push_str("</tr></thead>\n<tbody>\n");
        for row in rows {
            self.html.push_str("<tr>");
            for (class, text) in row {
                self.put(format_args!("<td{class}>{}</td>", escape(text)));
            }
            self.html.push_str("</tr>\n");
        }
        self.html.push_str("</tbody>\n</table>\n");
    }

    /// Writes a table that scrolls sideways where it is wider than the page.
    pub fn wide_table(&mut self, header: &[HtmlCell], rows: &[Vec<HtmlCell>]) {
        self.html.push_str("<div class=\"wide\" tabindex=\"0\">\n");
        self.table(header, rows);
        self.html.push_str("</div>\n");
    }

    /// Writes the layers of a model as a section of their own.
    pub fn layers(&mut self, table: &LayerTable) {
        let rows: Vec<[String; 5]> = table.rows.iter().map(LayerRow::cells).collect();
        // Shapes of images are text, lengths of flat rows are numbers.
        let is_number = |column: usize| {
            let mut cells = rows.iter().map(|row| &row[column]);
            cells.all(|cell| !cell.is_empty() && cell.chars().all(|c| c.is_ascii_digit()))
        };
        let cells = |row: [String; 5]| -> Vec<HtmlCell> {
            let class = |column| if is_number(column) { NUMBER } else { "" };
            row.into_iter().enumerate().map(|(column, cell)| (class(column), cell)).collect()
        };
        let header = cells(LayerTable::HEADER.map(str::to_owned));
        let rows: Vec<Vec<HtmlCell>> = rows.iter().cloned().map(cells).collect();
        if !rows.is_empty() {
            self.section("Layers", |section| section.wide_table(&header, &rows));
        }
    }

    /// Writes a recipe as a section of its own.
    pub fn recipe(&mut self, heading: &str, toml: &str) {
        let toml = escape(toml.trim_end());
        self.section(heading, |section| {
            section.put(format_args!("<pre class=\"wide\" tabindex=\"0\"><code>{toml}</code></pre>\n"));
        });
    }
}

/// An image whose bytes are part of the page. `alternative` is escaped already.
fn image(png: &[u8], (width, height): (u32, u32), alternative: &str) -> String {
    let source = source(png);
    format!("<img src=\"{source}\" width=\"{width}\" height=\"{height}\" alt=\"{alternative}\">")
}

/// The bytes of a PNG as the source of an image.
pub(crate) fn source(png: &[u8]) -> String {
    format!("data:image/png;base64,{}", base64(png))
}

/// Bytes as text (RFC 4648): four characters for three bytes, six bits each, padded with `=`.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let byte = |at: usize| u32::from(group.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for digit in 0..4 {
            let value = bits >> (18 - 6 * digit) & 63;
            text.push(if digit <= group.len() { char::from(DIGITS[value as usize]) } else { '=' });
        }
    }
    text
}

/// Escapes text for HTML, between tags and inside double quotes. Control characters, which HTML forbids, are replaced.
pub(crate) fn escape(text: &str) -> String {
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

#[cfg(test)]
mod tests {
    use narrows::Shape;

    use super::*;

    #[test]
    fn text_cannot_become_markup() {
        let hostile = "<script src=\"http://evil\">&'\u{7}";
        let escaped = "&lt;script src=&quot;http://evil&quot;&gt;&amp;&#39;\u{fffd}";
        let mut document = Document::new("Narrows report", hostile, hostile);
        document.facts(&[(hostile.into(), hostile.into())]);
        document.section(hostile, |section| {
            section.table(&[("", hostile.into())], &[vec![(NUMBER, hostile.into())]]);
        });
        document.recipe(hostile, hostile);
        let html = document.finish().html;
        assert!(html.contains(&format!("<title>{escaped}</title>")));
        // The title twice, the verdict, a fact and its name, a heading, two cells, a recipe and its name.
        assert_eq!(html.matches(escaped).count(), 10);
        assert!(!html.contains("<script") && !html.contains('\u{7}'));
    }

    /// The vectors of RFC 4648, section 10, and all digits in order.
    #[test]
    fn base64_gives_the_published_texts() {
        let published = ["", "Zg==", "Zm8=", "Zm9v", "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy"];
        for (length, text) in published.into_iter().enumerate() {
            assert_eq!(base64(&b"foobar"[..length]), text);
        }
        let digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let bits: String = (0..64).map(|digit| format!("{digit:06b}")).collect();
        let bytes: Vec<u8> =
            (0..48).map(|at| u8::from_str_radix(&bits[at * 8..at * 8 + 8], 2).unwrap()).collect();
        assert_eq!(base64(&bytes), digits);
    }

    #[test]
    fn a_column_of_numbers_is_aligned_to_the_right() {
        let row = |operation: &str, output| LayerRow {
            name: "encoder.1".into(),
            is_code: false,
            operation: operation.into(),
            input: Shape::flat(784),
            output,
            parameters: 25_120,
        };
        let rows = vec![row("dense", Shape::flat(32)), row("conv", Shape::image(28, 28, 1))];
        let mut document = Document::new("", "", "");
        document.layers(&LayerTable { rows });
        let html = document.finish().html;
        assert!(
            html.contains(
                "<td>dense</td><td class=\"number\">784</td><td>32</td><td class=\"number\">25120</td>"
            ),
            "{html}"
        );
    }
}
