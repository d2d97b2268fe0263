//! A certification authority for a site that has none: one CA, servers, clients, a revocation list.
//!
//! Keys are ECDSA on P-256. An identity file holds all that its owner needs: private key,
//! certificate, the CA's certificate.

mod register;

use std::path::Path;
use std::time::Duration;

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use data_encoding::HEXLOWER;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose,
    RevokedCertParams, SerialNumber,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use time::OffsetDateTime;
use zeroize::Zeroizing;

pub use register::{IssuedCertificate, Register, Usage};

use crate::error::ServiceError;
use crate::home::{Home, read_private, write_private};
use crate::identity::{Identity, fingerprint};

/// Clocks may differ by so much.
const SKEW: Duration = Duration::from_hours(1);
/// How long a revocation list says it is good for; servers re-read the file whenever it changes.
const LIST: Duration = Duration::from_hours(24 * 3650);

/// A certification authority: its key is in this home.
pub struct Authority {
    home: Home,
    issuer: Issuer<'static, KeyPair>,
    certificate: String,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority").field("home", &self.home).finish_non_exhaustive()
    }
}

impl Authority {
    /// Makes an authority called `name`, good for `days`, and its empty revocation list.
    ///
    /// # Errors
    /// [`ServiceError::Caller`] if this home has one already, else the file system's.
    pub fn create(home: &Home, name: &str, days: u32) -> Result<Self, ServiceError> {
        if home.authority().exists() {
            let path = home.authority().display().to_string();
            return Err(ServiceError::Caller(format!("there is an authority already: {path}")));
        }
        let mut params = params(name, days)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().map_err(internal)?;
        let certificate = params.self_signed(&key).map_err(internal)?.pem();
        let text = Zeroizing::new(format!("{}{certificate}", *Zeroizing::new(key.serialize_pem())));
        write_private(&home.authority(), text.as_bytes())?;
        let issuer = Issuer::from_ca_cert_pem(&certificate, key).map_err(internal)?;
        let authority = Self { home: home.clone(), issuer, certificate };
        Register::default().write(home)?;
        authority.list_revoked(&Register::default())?;
        Ok(authority)
    }

    /// The authority of this home.
    ///
    /// # Errors
    /// [`ServiceError::Caller`] if there is none, else what is wrong with its file.
    pub fn open(home: &Home) -> Result<Self, ServiceError> {
        let path = home.authority();
        if !path.exists() {
            return Err(ServiceError::Caller(format!(
                "no authority in {}: make one with `gazelle keys new-ca`",
                home.folder().display()
            )));
        }
        let text = Zeroizing::new(read_private(&path)?);
        let refuse = |_| ServiceError::identity(&path, "no CA's key and certificate in PEM form");
        let key = KeyPair::from_pem(&text).map_err(refuse)?;
        let certificate = text.find("-----BEGIN CERTIFICATE").and_then(|at| text.get(at..));
        let certificate = certificate
            .ok_or_else(|| ServiceError::identity(&path, "no certificate in PEM form"))?
            .to_owned();
        let issuer = Issuer::from_ca_cert_pem(&certificate, key).map_err(refuse)?;
        Ok(Self { home: home.clone(), issuer, certificate })
    }

    /// Issues a server's identity for DNS names and addresses.
    ///
    /// # Errors
    /// [`ServiceError::Caller`] if a name cannot be one, else the file system's.
    pub fn issue_server(
        &self,
        names: &[String],
        file: &Path,
        days: u32,
    ) -> Result<IssuedCertificate, ServiceError> {
        let Some(first) = names.first() else {
            return Err(ServiceError::Caller("a server needs a name that clients ask for".into()));
        };
        let mut params = params(first, days)?;
        for name in names {
            let name = match name.parse::<std::net::IpAddr>() {
                Ok(address) => rcgen::SanType::IpAddress(address),
                Err(_) => rcgen::SanType::DnsName(dns_name(name)?),
            };
            params.subject_alt_names.push(name);
        }
        self.issue(params, Usage::Server, first, file)
    }

    /// Issues a client's identity.
    ///
    /// # Errors
    /// As [`issue_server`](Self::issue_server).
    pub fn issue_client(
        &self,
        name: &str,
        file: &Path,
        days: u32,
    ) -> Result<IssuedCertificate, ServiceError> {
        if name.is_empty() || name.chars().any(char::is_control) {
            return Err(ServiceError::Caller("a client needs a name of printable letters".into()));
        }
        self.issue(params(name, days)?, Usage::Client, name, file)
    }

