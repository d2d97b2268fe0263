//! The models that the command line names.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use gazelle_host::{HostError, ServedModel};

use crate::arguments::{Serve, ServeOrders, ServedSettings};
use crate::compile;
use crate::failure::Failure;
use crate::screen::{tell, visible};

/// Loads and compiles all of them.
pub(super) fn load_all(orders: &ServeOrders, quiet: bool) -> Result<Vec<ServedModel>, Failure> {
    let mut models = Vec::new();
    for order in &orders.models {
        let files = files_of(&order.path)?;
        if order.settings.model_name.is_some() && files.len() > 1 {
            return Err(Failure::Usage(
                "--model-name is for one model: model.toml names each".into(),
            ));
        }
        for file in files {
            models.push(load_one(&file, &order.settings, &orders.server, quiet)?);
        }
    }
    Ok(models)
}

/// The file, or the ONNX and compiled files of a folder and `model.onnx` of its folders.
fn files_of(path: &Path) -> Result<Vec<PathBuf>, Failure> {
    if !path.is_dir() {
        return Ok(vec![path.to_path_buf()]);
    }
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path).map_err(Failure::run(path.display()))? {
        let entry = entry.map_err(Failure::run(path.display()))?.path();
        let inner = entry.join("model.onnx");
        let of_models = |extension: &OsStr| extension == "onnx" || extension == "gazelle";
        if entry.extension().is_some_and(of_models) {
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
    path: &Path,
    settings: &ServedSettings,
    server: &Serve,
    quiet: bool,
) -> Result<ServedModel, Failure> {
    let file = visible(&path.display().to_string()).into_owned();
    // A copy is written while the rest is done.
    let (model, _keeping) = compile::load(path, settings, !server.no_cache, quiet)?;
    let exact = model.network.architecture().is_exact();
    let quota = settings.quota(exact);
    if !quiet {
        for remark in &model.remarks {
            tell!("{remark}");
        }
        if let (false, Some(most)) = (exact, quota.in_all) {
            tell!(
                "note: a client may make {most} inferences (--max-inferences): local rounding tells it \
                 a little about the weights in each"
            );
        }
    }
    let served = ServedModel::new(model, quota).map_err(|error| match error {
        HostError::Caller(why) => Failure::Run(format!("{file}: {why}: see --model-name")),
        error => error.into(),
    })?;
    if !quiet {
        tell!("model digest {}", served.digest());
    }
    let memory = served.session_bytes();
    if memory > server.memory_bytes() {
        return Err(Failure::Run(format!(
            "{file}: a session takes about {} MiB, more than --memory {} allows for all",
            memory.div_ceil(1 << 20),
            server.memory
        )));
    }
    Ok(served)
}
