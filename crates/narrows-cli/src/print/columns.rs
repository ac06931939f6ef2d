//! Cells laid out in columns, without lines between them.

use unicode_width::UnicodeWidthStr;

/// Rows of cells. A column is as wide as its widest cell; every cell has a space on both sides.
#[derive(Default)]
pub struct Columns {
    rows: Vec<Vec<String>>,
    /// The first of the columns whose cells stand to the right.
    right_from: Option<usize>,
}

impl Columns {
    /// Cells of this column and of those after it stand to the right.
    pub fn right_from(column: usize) -> Self {
        Self { right_from: Some(column), ..Self::default() }
    }

    /// Adds a row; rows may differ in length.
    pub fn add_row(&mut self, cells: impl IntoIterator<Item = impl Into<String>>) {
        self.rows.push(cells.into_iter().map(Into::into).collect());
    }

    /// The lines, without spaces at their ends. A cell of several lines takes as many.
    pub fn lines(&self) -> Vec<String> {
        let count = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.flat_map(|cell: &String| cell.lines()).map(UnicodeWidthStr::width).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..count).map(width).collect();
        let mut lines = Vec::new();
        for row in &self.rows {
            let height = row.iter().map(|cell| cell.lines().count()).max().unwrap_or(0).max(1);
            for at in 0..height {
                let mut line = String::new();
                for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
                    let text = cell.lines().nth(at).unwrap_or("");
                    let space = " ".repeat(width - text.width());
                    let is_right = self.right_from.is_some_and(|first| column >= first);
                    let (before, after) = if is_right { (&*space, "") } else { ("", &*space) };
                    line.extend([" ", before, text, after, " "]);
                }
                lines.push(line.trim_end().to_owned());
            }
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell_and_numbers_stand_to_the_right() {
        let mut columns = Columns::right_from(1);
        columns.add_row(["recipe", "error"]);
        columns.add_row(["pca", "0.5"]);
        columns.add_row(["größer", "12345.25", "x"]);
        let wanted = [" recipe      error", " pca           0.5", " größer   12345.25  x"];
        assert_eq!(columns.lines(), wanted);
        // Characters of double width take two places; a cell of two lines takes two lines.
        let mut columns = Columns::default();
        columns.add_row(["数字", "a\nb"]);
        columns.add_row(["digit", "c"]);
        assert_eq!(columns.lines(), [" 数字   a", "        b", " digit  c"]);
        assert!(Columns::default().lines().is_empty());
    }
}
