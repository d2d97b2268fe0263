//! Who is not let in: each refused with words that say what to do, before anything else moves.

use std::fs::Permissions;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use gazelle_service::keys::Authority;
use gazelle_service::{ClientTls, Home, Identity, ServiceError};
use gazelle_wire::{Bytes, Channel};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};

use crate::parties::{Accepted, Site, accept, dial, timeouts};

/// A client's attempt: what it is told, at the latest when it waits for its first answer, and what the
/// server's log says.
fn attempt(site: &Site, client: &ClientTls, name: &str) -> (String, String) {
    let (port, server) = accept(site.server());
    let told = match client.secure(dial(port), name, &timeouts()) {
        Err(error) => error.to_string(),
        Ok(mut channel) => first_answer(&mut channel),
    };
    (told, logged(server.join().unwrap()))
}

/// As a session begins: says hello, waits for an answer.
fn first_answer(channel: &mut Channel) -> String {
    channel.send(&Bytes(vec![0; 77]), &77).unwrap();
    channel.recv::<Bytes>(&15).unwrap_err().to_string()
}

fn logged(accepted: Accepted) -> String {
    match accepted {
        Err(error @ ServiceError::Tls(_)) => error.to_string(),
        Err(error) => panic!("{error:?}"),
        Ok((_, id)) => panic!("let in: {id:?}"),
    }
}

fn client(home: &Home) -> ClientTls {
    ClientTls::new(&Identity::read(&home.client()).unwrap()).unwrap()
}

/// The parts of a PEM file: key, certificates.
fn parts(path: &std::path::Path) -> (String, Vec<String>) {
    let text = std::fs::read_to_string(path).unwrap();
    let mut pieces = text.split_inclusive("-----END CERTIFICATE-----\n");
    let (key, first) = {
        let first = pieces.next().unwrap();
        first.split_at(first.find("-----BEGIN CERTIFICATE").unwrap())
    };
    let certificates = std::iter::once(first).chain(pieces).map(str::to_owned).collect();
    (key.to_owned(), certificates)
}

fn written(home: &Home, text: &str) -> ClientTls {
    std::fs::create_dir_all(home.folder()).unwrap();
    std::fs::write(home.client(), text).unwrap();
    std::fs::set_permissions(home.client(), Permissions::from_mode(0o600)).unwrap();
    client(home)
}

#[test]
fn adversarial_a_server_of_another_name_is_refused_with_both_names() {
    let site = Site::new();
    let (told, log) = attempt(&site, &site.client(), "models.example");
    assert!(told.contains("is for localhost; you asked for models.example"), "{told}");
    assert!(told.contains("--server-name"), "{told}");
    assert!(log.contains("another name"), "{log}");
}

#[test]
fn adversarial_a_server_of_another_ca_is_refused() {
    let (site, other) = (Site::new(), Site::new());
    let (told, log) = attempt(&site, &other.client(), "localhost");
    assert!(told.contains("another CA"), "{told}");
    assert!(log.contains("another CA"), "{log}");
}

#[test]
fn adversarial_a_client_of_another_ca_is_refused() {
    let (site, other) = (Site::new(), Site::new());
    // Believes the right server, but shows another authority's certificate.
    let (key, own) = parts(&other.hospital.client());
    let (_, right) = parts(&site.hospital.client());
    let text = format!("{key}{}{}", own[0], right[1]);
    let client = written(&site.folder.home("mallory"), &text);
    let (told, log) = attempt(&site, &client, "localhost");
    assert!(told.contains("refused this client") && told.contains("new-client"), "{told}");
    assert!(log.contains("certificate is from another CA"), "{log}");
}

#[test]
fn adversarial_a_revoked_client_is_refused_without_a_restart() {
    let site = Site::new();
    let server = Arc::new(site.server());
    let ask = || {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = Arc::clone(&server);
        let thread = std::thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            server.accept(stream, &timeouts())
        });
        (site.client().secure(dial(port), "localhost", &timeouts()), thread.join().unwrap())
    };
    let (client, accepted) = ask();
    assert!(client.is_ok() && accepted.is_ok());
    site.authority.revoke("alice").unwrap();
    let (client, accepted) = ask();
    let told = client.map_or_else(|e| e.to_string(), |mut channel| first_answer(&mut channel));
    assert!(told.contains("was revoked"), "{told}");
    assert!(logged(accepted).contains("was revoked"));
    // Another one is let in.
    let bob = site.folder.home("bob");
    site.authority.issue_client("bob", &bob.client(), 30).unwrap();
    let (port, accepted) = accept(site.server());
    let channel = client_channel(&client_of(&bob), port);
    assert_eq!(accepted.join().unwrap().unwrap().1.name(), "bob");
    drop(channel);
}

fn client_of(home: &Home) -> ClientTls {
    client(home)
}

fn client_channel(client: &ClientTls, port: u16) -> Channel {
    client.secure(dial(port), "localhost", &timeouts()).unwrap()
}

/// A certificate of the site's authority whose time is over.
fn expired(site: &Site, usage: rcgen::ExtendedKeyUsagePurpose) -> String {
    let text = std::fs::read_to_string(site.vendor.authority()).unwrap();
    let key = rcgen::KeyPair::from_pem(&text).unwrap();
    let authority = &text[text.find("-----BEGIN CERTIFICATE").unwrap()..];
    let issuer = rcgen::Issuer::from_ca_cert_pem(authority, key).unwrap();
    let mut params = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
    params.not_before = rcgen::date_time_ymd(2024, 1, 1);
    params.not_after = rcgen::date_time_ymd(2025, 1, 1);
    params.extended_key_usages = vec![usage];
    params.use_authority_key_identifier_extension = true;
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, &issuer).unwrap();
    format!("{}{}{authority}", key.serialize_pem(), certificate.pem())
}

