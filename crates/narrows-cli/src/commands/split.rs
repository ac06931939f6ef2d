//! `narrows split`

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use narrows::Model;
use narrows::base::output::OutputFile;
use serde::Serialize;

use crate::arguments::SplitArguments;
use crate::print::table;

/// Writes a model's encoder and its decoder as models of their own.
pub fn run(arguments: &SplitArguments) -> anyhow::Result<ExitCode> {
    let path = &arguments.model;
    let (encoder, decoder) = Model::open(path)?.split().map_err(|error| error.at(path.display()))?;
    let stem = path.file_stem().map_or_else(|| "model".into(), |stem| stem.to_string_lossy());
    let folder = arguments.out_dir.as_deref().or(path.parent()).unwrap_or(path);
    let to = |name: &str| -> PathBuf { folder.join(format!("{stem}.{name}.narrows")) };
    let paths = [to("encoder"), to("decoder")];
    let outputs = [OutputFile::claim(&paths[0], &[path])?, OutputFile::claim(&paths[1], &[path])?];
    encoder.save(outputs[0].path())?;
    decoder.save(outputs[1].path())?;
    if arguments.output.json {
        #[derive(Serialize)]
        struct Line<'a> {
            event: &'static str,
            model: &'a Path,
            encoder: &'a Path,
            decoder: &'a Path,
        }
        table::json(&Line { event: "split", model: path, encoder: &paths[0], decoder: &paths[1] })?;
        return Ok(ExitCode::SUCCESS);
    }
    table::line(format!("encoder  {}", paths[0].display()))?;
    table::line(format!("decoder  {}", paths[1].display()))?;
    Ok(ExitCode::SUCCESS)
}
