//! TLS errors in words: what happened, and who has to do what.

use rustls::{AlertDescription as Alert, CertificateError as Certificate, Error};

/// For a client that asked for the server `name`.
pub(super) fn at_client(error: &Error, name: &str) -> String {
    match error {
        Error::InvalidCertificate(error) => servers_certificate(error, name),
        Error::AlertReceived(alert) => {
            format!("the server refused this client: {}", refusal(*alert))
        }
        Error::PeerIncompatible(_) => "the server does not speak TLS 1.3".into(),
        Error::NoApplicationProtocol => "something else than a gazelle server answers there".into(),
        Error::InvalidMessage(_) => {
            "the server does not speak TLS; if something else protects the \
             link, such as an SSH tunnel, say so with --insecure"
                .into()
        }
        other => format!("TLS with {name} failed: {other}"),
    }
}

fn servers_certificate(error: &Certificate, name: &str) -> String {
    match error {
        Certificate::NotValidForNameContext { presented, .. } => {
            let names: Vec<&str> = presented.iter().map(|name| bare(name)).collect();
            format!(
                "the server's certificate is for {}; you asked for {name}: give --server one of \
                 its names, or --server-name if you reach it by another",
                if names.is_empty() { "no name".into() } else { names.join(", ") }
            )
        }
        Certificate::NotValidForName => format!("the server's certificate is not for {name}"),
        Certificate::Expired | Certificate::ExpiredContext { .. } => {
            "the server's certificate has expired: its owner makes another with `gazelle keys \
             new-server`, unless this machine's clock is wrong"
                .into()
        }
        Certificate::NotValidYet | Certificate::NotValidYetContext { .. } => {
            "the server's certificate is not valid yet: is this machine's clock right?".into()
        }
        Certificate::UnknownIssuer | Certificate::BadSignature => {
            "the server's certificate is from another CA than this client's identity names: \
             somebody else answers there, or the identity is for another server"
                .into()
        }
        Certificate::InvalidPurpose | Certificate::InvalidPurposeContext { .. } => {
            "the server shows a certificate that is not for servers".into()
        }
        other => format!("the server's certificate is not acceptable: {other}"),
    }
}

/// `DnsName("x")` and `IpAddress(1.2.3.4)` as people write them.
fn bare(name: &str) -> &str {
    let inner = name.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')')).unwrap_or(name);
    inner.trim_matches('"')
}

/// Why a server closed the door, as far as alerts say.
fn refusal(alert: Alert) -> String {
    match alert {
        Alert::CertificateRevoked => "its certificate was revoked".into(),
        Alert::CertificateExpired => "its certificate has expired: ask for another".into(),
        Alert::UnknownCA | Alert::DecryptError => {
            "its certificate is from another CA than the server's: ask the server's owner for one \
             (`gazelle keys new-client`)"
                .into()
        }
        Alert::CertificateRequired => "it showed no certificate".into(),
        Alert::ProtocolVersion => "it does not speak TLS 1.3".into(),
        Alert::NoApplicationProtocol => "it is no gazelle server".into(),
        other => format!("{other:?}"),
    }
}

/// For a server's log.
pub(super) fn at_server(error: &Error) -> String {
    match error {
        Error::NoCertificatesPresented => "the client showed no certificate".into(),
        Error::InvalidCertificate(error) => format!("the client's certificate {}", clients(error)),
        Error::PeerIncompatible(_) => "the client does not speak TLS 1.3".into(),
        Error::NoApplicationProtocol => "the client does not ask for gazelle/1".into(),
        Error::InvalidMessage(_) => "the client does not speak TLS".into(),
        Error::AlertReceived(alert) => {
            format!("the client refused this server: {}", clients_refusal(*alert))
        }
        other => format!("TLS failed: {other}"),
    }
}

fn clients(error: &Certificate) -> String {
    match error {
        Certificate::Revoked => "was revoked".into(),
        Certificate::Expired | Certificate::ExpiredContext { .. } => "has expired".into(),
        Certificate::NotValidYet | Certificate::NotValidYetContext { .. } => {
            "is not valid yet: clocks differ".into()
        }
        Certificate::UnknownIssuer | Certificate::BadSignature => "is from another CA".into(),
        Certificate::InvalidPurpose | Certificate::InvalidPurposeContext { .. } => {
            "is not for clients".into()
        }
        Certificate::UnknownRevocationStatus => "is from a CA without a revocation list".into(),
        other => format!("is not acceptable: {other}"),
    }
}

fn clients_refusal(alert: Alert) -> String {
    match alert {
        Alert::BadCertificate => "it asked for another name than the certificate's".into(),
        Alert::UnknownCA | Alert::DecryptError => "it believes another CA".into(),
        Alert::CertificateExpired => "this server's certificate has expired".into(),
        other => format!("{other:?}"),
    }
}
