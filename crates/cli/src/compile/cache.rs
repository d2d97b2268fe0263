//! Compiled copies of models that were served, so that the next start is quick: files of mode 0600 in the
//! folder of keys.
//!
//! `"gazelle cache 1\n" [16] | n u32 | JSON [n] | compiled model`. A copy is found by the model's path and
//! its settings, and used if this very program made it and every file that it was made from still has the
//! same content. Whatever does not fit is made anew.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, SystemTime};

use gazelle::backend::CompiledModel;
use gazelle_model::{Interface, samples};
use gazelle_service::{Home, write_private};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::arguments::ServedSettings;

const MAGIC: &[u8; 16] = b"gazelle cache 1\n";
/// Bytes of the JSON at most.
const HEADER: usize = 16 << 20;
/// Copies that are kept; the one made first goes.
const COPIES: usize = 64;
/// A file system's clock may be behind by so much.
const BEHIND: Duration = Duration::from_millis(100);

/// A copy that is being written; dropped, it waits until it is.
#[derive(Debug)]
pub(crate) struct Keeping(Option<JoinHandle<()>>);

impl Drop for Keeping {
    fn drop(&mut self) {
        if let Some(thread) = self.0.take()
            && thread.join().is_err()
        {
            tracing::warn!("no compiled copy is kept: writing it panicked");
        }
    }
}

/// What a copy was made from.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CopyOrigin {
    /// Digest of the program: another build may quantise otherwise.
    program: String,
    /// By path: a digest of the content, of a folder's names; nothing where nothing was.
    files: Vec<(PathBuf, Option<String>)>,
    /// What the paths of calibration inputs stand for, as far as they are read.
    calibration: Vec<PathBuf>,
}

/// The place of one model's copy.
#[derive(Debug, Clone)]
pub(super) struct ModelCache {
    file: PathBuf,
    /// Instead of this program's digest, for tests.
    program: Option<String>,
    model: PathBuf,
    calibration: Vec<PathBuf>,
    calibration_limit: usize,
    /// Before the model was read.
    begun: SystemTime,
}

impl ModelCache {
    /// In this user's folder, if there is one; a server without serves all the same.
    pub(super) fn of_user(model: &Path, settings: &ServedSettings) -> Option<Self> {
        // Takes a while, in which something else can be done.
        let _ = Builder::new().spawn(program);
        let opened = Home::of_user()
            .map_err(io::Error::other)
            .and_then(|home| Self::at(&home.models(), None, model, settings));
        let told = |error: &io::Error| {
            // A model that is not there is told when it is read.
            if error.kind() != io::ErrorKind::NotFound {
                tracing::info!(%error, "no cache of compiled models");
            }
        };
        opened.inspect_err(told).ok()
    }

    fn at(
        folder: &Path,
        program: Option<String>,
        model: &Path,
        settings: &ServedSettings,
    ) -> io::Result<Self> {
        let begun = SystemTime::now();
        let model = fs::canonicalize(model)?;
        let ServedSettings { model: options, model_name, link, .. } = settings;
        let wanted = format!("{options:?} {model_name:?} {link:?}");
        let mut hasher = blake3::Hasher::new();
        hasher.update(wanted.as_bytes()).update(&[0]);
        let name = hasher.update(model.as_os_str().as_encoded_bytes()).finalize().to_hex();
        let file = folder.join(format!("{name}.cached"));
        let (calibration, calibration_limit) =
            (options.calibration.clone(), options.calibration_limit);
        Ok(Self { file, program, model, calibration, calibration_limit, begun })
    }

    /// The copy, if it still is one of these files.
    pub(super) fn find(&self) -> Option<CompiledModel> {
        let file = self.file.display();
        if !self.file.exists() {
            return None;
        }
        let read = super::read(&self.file).map_err(|error| error.to_string());
        match read.and_then(|bytes| self.fits(&bytes)) {
            Ok(Some(model)) => Some(model),
            Ok(None) => {
                tracing::info!("the compiled copy is of other files or another program: made anew");
                None
            }
            Err(why) => {
                tracing::warn!(%file, why, "a compiled copy is broken: made anew");
                None
            }
        }
    }

