//! Browsers with and without certificates, over TLS, by a client library that is not ours.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;

use gazelle_service::{Home, ServiceError, TlsPeers, WebDoor, WebGuest};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::pages::files;
use crate::parties::{Site, dial, timeouts};

const UPGRADE: &str = "GET /gazelle HTTP/1.1\r\nHost: localhost:7765\r\nOrigin: https://localhost:7765\r\n\
                       Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                       Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: gazelle-1\r\n\r\n";

fn door(site: &Site, peers: TlsPeers) -> WebDoor {
    let files = files();
    WebDoor { files, tls: Some(site.server().with_peers(peers)), origins: Vec::new() }
}

/// All certificates of a PEM file, and its key.
fn pem(path: &Path) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
    let certificates = CertificateDer::pem_file_iter(path).unwrap().map(Result::unwrap).collect();
    (certificates, PrivateKeyDer::from_pem_file(path).unwrap())
}

/// What the door makes of a request, and what the browser reads until the connection ends or an empty line came.
fn visit(
    site: &Site,
    peers: TlsPeers,
    identity: Option<&Home>,
    request: &str,
) -> (Result<Option<WebGuest>, ServiceError>, String) {
    let door = door(site, peers);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        door.open(stream, &timeouts())
    });
    let mut roots = RootCertStore::empty();
    roots.add(pem(&site.hospital.client()).0.pop().unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let mut config = match identity {
        Some(home) => {
            let (mut chain, key) = pem(&home.client());
            chain.pop();
            builder.with_client_auth_cert(chain, key).unwrap()
        }
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let name = ServerName::try_from("localhost").unwrap();
    let connection = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut stream = StreamOwned::new(connection, dial(port));
    let (mut answer, mut byte) = (Vec::new(), [0]);
    if stream.write_all(request.as_bytes()).is_ok() {
        while !answer.ends_with(b"\r\n\r\n") && matches!(stream.read(&mut byte), Ok(1)) {
            answer.push(byte[0]);
        }
    }
    let opened = server.join().unwrap();
    (opened, String::from_utf8(answer).unwrap())
}

#[test]
fn a_browser_is_known_by_its_certificate() {
    let site = Site::new();
    let (opened, answer) = visit(&site, TlsPeers::Browsers, Some(&site.hospital), UPGRADE);
    assert!(answer.starts_with("HTTP/1.1 101"), "{answer}");
    assert_eq!(opened.unwrap().unwrap().id.unwrap().name(), "alice");
    let page = "GET / HTTP/1.1\r\nHost: localhost:7765\r\n\r\n";
    let (opened, answer) = visit(&site, TlsPeers::Browsers, Some(&site.hospital), page);
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(opened.unwrap().is_none());
}

#[test]
fn adversarial_without_a_certificate_nobody_comes_in_unless_anybody_may() {
    let site = Site::new();
    let (opened, answer) = visit(&site, TlsPeers::Browsers, None, UPGRADE);
    assert!(matches!(opened, Err(ServiceError::Tls(_))), "{opened:?}");
    assert_eq!(answer, "");
    let (opened, answer) = visit(&site, TlsPeers::Anybody, None, UPGRADE);
    assert!(answer.starts_with("HTTP/1.1 101"), "{answer}");
    assert!(opened.unwrap().unwrap().id.is_none());
}

#[test]
fn adversarial_a_revoked_browser_stays_outside() {
    let site = Site::new();
    site.authority.revoke("alice").unwrap();
    let (opened, answer) = visit(&site, TlsPeers::Browsers, Some(&site.hospital), UPGRADE);
    assert!(matches!(opened, Err(ServiceError::Tls(_))), "{opened:?}");
    assert_eq!(answer, "");
}
