//! Published figures, and the recipes that reproduce them.

use serde::Deserialize;

use crate::error::{Error, Result};
use crate::recipe::RecipeFile;
use crate::recipe::{Recipe, suggestion};

/// The papers: name and TOML text.
const PAPERS: [(&str, &str); 3] = [
    ("hinton2006", include_str!("../../recipes/papers/hinton2006.toml")),
    ("vincent2010", include_str!("../../recipes/papers/vincent2010.toml")),
    ("sutskever2013", include_str!("../../recipes/papers/sutskever2013.toml")),
];

/// A paper with some of its figures.
#[derive(Debug, Clone, PartialEq)]
pub struct Paper {
    /// `hinton2006`
    pub name: String,
    /// Its title.
    pub title: String,
    /// Who wrote it, where it was printed.
    pub source: String,
    /// The rows its figures are of: a built-in data set.
    pub data: String,
    /// What is not as in the paper.
    pub note: String,
    /// Its figures, in the order they are reproduced.
    pub figures: Vec<PaperFigure>,
}

/// A figure, and what reproduces it.
#[derive(Debug, Clone, PartialEq)]
pub struct PaperFigure {
    /// What was fitted.
    pub what: String,
    /// What is measured.
    pub measure: PaperMeasure,
    /// What the paper prints; nothing for a network that is set beside its figures.
    pub published: Option<f64>,
    /// What is fitted here.
    pub recipe: Recipe,
}

/// What a figure of a paper measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PaperMeasure {
    /// The squared error of a row, on the held-out rows.
    SquaredError,
    /// The squared error of a row, on the training rows.
    TrainingSquaredError,
    /// The share of held-out rows whose class is told wrong, in per cent.
    ErrorPercent,
}

impl PaperMeasure {
    /// In words.
    pub fn title(self) -> &'static str {
        match self {
            Self::SquaredError => "squared error per held-out row",
            Self::TrainingSquaredError => "squared error per training row",
            Self::ErrorPercent => "held-out rows told wrong, %",
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    title: String,
    source: String,
    data: String,
    note: String,
    figure: Vec<FileFigure>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileFigure {
    what: String,
    measure: PaperMeasure,
    published: Option<f64>,
    recipe: toml::Table,
}

impl Paper {
    /// The names of the papers.
    pub fn names() -> impl Iterator<Item = &'static str> {
        PAPERS.iter().map(|(name, _)| *name)
    }

    /// Finds a paper by its name.
    ///
    /// # Errors
    /// Where there is none of this name.
    pub fn open(name: &str) -> Result<Self> {
        let Some((name, text)) = PAPERS.iter().find(|(known, _)| *known == name) else {
            let names: Vec<&str> = Self::names().collect();
            let error = Error::recipe(format!("{name}: no figures of such a paper are known"));
            return Err(match suggestion(name, names.iter().copied()) {
                Some(close) => error.hint(format!("did you mean `{close}`? papers: {}", names.join(", "))),
                None => error.hint(format!("papers: {}", names.join(", "))),
            });
        };
        let file: File =
            toml::from_str(text).map_err(|error| Error::recipe(format!("{name}: {}", error.message())))?;
        let figures = file
            .figure
            .into_iter()
            .map(|FileFigure { what, measure, published, recipe }| {
                let recipe = RecipeFile::from_table(name, recipe).recipe()?;
                Ok(PaperFigure { what, measure, published, recipe })
            })
            .collect::<Result<_>>()?;
        let File { title, source, data, note, .. } = file;
        Ok(Self { name: (*name).to_owned(), title, source, data, note, figures })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_paper_can_be_read_and_measures_what_its_networks_have() {
        for name in Paper::names() {
            let paper = Paper::open(name).unwrap();
            assert!(paper.figures.iter().any(|figure| figure.published.is_some()), "{name}");
            for figure in &paper.figures {
                let is_classifier = matches!(figure.recipe, Recipe::Classifier(_));
                // One table, one measure.
                assert_eq!(figure.measure, paper.figures[0].measure, "{name}");
                assert_eq!(is_classifier, figure.measure == PaperMeasure::ErrorPercent, "{}", figure.what);
            }
        }
        assert!(Paper::open("hinton2007").unwrap_err().to_string().contains("did you mean `hinton2006`"));
    }
}
