//! The folders in which setups and material are kept, and what seals them.

use std::path::{Path, PathBuf};

use gazelle_service::{Home, Identity, Store, StoreKey};

use crate::arguments::{ClientLink, ServerLink};
use crate::failure::Failure;

/// Seals a store with a passphrase instead of the key of the TLS identity.
const PASSPHRASE: &str = "GAZELLE_PASSPHRASE";

/// The client's.
pub(crate) fn client(link: &ClientLink) -> Result<Store, Failure> {
    let home = Home::of_user()?;
    let own = (!link.insecure && home.client().exists()).then(|| home.client());
    open(&home.material(), link.identity.clone().or(own), false)
}

/// The server's: it has it alone.
pub(crate) fn server(folder: &Path, link: &ServerLink) -> Result<Store, Failure> {
    let home = Home::of_user()?;
    let own = (!link.insecure && home.server().exists()).then(|| home.server());
    open(folder, link.identity.clone().or(own), true)
}

fn open(folder: &Path, identity: Option<PathBuf>, alone: bool) -> Result<Store, Failure> {
    let passphrase = std::env::var(PASSPHRASE).ok().filter(|passphrase| !passphrase.is_empty());
    let key = match (passphrase, identity) {
        (Some(passphrase), _) => {
            let salt = Store::salt(folder)?;
            StoreKey::of_passphrase(&passphrase, &salt)?
        }
        (None, Some(identity)) => StoreKey::of_identity(&Identity::read(&identity)?),
        (None, None) => StoreKey::in_file(&folder.join("key"))?,
    };
    Ok(Store::open(folder, key, alone)?)
}