    fn issue(
        &self,
        mut params: CertificateParams,
        usage: Usage,
        name: &str,
        file: &Path,
    ) -> Result<IssuedCertificate, ServiceError> {
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![match usage {
            Usage::Server => ExtendedKeyUsagePurpose::ServerAuth,
            Usage::Client => ExtendedKeyUsagePurpose::ClientAuth,
        }];
        params.use_authority_key_identifier_extension = true;
        let mut serial = [0u8; 16];
        let random = SystemRandom::new().fill(&mut serial);
        random.map_err(|_| ServiceError::Caller("the system gives no random bytes".into()))?;
        // Positive, and of full length.
        if let Some(first) = serial.first_mut() {
            *first = *first & 0x3f | 0x40;
        }
        params.serial_number = Some(SerialNumber::from_slice(&serial));
        let expires = params.not_after;
        let key = KeyPair::generate().map_err(internal)?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(internal)?;
        let issued = IssuedCertificate::new(
            (name, usage),
            HEXLOWER.encode(&serial),
            HEXLOWER.encode(&fingerprint(certificate.der())),
            expires,
        );
        // Known before it can be used: it can be revoked whatever happens next.
        let mut register = Register::read(&self.home)?;
        register.add(issued.clone());
        register.write(&self.home)?;
        let key = Zeroizing::new(key.serialize_pem());
        let text = format!("{}{}{}", *key, certificate.pem(), self.certificate);
        write_private(file, Zeroizing::new(text).as_bytes())?;
        Ok(issued)
    }

    /// Revokes all certificates of a name, or the one of a serial number; gives those that were good
    /// until now.
    ///
    /// # Errors
    /// [`ServiceError::Caller`] if there is none, else the file system's.
    pub fn revoke(&self, name: &str) -> Result<Vec<IssuedCertificate>, ServiceError> {
        let mut register = Register::read(&self.home)?;
        let revoked = register.revoke(name, OffsetDateTime::now_utc());
        if revoked.is_empty() {
            return Err(ServiceError::Caller(format!(
                "no good certificate is called {name:?}: see `gazelle keys list`"
            )));
        }
        register.write(&self.home)?;
        self.list_revoked(&register)?;
        Ok(revoked)
    }

    /// Writes the revocation list.
    fn list_revoked(&self, register: &Register) -> Result<(), ServiceError> {
        let path = self.home.register();
        let entry = |(serial, time): (&str, OffsetDateTime)| {
            let serial = HEXLOWER.decode(serial.as_bytes());
            let serial = serial
                .map_err(|_| ServiceError::identity(&path, "a serial number that is none"))?;
            Ok(RevokedCertParams {
                serial_number: SerialNumber::from_slice(&serial),
                revocation_time: time,
                reason_code: None,
                invalidity_date: None,
            })
        };
        let revoked: Vec<_> = register.revoked().map(entry).collect::<Result<_, ServiceError>>()?;
        let now = OffsetDateTime::now_utc();
        let list = CertificateRevocationListParams {
            this_update: now,
            next_update: now + LIST,
            // Grows with time, whatever happens to the register.
            crl_number: SerialNumber::from_slice(&now.unix_timestamp().to_be_bytes()),
            issuing_distribution_point: None,
            revoked_certs: revoked,
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let list = list.signed_by(&self.issuer).and_then(|list| list.pem()).map_err(internal)?;
        write_private(&self.home.revoked(), list.as_bytes())
    }
}

/// Puts a client's identity file into its home.
///
/// # Errors
/// If the file is no identity, or the home has another one ([`ServiceError::Caller`]).
pub fn install(file: &Path, home: &Home) -> Result<Identity, ServiceError> {
    let text = std::fs::read(file).map_err(ServiceError::file(file))?;
    let text = Zeroizing::new(text);
    // A mail program or a memory stick forgets modes: this copy's is right.
    let text = std::str::from_utf8(&text);
    let text = text.map_err(|_| ServiceError::identity(file, "no PEM file"))?;
    let own = home.client();
    if own.exists() {
        let same = |mine: &str| mine == text;
        if !same(&Zeroizing::new(read_private(&own)?)) {
            return Err(ServiceError::Caller(format!(
                "{} is another identity: move it away first, or name one with --identity",
                own.display()
            )));
        }
        return Identity::read(&own);
    }
    CertificateDer::from_pem_slice(text.as_bytes())
        .map_err(|_| ServiceError::identity(file, "no certificate in PEM form"))?;
    write_private(&own, text.as_bytes())?;
    Identity::read(&own).inspect_err(|_| {
        // Not a usable one: the home stays as it was.
        let _ = std::fs::remove_file(&own);
    })
}

fn params(name: &str, days: u32) -> Result<CertificateParams, ServiceError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    let now = OffsetDateTime::now_utc();
    params.not_before = now - SKEW;
    let end = now.checked_add(time::Duration::days(i64::from(days)));
    params.not_after = end
        .filter(|_| days >= 1)
        .ok_or_else(|| ServiceError::Caller(format!("a certificate of {days} days")))?;
    Ok(params)
}

fn dns_name(name: &str) -> Result<rcgen::string::Ia5String, ServiceError> {
    let refuse = || ServiceError::Caller(format!("{name:?} is no DNS name and no IP address"));
    rustls::pki_types::DnsName::try_from(name).map_err(|_| refuse())?;
    rcgen::string::Ia5String::try_from(name).map_err(|_| refuse())
}

/// What rcgen cannot do with parameters of ours.
#[expect(clippy::needless_pass_by_value, reason = "it is what `map_err` gives")]
fn internal(error: rcgen::Error) -> ServiceError {
    ServiceError::Caller(format!("the certificate cannot be made: {error}"))
}
