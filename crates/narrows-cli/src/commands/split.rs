//! `narrows split`

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use narrows::Model;
use narrows::base::output::OutputFile;
use narrows::base::text::escaped;
use serde::Serialize;

use crate::arguments::SplitArguments;
use crate::print::table;

/// Writes a model's encoder and its decoder as models of their own.
pub fn run(arguments: &SplitArguments) -> anyhow::Result<ExitCode> {
    let path = &arguments.model;
    let (encoder, decoder) = Model::open(path)?.split().map_err(|error| error.at(path.display()))?;
    let stem = path.file_stem().unwrap_or(OsStr::new("model"));
    let folder = arguments.out_dir.as_deref().or(path.parent()).unwrap_or(path);
    let to = |part: &str| -> PathBuf {
        let mut name = stem.to_owned();
        name.push(format!(".{part}.narrows"));
        folder.join(name)
    };
    let paths = [to("encoder"), to("decoder")];
    let outputs = [OutputFile::claim(&paths[0], &[path])?, OutputFile::claim(&paths[1], &[path])?];
    encoder.save(outputs[0].path())?;
    decoder.save(outputs[1].path())?;
    if arguments.output.json {
        #[derive(Serialize)]
        struct Line<'a> {
            event: &'static str,
            #[serde(serialize_with = "table::path")]
            model: &'a Path,
            #[serde(serialize_with = "table::path")]
            encoder: &'a Path,
            #[serde(serialize_with = "table::path")]
            decoder: &'a Path,
        }
        table::json(&Line { event: "split", model: path, encoder: &paths[0], decoder: &paths[1] })?;
        return Ok(ExitCode::SUCCESS);
    }
    for (part, path) in ["encoder", "decoder"].iter().zip(&paths) {
        table::line(format!("{part}  {}", escaped(&path.display().to_string())))?;
    }
    Ok(ExitCode::SUCCESS)
}