#[test]
fn adversarial_expired_certificates_are_refused_on_both_sides() {
    let site = Site::new();
    let text = expired(&site, rcgen::ExtendedKeyUsagePurpose::ClientAuth);
    let client = written(&site.folder.home("late"), &text);
    let (told, log) = attempt(&site, &client, "localhost");
    assert!(told.contains("refused this client: its certificate has expired"), "{told}");
    assert!(log.contains("certificate has expired"), "{log}");
    std::fs::write(
        site.vendor.server(),
        expired(&site, rcgen::ExtendedKeyUsagePurpose::ServerAuth),
    )
    .unwrap();
    let (told, log) = attempt(&site, &site.client(), "localhost");
    assert!(told.contains("server's certificate has expired"), "{told}");
    assert!(log.contains("this server's certificate has expired"), "{log}");
}

#[test]
fn adversarial_a_servers_certificate_makes_no_client_and_a_clients_no_server() {
    let site = Site::new();
    let text = std::fs::read_to_string(site.vendor.server()).unwrap();
    let client = written(&site.folder.home("turned"), &text);
    let (_, log) = attempt(&site, &client, "localhost");
    assert!(log.contains("is not for clients"), "{log}");
    std::fs::copy(site.hospital.client(), site.vendor.server()).unwrap();
    let (told, _) = attempt(&site, &site.client(), "localhost");
    assert!(told.contains("not for"), "{told}");
}

#[test]
fn adversarial_a_client_without_a_certificate_is_refused() {
    let site = Site::new();
    let (_, right) = parts(&site.hospital.client());
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(right[1].as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"gazelle/1".to_vec()];
    let (error, log) = foreign(&site, config);
    assert!(error.contains("CertificateRequired"), "{error}");
    assert!(log.contains("showed no certificate"), "{log}");
}

#[test]
fn adversarial_a_client_that_speaks_something_else_inside_tls_is_refused() {
    let site = Site::new();
    for alpn in [vec![b"h2".to_vec()], Vec::new()] {
        let (key, own) = parts(&site.hospital.client());
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(own[1].as_bytes()).unwrap()).unwrap();
        let chain = vec![CertificateDer::from_pem_slice(own[0].as_bytes()).unwrap()];
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap())
            .unwrap();
        config.alpn_protocols = alpn;
        let (_, log) = foreign(&site, config);
        assert!(log.contains("does not ask for gazelle/1"), "{log}");
    }
}

/// A client of rustls' own: what it is told and what the server's log says.
fn foreign(site: &Site, config: ClientConfig) -> (String, String) {
    let (port, server) = accept(site.server());
    let name = ServerName::try_from("localhost").unwrap();
    let mut connection = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut socket = dial(port);
    let mut stream = rustls::Stream::new(&mut connection, &mut socket);
    let told = stream.write_all(b"hello").and_then(|()| stream.read(&mut [0; 1]).map(drop));
    let told = told.map_or_else(|error| error.to_string(), |()| String::new());
    (told, logged(server.join().unwrap()))
}

#[test]
fn adversarial_tls_1_2_is_refused() {
    let site = Site::new();
    let (port, server) = accept(site.server());
    let mut socket = dial(port);
    socket.write_all(&hello_of_tls_1_2()).unwrap();
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).unwrap();
    // A fatal alert: protocol_version.
    assert_eq!(answer, [0x15, 3, 3, 0, 2, 2, 70]);
    assert!(logged(server.join().unwrap()).contains("does not speak TLS 1.3"));
}

/// A client hello of RFC 5246 with what every client of that time could do.
fn hello_of_tls_1_2() -> Vec<u8> {
    let mut body = vec![3, 3];
    body.extend([7u8; 32]);
    body.push(0);
    body.extend([0, 4, 0xc0, 0x2b, 0xc0, 0x2f, 1, 0]);
    let mut extensions = vec![0, 10, 0, 4, 0, 2, 0, 23];
    extensions.extend([0, 11, 0, 2, 1, 0]);
    extensions.extend([0, 13, 0, 4, 0, 2, 4, 3]);
    body.extend((extensions.len() as u16).to_be_bytes());
    body.extend(extensions);
    let mut record = vec![0x16, 3, 1];
    record.extend((body.len() as u16 + 4).to_be_bytes());
    record.extend([1, 0]);
    record.extend((body.len() as u16).to_be_bytes());
    record.extend(body);
    record
}

#[test]
fn adversarial_what_does_not_speak_tls_is_refused_and_said_so() {
    let site = Site::new();
    let (port, server) = accept(site.server());
    let mut plain = dial(port);
    plain.write_all(b"\x10\0\0\0\x45\0\0\0gazelle\0").unwrap();
    let _ = plain.read_to_end(&mut Vec::new());
    assert!(logged(server.join().unwrap()).contains("does not speak TLS"));
    // And the other way round: a server without TLS.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let thread = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.read(&mut [0; 1024]);
        let _ = stream.write_all(b"\xff\xff\0\0\0\0\0\0");
    });
    let error = site.client().secure(dial(port), "localhost", &timeouts()).unwrap_err();
    assert!(error.to_string().contains("--insecure"), "{error}");
    thread.join().unwrap();
}

#[test]
fn adversarial_broken_files_of_the_server_let_nobody_in() {
    let site = Site::new();
    std::fs::write(site.vendor.revoked(), "nonsense").unwrap();
    let (port, server) = accept(site.server());
    assert!(site.client().secure(dial(port), "localhost", &timeouts()).is_err());
    let error = server.join().unwrap().unwrap_err();
    assert!(matches!(error, ServiceError::Identity { .. }), "{error}");
    assert!(Authority::open(&site.vendor).is_ok());
}
