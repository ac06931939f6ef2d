//! Class names as indices, and the choice of the labelled training rows.

use crate::base::random::{Purpose, generator, shuffle};
use crate::data::{Dataset, Labels};
use crate::error::{Error, Result};

/// The training rows whose labels are used.
pub(crate) struct Labelled {
    /// The classes of the training rows, in the order of the data set.
    pub names: Vec<String>,
    /// The indices of the rows, ascending.
    pub rows: Vec<usize>,
    /// The class of each of them, an index into `names`.
    pub classes: Vec<u32>,
}

impl Labelled {
    /// Chooses all rows, or `count` at random, stratified by class, with at least one row of each class.
    pub fn choose(training: &Dataset<'_>, count: Option<usize>, seed: u64) -> Result<Self> {
        let names = present_classes(labels_of(training)?);
        if names.len() < 2 {
            return Err(Error::data(format!(
                "{}: all rows are of one class: there is nothing to tell apart",
                training.name
            )));
        }
        let all = class_numbers(training, &names)?;
        let rows = match count {
            None => (0..all.len()).collect(),
            Some(count) => {
                if count > all.len() || count < names.len() {
                    return Err(Error::recipe(format!(
                        "labelled: {count} rows of {} with {} classes; from {} to {} can be chosen",
                        all.len(),
                        names.len(),
                        names.len(),
                        all.len()
                    )));
                }
                stratified_choice(&all, names.len(), count, seed)
            }
        };
        let classes = rows.iter().map(|&row| all[row]).collect();
        Ok(Self { names, rows, classes })
    }
}

/// The names of the classes that occur.
fn present_classes(labels: &Labels) -> Vec<String> {
    let mut is_present = vec![false; labels.names.len()];
    labels.classes.iter().for_each(|&class| is_present[class as usize] = true);
    let present = labels.names.iter().zip(&is_present).filter(|(_, is_present)| **is_present);
    present.map(|(name, _)| name.clone()).collect()
}

fn labels_of<'a>(dataset: &'a Dataset<'_>) -> Result<&'a Labels> {
    dataset.labels.as_ref().ok_or_else(|| {
        Error::data(format!(
            "{}: a classifier needs the class of each row, and these have none",
            dataset.name
        ))
        .hint("name the `label_column` of a CSV file, or a `labels_file` with one class per row")
    })
}

/// The class of each row as an index into `names`. Classes are matched by name, because two files may number them
/// differently.
pub(crate) fn class_numbers(dataset: &Dataset<'_>, names: &[String]) -> Result<Vec<u32>> {
    let labels = labels_of(dataset)?;
    let number = |name: &String| names.iter().position(|known| known == name).map(|class| class as u32);
    let numbers: Vec<Option<u32>> = labels.names.iter().map(number).collect();
    labels
        .classes
        .iter()
        .enumerate()
        .map(|(row, &class)| {
            numbers[class as usize].ok_or_else(|| {
                let list = if names.len() <= 20 { format!(" ({})", names.join(", ")) } else { String::new() };
                Error::data(format!(
                    "{}: row {} is of class `{}`, which is none of those learned{list}",
                    dataset.name,
                    row + 1,
                    labels.names[class as usize]
                ))
            })
        })
        .collect()
}

/// Chooses `count` rows at random, stratified by class: each class gets one row, and the rest is shared in proportion to the
/// class sizes by the largest-remainder method.
fn stratified_choice(classes: &[u32], class_count: usize, count: usize, seed: u64) -> Vec<usize> {
    let mut order: Vec<usize> = (0..classes.len()).collect();
    shuffle(&mut order, &mut generator(seed, Purpose::Labelled, 0));
    let mut sizes = vec![0usize; class_count];
    classes.iter().for_each(|&class| sizes[class as usize] += 1);
    let rest = count - class_count;
    let proportion =
        |size: usize| rest as f64 * (size - 1) as f64 / (classes.len() - class_count).max(1) as f64;
    let mut quota: Vec<usize> = sizes.iter().map(|&size| 1 + proportion(size) as usize).collect();
    let mut by_remainder: Vec<usize> = (0..class_count).collect();
    by_remainder.sort_by(|&a, &b| {
        proportion(sizes[b]).fract().total_cmp(&proportion(sizes[a]).fract()).then(a.cmp(&b))
    });
    let missing = count - quota.iter().sum::<usize>();
    by_remainder
        .into_iter()
        .filter(|&class| quota[class] < sizes[class])
        .take(missing)
        .collect::<Vec<_>>()
        .into_iter()
        .for_each(|class| quota[class] += 1);
    let mut chosen: Vec<usize> = order
        .into_iter()
        .filter(|&row| {
            let left = &mut quota[classes[row] as usize];
            let take = *left > 0;
            *left -= usize::from(take);
            take
        })
        .collect();
    chosen.sort_unstable();
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_class_has_its_share_and_one_row_at_least() {
        // 90 rows of class 0, 9 of class 1, one of class 2.
        let classes: Vec<u32> =
            (0..100).map(|row| if row < 90 { 0 } else { u32::from(row == 99) + 1 }).collect();
        let of = |rows: &[usize], class| rows.iter().filter(|&&row| classes[row] == class).count();
        for (count, wanted) in [(3, [1, 1, 1]), (12, [9, 2, 1]), (50, [44, 5, 1]), (100, [90, 9, 1])] {
            let rows = stratified_choice(&classes, 3, count, 7);
            assert_eq!(rows.len(), count);
            assert!(rows.windows(2).all(|pair| pair[0] < pair[1]), "each row once, in order");
            assert_eq!([0, 1, 2].map(|class| of(&rows, class)), wanted, "{count}");
        }
        assert_ne!(stratified_choice(&classes, 3, 20, 1), stratified_choice(&classes, 3, 20, 2));
        assert_eq!(stratified_choice(&classes, 3, 20, 1), stratified_choice(&classes, 3, 20, 1));
    }
}
