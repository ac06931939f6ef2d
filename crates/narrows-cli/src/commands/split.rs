//! `narrows split`

use std::process::ExitCode;

use narrows::model::Model;

use crate::arguments::SplitArguments;
use crate::output;

/// Writes a model's encoder and its decoder as models of their own.
pub fn run(arguments: &SplitArguments) -> anyhow::Result<ExitCode> {
    let path = &arguments.model;
    let (encoder, decoder) = Model::open(path)?.split().map_err(|error| error.at(path.display()))?;
    let stem = path.file_stem().map_or_else(|| "model".into(), |stem| stem.to_string_lossy());
    let folder = arguments.out.as_deref().or(path.parent()).unwrap_or(path);
    for (part, name) in [(encoder, "encoder"), (decoder, "decoder")] {
        let to = folder.join(format!("{stem}.{name}.narrows"));
        part.save(&to)?;
        output::line(format!("{name}  {}", to.display()))?;
    }
    Ok(ExitCode::SUCCESS)
}
