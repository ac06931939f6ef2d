//! Checkpoints: those of an interrupted fit, changed, signed again, and resumed from. A case is a line `RECIPE FILE` with the
//! numbers of both, and the bytes of the file.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use narrows::fit::{CheckpointOptions, Resume};
use narrows::recipe::RecipeFile;
use narrows::{Compute, Dataset, Event, FitOptions, HeldOut, Recipe};

use super::models::WORDS;
use super::{Target, Verdict, check_message, scratch_folder};
use crate::campaign::Journal;
use crate::container::{Container, Tensor};
use crate::mutate;
use crate::random::Random;

/// Recipes that are resumed.
const RECIPES: &[&str] = &[
    "method='autoencoder'\nscale='standard'\nloss='mse'\nencoder=[{dense=3}, 'tanh']\ndecoder=[{dense='input'}]\ntrain={checkpoint=0, epochs=4, optimizer='adam'}",
    "method='autoencoder'\nscale='standard'\nloss='mse'\nencoder=[{dropout=0.1}, {dense=2}]\ndecoder=[{dense='tied'}]\ntrain={checkpoint=0, epochs=4, optimizer='sgd', momentum=0.9, schedule='one_cycle', patience=3}",
    "method='autoencoder'\nscale='standard'\nloss='mse'\nencoder=[{dense=3}, 'tanh', {dense=2}]\ndecoder=[{dense=3}, 'tanh', {dense='input'}]\npretrain={epochs=2}\ntrain={checkpoint=0, epochs=4}",
    "method='classifier'\nencoder=[{dense=3}, 'relu']\ntrain={checkpoint=0, epochs=4, optimizer='adadelta'}",
];

/// Epochs before the interruption.
const DONE: usize = 2;

/// An interrupted fit.
struct Run {
    recipe: Recipe,
    /// The files of its checkpoints, by their paths in the folder.
    files: Vec<(PathBuf, Vec<u8>)>,
}

/// The target.
pub struct Checkpoints {
    folder: tempfile::TempDir,
    rows: [Dataset<'static>; 2],
    runs: Vec<Run>,
}

impl Checkpoints {
    /// The target, with an interrupted fit of each recipe.
    ///
    /// # Errors
    /// Where a fit fails or leaves no checkpoint.
    pub fn new() -> Result<Self, String> {
        let folder = scratch_folder()?;
        let (training, held_out) =
            narrows::data::hold_out(&narrows_datasets::iris(), 0.2, 0).map_err(|error| error.to_string())?;
        let mut target = Self { folder, rows: [training, held_out], runs: Vec::new() };
        for text in RECIPES {
            let recipe = RecipeFile::parse("case", "case", text).and_then(|file| file.recipe());
            let recipe = recipe.map_err(|error| format!("{text}: {error}"))?;
            target.empty()?;
            target.fit(&recipe, Resume::Never, DONE).map_err(|error| format!("{text}: {error}"))?;
            let mut files = Vec::new();
            collect(target.folder.path(), target.folder.path(), &mut files);
            files.sort();
            files.retain(|(_, bytes)| {
                Container::parse(bytes).is_some_and(|container| container.key.contains("checkpoint"))
            });
            if files.is_empty() {
                return Err(format!("{text}: the interrupted fit left no checkpoint"));
            }
            target.runs.push(Run { recipe, files });
        }
        Ok(target)
    }

    /// Fits, stopped after `stop` epochs.
    fn fit(&self, recipe: &Recipe, resume: Resume, stop: usize) -> narrows::Result<narrows::Fit> {
        let model = self.folder.path().join("m.narrows");
        let mut epochs = 0;
        let mut watch = |event: &Event| {
            epochs += usize::from(matches!(event, Event::Epoch(_)));
            if epochs >= stop { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let options = FitOptions {
            held_out: HeldOut::Rows(&self.rows[1]),
            compute: Compute::with_threads(1),
            checkpoints: Some(CheckpointOptions { beside: &model, resume }),
            watch: Some(&mut watch),
            ..FitOptions::default()
        };
        narrows::fit(recipe, &self.rows[0], options)
    }

    /// Empties the folder.
    fn empty(&self) -> Result<(), String> {
        let entries = std::fs::read_dir(self.folder.path()).map_err(|error| error.to_string())?;
        for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
            let removed =
                if path.is_dir() { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) };
            removed.map_err(|error| format!("{}: {error}", path.display()))?;
        }
        Ok(())
    }
}

/// The files below a folder, with their paths from `root`.
fn collect(root: &Path, folder: &Path, files: &mut Vec<(PathBuf, Vec<u8>)>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        if path.is_dir() {
            collect(root, &path, files);
        } else if let (Ok(bytes), Ok(inside)) = (std::fs::read(&path), path.strip_prefix(root)) {
            files.push((inside.to_owned(), bytes));
        }
    }
}

