//! `gazelle compile`, and compiled models when they are served.

mod bar;
mod cache;

use std::path::{Path, PathBuf};

use clap::{Args, Command, FromArgMatches};
use gazelle::backend::CompiledModel;
use zeroize::Zeroizing;

use crate::arguments::{Compile, ServedSettings};
use crate::compile::bar::CompileBar;
use crate::compile::cache::{Keeping, ModelCache};
use crate::failure::Failure;
use crate::screen::{tell, visible};
use crate::{Outcome, model_file};

/// Bytes of a compiled model at most.
const LARGEST: u64 = 4 << 30;

/// Quantises and plans a model, and writes what a server needs.
pub(crate) fn run(command: &Compile, quiet: bool) -> Outcome {
    let Compile { file, output, model, model_name, link } = command;
    if begins_compiled(file) {
        return Err(Failure::Usage(format!("{}: is compiled already", file.display())));
    }
    let settings = ServedSettings {
        model: model.clone(),
        model_name: model_name.clone(),
        link: *link,
        ..plain_settings()?
    };
    let (compiled, _) = make(file, &settings, quiet)?;
    let bytes = compiled.to_bytes()?;
    if !quiet {
        for remark in &compiled.remarks {
            tell!("{remark}");
        }
    }
    // What cannot be planned should fail now.
    let service = compiled.service()?;
    gazelle_service::write_private(output, &bytes)?;
    if !quiet {
        let digest = blake3::Hash::from_bytes(gazelle::digest(service.description()));
        tell!(
            "model digest {}\n{}: {:.1} MB",
            digest.to_hex(),
            output.display(),
            bytes.len() as f64 / 1e6
        );
    }
    Ok(())
}

/// A model to be served: compiled by its owner, or from the cache, or made now, and then being kept.
pub(crate) fn load(
    path: &Path,
    settings: &ServedSettings,
    cached: bool,
    quiet: bool,
) -> Result<(CompiledModel, Option<Keeping>), Failure> {
    let shown = visible(&path.display().to_string()).into_owned();
    if begins_compiled(path) {
        let plain = plain_settings()?;
        if settings.model != plain.model || settings.link != plain.link {
            return Err(Failure::Usage(format!(
                "{shown}: is compiled: how it is quantised and planned was said to `gazelle compile`"
            )));
        }
        let mut model = CompiledModel::read(&read(path)?).map_err(Failure::run(&shown))?;
        if let Some(name) = &settings.model_name {
            model.info.name.clone_from(name);
        }
        return Ok((model, None));
    }
    let cache = if cached { ModelCache::of_user(path, settings) } else { None };
    if let Some(model) = cache.as_ref().and_then(ModelCache::find) {
        return Ok((model, None));
    }
    let (compiled, external) = make(path, settings, quiet)?;
    let keeping = cache.map(|cache| cache.keep(&compiled, external));
    Ok((compiled, keeping))
}

/// Quantises and plans; also the files of weights beside the model.
fn make(
    path: &Path,
    settings: &ServedSettings,
    quiet: bool,
) -> Result<(CompiledModel, Vec<PathBuf>), Failure> {
    let bar = CompileBar::new(path, quiet);
    let ServedSettings { model, model_name, link, .. } = settings;
    let loaded = model_file::load(path, model, model_name.as_deref(), *link, bar.watcher())?;
    let external = loaded.model.external_files.clone();
    let mut remarks = vec![model_file::summary(&loaded)];
    remarks.extend(loaded.remarks().iter().map(|remark| format!("note: {}", visible(remark))));
    Ok((loaded.into_compiled(remarks), external))
}

/// Options of models as they are where nobody gives any.
fn plain_settings() -> Result<ServedSettings, Failure> {
    let command = ServedSettings::augment_args(Command::new("none")).no_binary_name(true);
    let matches = command.try_get_matches_from(std::iter::empty::<&str>());
    let plain = matches.and_then(|matches| ServedSettings::from_arg_matches(&matches));
    plain.map_err(Failure::run("options"))
}

/// Whether a file is meant to be a compiled model.
pub(crate) fn begins_compiled(path: &Path) -> bool {
    use std::io::Read;
    let mut begin = Vec::with_capacity(16);
    let read = std::fs::File::open(path).and_then(|file| file.take(16).read_to_end(&mut begin));
    // Whoever loads it finds out why it cannot be read.
    read.is_ok() && CompiledModel::is_one(&begin)
}

/// A file with weights, read in one piece: what grows leaves copies behind.
fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, Failure> {
    use std::io::Read;
    let fail = || Failure::run(path.display());
    let file = std::fs::File::open(path).map_err(fail())?;
    let length = file.metadata().map_err(fail())?.len();
    if length > LARGEST {
        return Err(Failure::Run(format!("{}: more than 4 GiB", path.display())));
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(length as usize + 1));
    file.take(LARGEST).read_to_end(&mut bytes).map_err(fail())?;
    Ok(bytes)
}
