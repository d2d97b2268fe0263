//! Who a party is: a private key, its certificates, and whom it believes.

use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::HEXLOWER;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};
use zeroize::Zeroizing;

use crate::error::ServiceError;
use crate::home::read_private;

/// A PEM file's content: a private key, its certificate and those that lead to the CA's, and last the
/// CA's, which the other side has to be signed by. A single certificate is its own CA.
pub struct Identity {
    path: PathBuf,
    pub(crate) key: PrivateKeyDer<'static>,
    /// The leaf first, without the anchor.
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) anchor: CertificateDer<'static>,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity").field("path", &self.path).finish_non_exhaustive()
    }
}

/// Where an identity lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IdentityFiles {
    /// All of it in one PEM file.
    Together(PathBuf),
    /// In three, as other programs have it.
    Apart {
        /// The private key; nobody else may be able to read it.
        key: PathBuf,
        /// The certificate, and those that lead to its CA's.
        chain: PathBuf,
        /// The CA that the other side has to be signed by.
        anchor: PathBuf,
    },
}

impl From<PathBuf> for IdentityFiles {
    fn from(path: PathBuf) -> Self {
        Self::Together(path)
    }
}

impl IdentityFiles {
    /// All files.
    pub(crate) fn paths(&self) -> Vec<&Path> {
        match self {
            Self::Together(path) => vec![path],
            Self::Apart { key, chain, anchor } => vec![key, chain, anchor],
        }
    }

    /// Reads them.
    ///
    /// # Errors
    /// As [`Identity::read`].
    pub fn read(&self) -> Result<Identity, ServiceError> {
        match self {
            Self::Together(path) => Identity::read(path),
            Self::Apart { key, chain, anchor } => {
                let text = Zeroizing::new(read_private(key)?);
                let certificates = |path: &Path| -> Result<String, ServiceError> {
                    let text = std::fs::read_to_string(path).map_err(ServiceError::file(path))?;
                    if text.contains("BEGIN CERTIFICATE") {
                        return Ok(text);
                    }
                    Err(ServiceError::identity(path, "no certificate in PEM form"))
                };
                let (chain, anchor) = (certificates(chain)?, certificates(anchor)?);
                // Large enough from the beginning: a string that grows leaves a copy of the key behind.
                let mut all = Zeroizing::new(String::with_capacity(
                    text.len() + chain.len() + anchor.len() + 3,
                ));
                for part in [text.as_str(), &chain, &anchor] {
                    all.push_str(part);
                    all.push('\n');
                }
                Identity::parse(key, &all)
            }
        }
    }
}

impl Identity {
    /// Reads an identity file.
    ///
    /// # Errors
    /// [`ServiceError::File`] or [`ServiceError::Identity`] if it cannot be read, others can read it, or
    /// it does not hold a key and certificates.
    pub fn read(path: &Path) -> Result<Self, ServiceError> {
        Self::parse(path, &Zeroizing::new(read_private(path)?))
    }

    fn parse(path: &Path, text: &str) -> Result<Self, ServiceError> {
        let refuse = |why: &str| ServiceError::identity(path, why);
        let key = PrivateKeyDer::from_pem_slice(text.as_bytes())
            .map_err(|_| refuse("no private key in PEM form"))?;
        let mut chain = CertificateDer::pem_slice_iter(text.as_bytes())
            .collect::<Result<Vec<_>, _>>()
            .map_err(|_| refuse("a certificate that is no PEM"))?;
        for certificate in &chain {
            if X509Certificate::from_der(certificate).is_err() {
                return Err(refuse("a certificate that cannot be read"));
            }
        }
        let anchor = match chain.len() {
            0 => return Err(refuse("no certificate in PEM form")),
            1 => chain.first().cloned(),
            _ => chain.pop(),
        };
        let anchor = anchor.ok_or_else(|| refuse("no certificate in PEM form"))?;
        Ok(Self { path: path.to_path_buf(), key, chain, anchor })
    }

    /// Where it was read from.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The certificate's owner as others see it.
    ///
    /// # Errors
    /// [`ServiceError::Identity`] if there is no certificate that can be read.
    pub fn id(&self) -> Result<ClientId, ServiceError> {
        let leaf = self.chain.first();
        leaf.and_then(ClientId::of)
            .ok_or_else(|| ServiceError::identity(&self.path, "a certificate that cannot be read"))
    }

    /// Whom the certificate is for, and until when: `alice, until 2029-02-28`; a server's names.
    pub fn summary(&self) -> String {
        let leaf = self.chain.first().and_then(|leaf| X509Certificate::from_der(leaf).ok());
        let Some((_, leaf)) = leaf else { return String::new() };
        let alternative = leaf.subject_alternative_name().ok().flatten();
        let names = alternative.iter().flat_map(|names| &names.value.general_names);
        let mut names: Vec<String> = names
            .filter_map(|name| match name {
                GeneralName::DNSName(name) => Some((*name).to_owned()),
                GeneralName::IPAddress(bytes) => address(bytes),
                _ => None,
            })
            .collect();
        if names.is_empty() {
            let common = leaf.subject().iter_common_name().filter_map(|name| name.as_str().ok());
            names.extend(common.map(str::to_owned));
        }
        let expires = leaf.validity().not_after.to_datetime().date();
        format!("{}, until {expires}", names.join(", "))
    }
}

/// A client as its server knows it: by the SHA-256 of its certificate.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ClientId {
    fingerprint: [u8; 32],
    name: String,
}

impl ClientId {
    /// Of a certificate; `None` if it cannot be read.
    pub(crate) fn of(certificate: &CertificateDer<'_>) -> Option<Self> {
        let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
        let name = parsed.subject().iter_common_name().next().and_then(|name| name.as_str().ok());
        Some(Self { fingerprint: fingerprint(certificate), name: name.unwrap_or("").to_owned() })
    }

    /// SHA-256 of the certificate.
    pub fn fingerprint(&self) -> &[u8; 32] {
        &self.fingerprint
    }

    /// The same in hexadecimal digits, as `openssl x509 -fingerprint -sha256` has it.
    pub fn hex(&self) -> String {
        HEXLOWER.encode(&self.fingerprint)
    }

    /// The certificate's common name. Foreign text.
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// SHA-256 of a certificate.
pub(crate) fn fingerprint(certificate: &CertificateDer<'_>) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest(&SHA256, certificate).as_ref());
    out
}

fn address(bytes: &[u8]) -> Option<String> {
    let four = <[u8; 4]>::try_from(bytes).map(|b| std::net::IpAddr::from(b).to_string());
    four.or_else(|_| <[u8; 16]>::try_from(bytes).map(|b| std::net::IpAddr::from(b).to_string()))
        .ok()
}