impl Target for Checkpoints {
    fn generate(&mut self, random: &mut Random, _: &Journal) -> Vec<u8> {
        let number = random.below(self.runs.len());
        let files = &self.runs[number].files;
        let file = random.below(files.len());
        let mut bytes = files[file].1.clone();
        let donors = &self.runs[random.below(self.runs.len())].files;
        let donor = Container::parse(&donors[random.below(donors.len())].1);
        match (Container::parse(&bytes), donor) {
            (Some(mut container), Some(donor)) if !random.one_in(8) => {
                for _ in 0..1 + random.below(3) {
                    change(random, &mut container, &donor);
                }
                bytes = container.bytes();
            }
            _ => mutate::bytes(random, &mut bytes),
        }
        let mut case = format!("{number} {file}\n").into_bytes();
        case.append(&mut bytes);
        case
    }

    fn run(&mut self, case: &[u8]) -> Result<Verdict, String> {
        let Some(end) = case.iter().position(|&byte| byte == b'\n') else { return Ok(Verdict::Refused) };
        let head = String::from_utf8_lossy(&case[..end]);
        let mut numbers = head.split(' ').map(|word| word.parse::<usize>().unwrap_or(0));
        let run = self.runs.get(numbers.next().unwrap_or(0)).ok_or("case: there is no such recipe")?;
        let Some((inside, _)) = run.files.get(numbers.next().unwrap_or(0)) else {
            return Ok(Verdict::Refused);
        };
        self.empty()?;
        let path = self.folder.path().join(inside);
        write(&path, &case[end + 1..])?;
        match self.fit(&run.recipe, Resume::Required, usize::MAX) {
            Ok(fit) => {
                let bytes = fit
                    .model
                    .to_bytes()
                    .map_err(|error| format!("bytes: a resumed model has none: {error}"))?;
                narrows::Model::from_bytes(&bytes)
                    .map_err(|error| format!("bytes: a resumed model is refused: {error}"))?;
                Ok(Verdict::Accepted)
            }
            Err(error) => check_message(&error.to_string(), "").map(|()| Verdict::Refused),
        }
    }

    /// Beside the checkpoint, that of a fit on 120 rows.
    fn memory(&self, case: &[u8]) -> usize {
        4 * case.len() + (32 << 20)
    }
}

#[expect(clippy::disallowed_methods, reason = "a damaged file in a scratch folder")]
fn write(path: &Path, bytes: &[u8]) -> Result<(), String> {
    let folder = path.parent().unwrap_or(path);
    let failed = |error: std::io::Error| format!("{}: {error}", path.display());
    std::fs::create_dir_all(folder).map_err(failed)?;
    std::fs::write(path, bytes).map_err(failed)
}

/// Changes the description or a tensor.
fn change(random: &mut Random, container: &mut Container, donor: &Container) {
    let names: Vec<String> = container.tensors.keys().cloned().collect();
    if names.is_empty() || random.one_in(2) {
        mutate::json(random, &mut container.model, &donor.model, WORDS);
        return;
    }
    let name = random.choose(&names);
    match random.below(5) {
        0 => drop(container.tensors.remove(&name)),
        1 => {
            let other: Vec<&Tensor> = donor.tensors.values().collect();
            if !other.is_empty() {
                container.tensors.insert(name, random.choose(&other).clone());
            }
        }
        2 => {
            let value = random.choose(&[0.0, 1e38, -1e38, f64::NAN, 1e-40]);
            let shape = container.tensors[&name].shape.clone();
            if let Some(tensor) = Tensor::filled(&container.tensors[&name].dtype, shape, value) {
                container.tensors.insert(name, tensor);
            }
        }
        _ => {
            if let Some(tensor) = container.tensors.get_mut(&name) {
                mutate::bytes(random, &mut tensor.bytes);
            }
        }
    }
}
