//! Several fits beside one another: comparisons of recipes, random-initialisation baselines, published figures.

pub mod compare;
pub mod papers;
pub mod random_baseline;