    fn fits(&self, bytes: &[u8]) -> Result<Option<CompiledModel>, String> {
        let rest = bytes.strip_prefix(MAGIC).ok_or("it is none")?;
        let (length, rest) = rest.split_first_chunk::<4>().ok_or("it ends early")?;
        let length = u32::from_le_bytes(*length) as usize;
        let (origin, compiled) =
            rest.split_at_checked(length).filter(|_| length <= HEADER).ok_or("it ends early")?;
        let origin: CopyOrigin =
            serde_json::from_slice(origin).map_err(|error| error.to_string())?;
        let same = |(path, digest): &(PathBuf, Option<String>)| {
            digest_of(path).ok().as_ref() == digest.as_ref()
        };
        // A path that stands for nothing any more is told when the model is made.
        let inputs = self.calibration_files().ok();
        if origin.program != self.program()?
            || inputs.as_ref() != Some(&origin.calibration)
            || !origin.files.iter().all(same)
        {
            return Ok(None);
        }
        CompiledModel::read(compiled).map(Some).map_err(|error| error.to_string())
    }

    fn program(&self) -> Result<&str, String> {
        let own = || program().as_ref().map(String::as_str).map_err(ToString::to_string);
        self.program.as_deref().map_or_else(own, Ok)
    }

    /// Each file gives an input at least: no more of them are read than inputs are wanted.
    fn calibration_files(&self) -> Result<Vec<PathBuf>, gazelle_input::InputError> {
        let mut files = Vec::new();
        for path in &self.calibration {
            files.extend(gazelle_input::find(path)?.files);
        }
        files.truncate(self.calibration_limit);
        Ok(files)
    }

    /// Keeps a copy, while the caller goes on; `external`: files of weights beside the model.
    pub(super) fn keep(self, compiled: &CompiledModel, external: Vec<PathBuf>) -> Keeping {
        let compiled = compiled.to_bytes();
        let thread = Builder::new().spawn(move || {
            let kept = compiled.map_err(|error| error.to_string());
            let kept = kept.and_then(|compiled| self.try_keep(&compiled, &external));
            if let Err(why) = kept {
                tracing::warn!(why, "no compiled copy is kept");
            }
        });
        Keeping(thread.inspect_err(|error| tracing::warn!(%error, "no compiled copy is kept")).ok())
    }

    /// - `compiled`: the model's bytes.
    fn try_keep(&self, compiled: &[u8], external: &[PathBuf]) -> Result<(), String> {
        let text = |error: &dyn std::fmt::Display| error.to_string();
        let mut paths = vec![self.model.clone(), samples::folder(&self.model)];
        paths.extend(Interface::files(&self.model));
        paths.extend(samples::files(&self.model));
        paths.extend_from_slice(external);
        let calibration = self.calibration_files().map_err(|error| text(&error))?;
        paths.extend_from_slice(&calibration);
        let mut files = Vec::with_capacity(paths.len());
        for path in paths {
            let changed = fs::metadata(&path).and_then(|metadata| metadata.modified()).ok();
            if changed.is_some_and(|time| time + BEHIND >= self.begun) {
                tracing::info!(path = %path.display(), "changed just now: no compiled copy is kept");
                return Ok(());
            }
            let digest = digest_of(&path).ok();
            // While it was read, or between.
            let again = fs::metadata(&path).and_then(|metadata| metadata.modified());
            if again.ok() != changed {
                tracing::info!(path = %path.display(), "changed just now: no compiled copy is kept");
                return Ok(());
            }
            files.push((path, digest));
        }
        let origin = CopyOrigin { program: self.program()?.to_owned(), files, calibration };
        let origin = serde_json::to_vec(&origin).map_err(|error| text(&error))?;
        let mut bytes = Zeroizing::new(Vec::with_capacity(20 + origin.len() + compiled.len()));
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&(origin.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&origin);
        bytes.extend_from_slice(compiled);
        write_private(&self.file, &bytes).map_err(|error| text(&error))?;
        self.make_room().map_err(|error| text(&error))
    }

    /// The oldest files go, and with them what killed processes left.
    fn make_room(&self) -> io::Result<()> {
        let Some(folder) = self.file.parent() else { return Ok(()) };
        let mut copies = Vec::new();
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            // What an operator keeps there is not ours; what a killed process left begins with a dot.
            if !entry.file_name().to_string_lossy().contains(".cached") {
                continue;
            }
            // Gone meanwhile: another server made room.
            let Ok(metadata) = entry.metadata() else { continue };
            copies.push((metadata.modified()?, entry.path()));
        }
        copies.sort();
        let many = copies.len().saturating_sub(COPIES);
        for (_, path) in copies.into_iter().take(many) {
            match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }
}

/// Digest of this program, read once.
fn program() -> &'static io::Result<String> {
    static DIGEST: OnceLock<io::Result<String>> = OnceLock::new();
    DIGEST.get_or_init(|| digest_of(&std::env::current_exe()?))
}

