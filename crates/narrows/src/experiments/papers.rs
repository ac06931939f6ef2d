//! Published numbers and the recipes that reproduce them.

use serde::Deserialize;

use crate::error::{Error, Result};
use crate::recipe::{Recipe, RecipeFile, suggestion};

/// The name and the TOML text of each paper.
const PAPERS: [(&str, &str); 3] = [
    ("hinton2006", include_str!("../../recipes/papers/hinton2006.toml")),
    ("vincent2010", include_str!("../../recipes/papers/vincent2010.toml")),
    ("sutskever2013", include_str!("../../recipes/papers/sutskever2013.toml")),
];

/// A paper with some of its published numbers.
#[derive(Debug, Clone, PartialEq)]
pub struct Paper {
    /// The name, such as `hinton2006`.
    pub name: String,
    /// The title.
    pub title: String,
    /// Authors and publication.
    pub source: String,
    /// The built-in data set that the numbers are about.
    pub data: String,
    /// Differences between the reproduction and the paper.
    pub note: String,
    /// The numbers, in the order of their reproduction.
    pub figures: Vec<PaperFigure>,
}

/// A published number and the recipe that reproduces it.
#[derive(Debug, Clone, PartialEq)]
pub struct PaperFigure {
    /// The method in words.
    pub what: String,
    /// The metric.
    pub measure: PaperMeasure,
    /// The published number; none for a method that is only shown beside them.
    pub published: Option<f64>,
    /// The recipe.
    pub recipe: Recipe,
}

/// The metric of a published number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum PaperMeasure {
    /// The squared error per row on the held-out rows.
    SquaredError,
    /// The squared error per row on the training rows.
    TrainingSquaredError,
    /// The error rate on the held-out rows, in per cent.
    ErrorPercent,
}

impl PaperMeasure {
    /// A phrase for people.
    pub fn title(self) -> &'static str {
        match self {
            Self::SquaredError => "squared error per held-out row",
            Self::TrainingSquaredError => "squared error per training row",
            Self::ErrorPercent => "held-out error rate, %",
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

    /// Opens a paper by its name.
    ///
    /// # Errors
    /// If there is no paper of this name.
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
