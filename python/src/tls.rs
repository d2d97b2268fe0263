//! The three files of an identity.

use std::path::PathBuf;

use gazelle_service::{ClientTls, IdentityFiles, ServerTls};

use crate::failures::Failure;

/// CA, certificate chain and key; or all of them in the last one.
pub(crate) type TlsPaths = (Option<PathBuf>, Option<PathBuf>, PathBuf);

fn files((anchor, chain, key): TlsPaths) -> Result<IdentityFiles, Failure> {
    match (anchor, chain) {
        (Some(anchor), Some(chain)) => Ok(IdentityFiles::Apart { key, chain, anchor }),
        (None, None) => Ok(IdentityFiles::Together(key)),
        _ => {
            Err(Failure::Caller("either three files or one: ca, cert and key, or key alone".into()))
        }
    }
}

/// A client's side.
pub(crate) fn client(paths: TlsPaths) -> Result<ClientTls, Failure> {
    Ok(ClientTls::new(&files(paths)?.read()?)?)
}

/// A server's side, checked; `revoked`: a revocation list.
pub(crate) fn server(paths: TlsPaths, revoked: Option<PathBuf>) -> Result<ServerTls, Failure> {
    if let Some(file) = revoked.as_ref().filter(|file| !file.is_file()) {
        return Err(Failure::Caller(format!("{}: no such file", file.display())));
    }
    // A file that is not there revokes nobody: with none given, none can appear by chance.
    let revoked = revoked.unwrap_or_else(|| paths.2.join("no-revocation-list"));
    let tls = ServerTls::new(files(paths)?, revoked);
    tls.check()?;
    Ok(tls)
}