/// A digest of a file's content, or of the names in a folder.
fn digest_of(path: &Path) -> io::Result<String> {
    let mut hasher = blake3::Hasher::new();
    if path.is_dir() {
        let names = fs::read_dir(path)?.map(|entry| entry.map(|entry| entry.file_name()));
        let mut names = names.collect::<io::Result<Vec<_>>>()?;
        names.sort();
        for name in names {
            let name = name.as_encoded_bytes();
            hasher.update(&(name.len() as u64).to_le_bytes()).update(name);
        }
    } else {
        hasher.update_reader(fs::File::open(path)?)?;
    }
    Ok(hasher.finalize().to_hex().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compile;

    /// A folder with a model, its description and its samples, made a while ago.
    struct ModelFolder(PathBuf);

    impl ModelFolder {
        fn new(name: &str) -> Self {
            let name = format!("gazelle-cache-{name}-{}", std::process::id());
            let folder = Self(std::env::temp_dir().join(name));
            fs::create_dir_all(folder.0.join("samples")).unwrap();
            let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/mnist_d_minionn");
            for file in ["model.onnx", "model.toml"] {
                folder.copy(&from.join(file), file);
            }
            let samples = samples::files(&from.join("model.onnx"));
            for (index, sample) in samples.iter().take(2).enumerate() {
                folder.copy(sample, &format!("samples/{index}.npy"));
            }
            folder
        }

        fn copy(&self, from: &Path, to: &str) {
            fs::write(self.0.join(to), fs::read(from).unwrap()).unwrap();
            self.age(to);
        }

        /// As if it had been written an hour ago.
        fn age(&self, file: &str) {
            for file in [self.0.join(file), self.0.join("samples")] {
                let hour = SystemTime::now() - Duration::from_hours(1);
                fs::File::open(file).unwrap().set_modified(hour).unwrap();
            }
        }

        fn cache(&self, program: &str) -> ModelCache {
            let settings = compile::plain_settings().unwrap();
            let model = self.0.join("model.onnx");
            ModelCache::at(&self.0.join("cache"), Some(program.into()), &model, &settings).unwrap()
        }
    }

    impl Drop for ModelFolder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn adversarial_stale_foreign_and_broken_copies_are_made_anew() {
        let folder = ModelFolder::new("stale");
        let settings = compile::plain_settings().unwrap();
        let path = folder.0.join("model.onnx");
        let made = compile::make(&path, &settings, true).unwrap();
        let cache = folder.cache("one");
        assert!(cache.find().is_none());
        drop(cache.clone().keep(&made.0, made.1.clone()));
        let found = cache.find().unwrap();
        assert_eq!(found.to_bytes().unwrap(), made.0.to_bytes().unwrap());
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = fs::metadata(&cache.file).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        assert!(folder.cache("another build").find().is_none());
        // Every file that it was made from counts, one more or one less as well.
        for file in ["model.onnx", "model.toml", "samples/0.npy"] {
            let bytes = fs::read(folder.0.join(file)).unwrap();
            fs::write(folder.0.join(file), [bytes.as_slice(), b"\n"].concat()).unwrap();
            assert!(cache.find().is_none(), "{file} changed");
            fs::remove_file(folder.0.join(file)).unwrap();
            assert!(cache.find().is_none(), "{file} is gone");
            fs::write(folder.0.join(file), &bytes).unwrap();
            assert!(cache.find().is_some(), "{file} is back");
        }
        fs::write(folder.0.join("samples/9.npy"), b"").unwrap();
        assert!(cache.find().is_none());
        fs::remove_file(folder.0.join("samples/9.npy")).unwrap();
        // What changed while it was read is not kept.
        fs::remove_file(&cache.file).unwrap();
        drop(cache.clone().keep(&made.0, made.1.clone()));
        assert!(!cache.file.exists());
        for file in ["model.onnx", "model.toml", "samples/0.npy"] {
            folder.age(file);
        }
        drop(cache.clone().keep(&made.0, made.1.clone()));
        let bytes = fs::read(&cache.file).unwrap();
        for at in [0, 17, 40, bytes.len() / 2, bytes.len() - 1] {
            let mut broken = bytes.clone();
            broken[at] ^= 1;
            fs::write(&cache.file, &broken).unwrap();
            assert!(cache.find().is_none(), "byte {at}");
            fs::write(&cache.file, &bytes[..at]).unwrap();
            assert!(cache.find().is_none(), "{at} bytes");
        }
    }
}
