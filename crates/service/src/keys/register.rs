//! What an authority has issued: a TOML file for people and programs.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::error::ServiceError;
use crate::home::{Home, write_private};

/// What a certificate is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Usage {
    /// `gazelle serve`.
    Server,
    /// `gazelle infer`.
    Client,
}

/// A certificate that an authority has issued.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IssuedCertificate {
    /// The client's name, or the server's first.
    pub name: String,
    /// What it is for.
    pub usage: Usage,
    /// In hexadecimal digits.
    pub serial: String,
    /// SHA-256 of the certificate, in hexadecimal digits.
    pub fingerprint: String,
    /// When it ends, RFC 3339.
    pub expires: String,
    /// When it was revoked, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked: Option<String>,
}

impl IssuedCertificate {
    pub(super) fn new(
        (name, usage): (&str, Usage),
        serial: String,
        fingerprint: String,
        expires: OffsetDateTime,
    ) -> Self {
        Self {
            name: name.to_owned(),
            usage,
            serial,
            fingerprint,
            expires: written(expires),
            revoked: None,
        }
    }

    /// Whether its time is over.
    pub fn expired(&self) -> bool {
        OffsetDateTime::parse(&self.expires, &Rfc3339)
            .is_ok_and(|expires| expires < OffsetDateTime::now_utc())
    }
}

/// All that an authority has issued, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Register {
    #[serde(default, rename = "certificate")]
    issued: Vec<IssuedCertificate>,
}

impl Register {
    /// Reads a home's register; empty if there is none.
    ///
    /// # Errors
    /// [`ServiceError::File`] or [`ServiceError::Identity`] if it cannot be read.
    pub fn read(home: &Home) -> Result<Self, ServiceError> {
        let path = home.register();
        if !path.exists() {
            return Ok(Self::default());
        }
        let text = std::fs::read_to_string(&path).map_err(ServiceError::file(&path))?;
        toml::from_str(&text).map_err(|error| ServiceError::identity(&path, error.to_string()))
    }

    pub(super) fn write(&self, home: &Home) -> Result<(), ServiceError> {
        let path = home.register();
        let text = toml::to_string(self)
            .map_err(|error| ServiceError::identity(&path, error.to_string()))?;
        write_private(&path, text.as_bytes())
    }

    /// What was issued, the oldest first.
    pub fn issued(&self) -> &[IssuedCertificate] {
        &self.issued
    }

    pub(super) fn add(&mut self, certificate: IssuedCertificate) {
        self.issued.push(certificate);
    }

    pub(super) fn revoke(&mut self, name: &str, now: OffsetDateTime) -> Vec<IssuedCertificate> {
        let good = self.issued.iter_mut().filter(|certificate| {
            certificate.revoked.is_none()
                && (certificate.name == name || certificate.serial == name)
        });
        good.map(|certificate| {
            certificate.revoked = Some(written(now));
            certificate.clone()
        })
        .collect()
    }

    /// Serial numbers of what was revoked, and when. A time that cannot be read is the epoch: what
    /// was revoked stays so.
    pub(super) fn revoked(&self) -> impl Iterator<Item = (&str, OffsetDateTime)> {
        self.issued.iter().filter_map(|certificate| {
            let time = certificate.revoked.as_deref()?;
            let time = OffsetDateTime::parse(time, &Rfc3339);
            Some((certificate.serial.as_str(), time.unwrap_or(OffsetDateTime::UNIX_EPOCH)))
        })
    }
}

/// Whole seconds; years beyond 9999 are not.
fn written(time: OffsetDateTime) -> String {
    let time = time.replace_nanosecond(0).unwrap_or(time);
    time.format(&Rfc3339).unwrap_or_default()
}
