//! The models that the command line names.

use std::path::{Path, PathBuf};

use gazelle_host::{HostError, ServedModel};

use crate::arguments::{ModelArguments, RoundingArgument, Serve};
use crate::failure::Failure;
use crate::model_file;
use crate::screen::{tell, visible};

/// Loads and compiles all of them.
pub(super) fn load_all(command: &Serve, quiet: bool) -> Result<Vec<ServedModel>, Failure> {
    let mut files = Vec::new();
    for path in std::iter::once(&command.model.file).chain(&command.more) {
        files.extend(files_of(path)?);
    }
    if command.model_name.is_some() && files.len() > 1 {
        return Err(Failure::Usage("--model-name is for one model: model.toml names each".into()));
    }
    let mut models = Vec::with_capacity(files.len());
    for file in files {
        let arguments = ModelArguments { file, ..command.model.clone() };
        models.push(load_one(&arguments, command, quiet)?);
    }
    Ok(models)
}

/// The file, or the ONNX files of a folder and `model.onnx` of its folders.
fn files_of(path: &Path) -> Result<Vec<PathBuf>, Failure> {
    if !path.is_dir() {
        return Ok(vec![path.to_path_buf()]);
    }
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path).map_err(Failure::run(path.display()))? {
        let entry = entry.map_err(Failure::run(path.display()))?.path();
        let inner = entry.join("model.onnx");
        if entry.extension().is_some_and(|extension| extension == "onnx") {
            files.push(entry);
        } else if inner.is_file() {
            files.push(inner);
        }
    }
    files.sort();
    if files.is_empty() {
        return Err(Failure::Run(format!(
            "{}: no ONNX files",
            visible(&path.display().to_string())
        )));
    }
    Ok(files)
}

fn load_one(
    arguments: &ModelArguments,
    command: &Serve,
    quiet: bool,
) -> Result<ServedModel, Failure> {
    let file = visible(&arguments.file.display().to_string()).into_owned();
    let mut model = model_file::load(arguments, command.model_name.as_deref(), command.link)
        .map_err(Failure::from)?;
    model.choice.max_inferences = command.inferences_in_all();
    if !quiet {
        tell!("{}", model_file::summary(&model));
        if let (true, Some(most)) =
            (command.model.rounding == RoundingArgument::Local, model.choice.max_inferences)
        {
            tell!(
                "note: a client may make {most} inferences (--max-inferences): local rounding tells it \
                 a little about the weights in each"
            );
        }
        for remark in model.remarks() {
            tell!("note: {}", visible(&remark));
        }
    }
    let served = ServedModel::compile(&model).map_err(|error| match error {
        HostError::Caller(why) => Failure::Run(format!("{file}: {why}: see --model-name")),
        error => error.into(),
    })?;
    if !quiet {
        tell!("model digest {}", served.digest());
    }
    let memory = served.session_bytes();
    if memory > command.memory_bytes() {
        return Err(Failure::Run(format!(
            "{file}: a session takes about {} MiB, more than --memory {} allows for all",
            memory.div_ceil(1 << 20),
            command.memory
        )));
    }
    Ok(served)
}
