//! Through an HTTP proxy.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::thread::JoinHandle;

use gazelle_service::{Dialling, Proxy, ServiceError, connect};
use gazelle_wire::Bytes;

use crate::parties::{Site, accept, dial, timeouts};

/// A proxy for one connection: answers with `status`, and passes bytes on if that is 200. Gives its
/// port; the thread gives the request's head.
fn proxy(status: &'static str, target: u16) -> (u16, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let thread = std::thread::spawn(move || {
        let (mut client, _) = listener.accept().unwrap();
        let mut lines = BufReader::new(client.try_clone().unwrap());
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert!(lines.read_line(&mut head).unwrap() > 0);
        }
        assert!(lines.buffer().is_empty(), "the client waits for the answer");
        write!(client, "HTTP/1.1 {status}\r\nVia: test\r\n\r\n").unwrap();
        if status.starts_with("200") {
            let mut server = dial(target);
            let (mut back, mut there) = (server.try_clone().unwrap(), client.try_clone().unwrap());
            let answers = std::thread::spawn(move || {
                let _ = std::io::copy(&mut back, &mut there);
                let _ = there.shutdown(std::net::Shutdown::Write);
            });
            let _ = std::io::copy(&mut client, &mut server);
            let _ = server.shutdown(std::net::Shutdown::Write);
            answers.join().unwrap();
        }
        head
    });
    (port, thread)
}

fn through(site: &Site, port: u16, user: &str) -> Result<gazelle_wire::Channel, ServiceError> {
    let proxy = Proxy::parse(&format!("http://{user}127.0.0.1:{port}")).unwrap();
    let dialling = Dialling {
        server: "models.example:443",
        server_name: Some("localhost"),
        proxy: Some(&proxy),
        timeouts: timeouts(),
    };
    assert!(!dialling.is_local());
    connect(&dialling, Some(&site.client()))
}

#[test]
fn a_proxy_passes_tls_on_and_resolves_the_name() {
    let site = Site::new();
    let (target, server) = accept(site.server());
    let (port, thread) = proxy("200 Connection established", target);
    let mut channel = through(&site, port, "alice:pass%20word@").unwrap();
    let (mut theirs, id) = server.join().unwrap().unwrap();
    assert_eq!(id.name(), "alice");
    channel.send(&Bytes(vec![5; 70_000]), &70_000).unwrap();
    channel.flush().unwrap();
    assert_eq!(theirs.recv::<Bytes>(&70_000).unwrap().0.len(), 70_000);
    drop((channel, theirs));
    let head = thread.join().unwrap();
    assert!(
        head.starts_with("CONNECT models.example:443 HTTP/1.1\r\nHost: models.example:443\r\n")
    );
    assert!(head.contains("Proxy-Authorization: Basic YWxpY2U6cGFzcyB3b3Jk\r\n"), "{head}");
}

#[test]
fn adversarial_a_proxy_that_refuses_is_quoted() {
    let site = Site::new();
    for (status, wanted) in [
        ("407 Proxy Authentication Required", "user name"),
        ("403 Forbidden", "403"),
        ("503 Service Unavailable", "cannot reach"),
        ("301 Moved", "301"),
    ] {
        let (port, thread) = proxy(status, 0);
        let error = through(&site, port, "").unwrap_err();
        assert!(matches!(error, ServiceError::Proxy { .. }), "{error}");
        assert!(error.to_string().contains(wanted), "{error}");
        thread.join().unwrap();
    }
}

#[test]
fn adversarial_a_proxy_that_is_none_is_told_apart() {
    let site = Site::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let thread = std::thread::spawn(move || {
        for answer in [b"SSH-2.0-x\r\n\r\n".to_vec(), vec![b'x'; 20_000]] {
            let (mut stream, _): (TcpStream, _) = listener.accept().unwrap();
            let _ = stream.write_all(&answer);
        }
    });
    let error = through(&site, port, "").unwrap_err();
    assert!(error.to_string().contains("does not speak HTTP"), "{error}");
    let error = through(&site, port, "").unwrap_err();
    assert!(matches!(error, ServiceError::Proxy { .. }), "{error}");
    thread.join().unwrap();
}
