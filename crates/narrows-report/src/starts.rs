//! The section about pre-training: pre-trained networks beside the same networks from random initialisations.

use narrows::experiments::random_baseline::RandomBaseline;

use crate::draw::curves;
use crate::html::{Document, HtmlCell, NUMBER, escape};

/// Writes the section: the answer, the metric of each seed, and the curves. `recipe` names the pre-trained network.
pub(crate) fn section(document: &mut Document, baseline: &RandomBaseline, recipe: &str) {
    let (header, rows) = baseline.table(recipe);
    let cells = |row: Vec<String>| -> Vec<HtmlCell> { row.into_iter().map(|text| (NUMBER, text)).collect() };
    let rows: Vec<Vec<HtmlCell>> = rows.into_iter().map(cells).collect();
    document.section("Was pre-training worth it?", |section| {
        section.put(format_args!("<p>{}</p>\n", escape(&baseline.verdict())));
        section.table(&cells(header), &rows);
    });
    document.figure(curves::starts(baseline));
}
