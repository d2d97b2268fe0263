//! The folder of a user's keys, and files that nobody else can read.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::Write;
#[cfg(unix)]
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;

use crate::entropy::random;
use crate::error::ServiceError;

/// Where a user's keys lie: `$GAZELLE_HOME`, or `~/.config/gazelle`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Home(PathBuf);

impl Home {
    /// This user's folder: `$GAZELLE_HOME`, else `gazelle` in `$XDG_CONFIG_HOME` or `~/.config`.
    ///
    /// # Errors
    /// [`ServiceError::Caller`] if the environment names none of them.
    pub fn of_user() -> Result<Self, ServiceError> {
        let named = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        if let Some(home) = named("GAZELLE_HOME") {
            return Ok(Self(home.into()));
        }
        if let Some(config) = named("XDG_CONFIG_HOME") {
            return Ok(Self(PathBuf::from(config).join("gazelle")));
        }
        match std::env::home_dir() {
            Some(home) => Ok(Self(home.join(".config/gazelle"))),
            None => Err(ServiceError::Caller("no home folder: set GAZELLE_HOME".into())),
        }
    }

    /// A folder of the caller's.
    pub fn at(folder: PathBuf) -> Self {
        Self(folder)
    }

    /// The folder itself.
    pub fn folder(&self) -> &Path {
        &self.0
    }

    /// The CA's private key and certificate.
    pub fn authority(&self) -> PathBuf {
        self.0.join("ca.pem")
    }

    /// What the CA has issued.
    pub fn register(&self) -> PathBuf {
        self.0.join("issued.toml")
    }

    /// What it has revoked.
    pub fn revoked(&self) -> PathBuf {
        self.0.join("revoked.pem")
    }

    /// The server's identity.
    pub fn server(&self) -> PathBuf {
        self.0.join("server.pem")
    }

    /// Setups and material that a client keeps.
    pub fn material(&self) -> PathBuf {
        self.0.join("material")
    }

    /// Compiled copies of the models that a server served.
    pub fn models(&self) -> PathBuf {
        self.0.join("models")
    }

    /// The client's identity.
    pub fn client(&self) -> PathBuf {
        self.0.join("client.pem")
    }
}

/// Writes a file that only its owner can read, in one step: readers see the old or the new one. Its
/// folder is made if it is missing, for the owner alone.
///
/// # Errors
/// [`ServiceError::File`] if the system fails: then what was there is as it was.
pub fn write_private(path: &Path, content: &[u8]) -> Result<(), ServiceError> {
    place_private(path, content, |temporary, path| fs::rename(temporary, path))
}

fn place_private(
    path: &Path,
    content: &[u8],
    into_place: impl Fn(&Path, &Path) -> std::io::Result<()>,
) -> Result<(), ServiceError> {
    let fail = || ServiceError::file(path);
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    if !folder.exists() {
        let mut builder = DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        builder.mode(0o700);
        builder.create(folder).map_err(ServiceError::file(folder))?;
    }
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
    let name = name.ok_or_else(|| ServiceError::Caller("a file without a name".into()))?;
    let tag = random::<8>().map_err(fail())?;
    let temporary = folder.join(format!(".{name}.{}", HEXLOWER.encode(&tag)));
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    options.mode(0o600);
    let written = options.open(&temporary).and_then(|mut file| {
        file.write_all(content)?;
        file.sync_all()?;
        into_place(&temporary, path)
    });
    if let Err(error) = written {
        // What is left of a failed attempt is of no use to anybody.
        let _ = fs::remove_file(&temporary);
        return Err(fail()(error));
    }
    Ok(())
}

/// The same where nothing is yet: of all that try, one writes it, and nobody replaces it.
///
/// # Errors
/// [`ServiceError::File`] if the system fails.
pub(crate) fn create_private(path: &Path, content: &[u8]) -> Result<(), ServiceError> {
    place_private(path, content, |temporary, path| {
        // Unlike a rename, a link replaces nothing.
        let linked = fs::hard_link(temporary, path);
        fs::remove_file(temporary)?;
        match linked {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
            linked => linked,
        }
    })
}

/// Reads a file with a private key; refuses one that others can read.
pub(crate) fn read_private(path: &Path) -> Result<String, ServiceError> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = fs::metadata(path).map_err(ServiceError::file(path))?.permissions().mode();
        if mode & 0o077 != 0 {
            let why = format!(
                "others can use this private key (mode {:03o}): chmod 600 {}",
                mode & 0o777,
                path.display()
            );
            return Err(ServiceError::identity(path, why));
        }
    }
    fs::read_to_string(path).map_err(ServiceError::file(path))
}
