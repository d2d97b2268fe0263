//! Requests as browsers and others make them, over real sockets.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};

use gazelle_service::{ServiceError, WebDoor, WebFiles, WebGuest};
use gazelle_wire::Bytes;
use gazelle_wire::tcp::Timeouts;
use tungstenite::client::IntoClientRequest;
use tungstenite::http::header;

use crate::parties::Folder;

/// More than a request's head may have.
const TOO_LONG: usize = 16 << 10;

/// Files that stand for the page's.
pub(crate) fn files() -> WebFiles {
    let folder = Folder::new();
    let page = folder.home("page").folder().to_path_buf();
    std::fs::create_dir_all(&page).unwrap();
    for name in [
        "index.html",
        "style.css",
        "page.js",
        "engine.js",
        "link.js",
        "gazelle.js",
        "gazelle_bg.wasm",
    ] {
        std::fs::write(page.join(name), format!("content of {name}, ").repeat(40)).unwrap();
    }
    WebFiles::read(&page).unwrap()
}

fn door(origins: &[&str]) -> WebDoor {
    let origins = origins.iter().map(|&origin| origin.into()).collect();
    WebDoor { files: files(), tls: None, origins }
}

/// A browser's socket, and what the door made of the connection.
fn connect<T: Send + 'static>(
    door: WebDoor,
    then: impl FnOnce(Result<Option<WebGuest>, ServiceError>) -> T + Send + 'static,
) -> (TcpStream, std::thread::JoinHandle<T>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (server, _) = listener.accept().unwrap();
    (client, std::thread::spawn(move || then(door.open(server, &Timeouts::default()))))
}

fn ask(door: WebDoor, request: &str) -> String {
    let (mut client, server) = connect(door, |result| assert!(matches!(result, Ok(None))));
    client.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).unwrap();
    server.join().unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn files_come_with_the_headers_that_shared_memory_needs() {
    let answer = ask(door(&[]), "GET / HTTP/1.1\r\nHost: localhost:7765\r\n\r\n").to_lowercase();
    assert!(answer.starts_with("http/1.1 200"), "{answer}");
    for line in [
        "cross-origin-opener-policy: same-origin\r",
        "cross-origin-embedder-policy: require-corp\r",
        "x-content-type-options: nosniff\r",
        "content-type: text/html; charset=utf-8\r",
        "frame-ancestors 'none'\r",
        "content of index.html",
    ] {
        assert!(answer.contains(line), "{line}\n{answer}");
    }
    let request =
        "GET /gazelle_bg.wasm HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept-Encoding: br, gzip\r\n\r\n";
    let answer = ask(door(&[]), request);
    assert!(answer.contains("content-encoding: gzip\r"), "{answer}");
    assert!(answer.contains("content-type: application/wasm\r"), "{answer}");
}

#[test]
fn adversarial_requests_that_no_page_makes_are_refused() {
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: gazelle-1\r\n";
    let host = "Host: 127.0.0.1:7765\r\n";
    for (request, status) in [
        (format!("GET /../Cargo.toml HTTP/1.1\r\n{host}\r\n"), "404"),
        (format!("GET //index.html/.. HTTP/1.1\r\n{host}\r\n"), "404"),
        (format!("POST / HTTP/1.1\r\n{host}\r\n"), "400"),
        (format!("GET / HTTP/1.0\r\n{host}\r\n"), "400"),
        ("\u{0}\u{1}nonsense\r\n\r\n".to_owned(), "400"),
        (format!("GET / HTTP/1.1\r\n{host}Fill: {}\r\n\r\n", "x".repeat(TOO_LONG)), "400"),
        // A foreign name that was made to point here.
        ("GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n".to_owned(), "421"),
        ("GET / HTTP/1.1\r\n\r\n".to_owned(), "421"),
        // A foreign page, or no page at all.
        (
            format!("GET /gazelle HTTP/1.1\r\n{host}Origin: http://evil.example\r\n{upgrade}\r\n"),
            "403",
        ),
        (format!("GET /gazelle HTTP/1.1\r\n{host}{upgrade}\r\n"), "403"),
        (format!("GET /gazelle HTTP/1.1\r\n{host}Origin: http://127.0.0.1:7765\r\n\r\n"), "400"),
    ] {
        let answer = ask(door(&["https://pages.example"]), &request);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{request}\n{answer}");
    }
}

/// A WebSocket from a page of `origin`.
fn socket(stream: TcpStream, origin: &str) -> tungstenite::WebSocket<TcpStream> {
    let mut request = "ws://127.0.0.1:7765/gazelle".into_client_request().unwrap();
    request.headers_mut().insert(header::ORIGIN, origin.parse().unwrap());
    let protocol = "gazelle-1".parse().unwrap();
    request.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, protocol);
    tungstenite::client(request, stream).unwrap().0
}

#[test]
fn a_channel_goes_through_messages_of_any_size() {
    for origin in ["http://127.0.0.1:7765", "https://pages.example"] {
        let (client, server) = connect(door(&["https://pages.example"]), |result| {
            let mut channel = result.unwrap().unwrap().channel;
            let Bytes(mut bytes): Bytes = channel.recv(&300_000).unwrap();
            bytes.reverse();
            channel.send(&Bytes(bytes), &300_000).unwrap();
            channel.flush().unwrap();
        });
        let mut socket = socket(client, origin);
        let (mut end, peer, recording) =
            gazelle_wire::recording::pair(std::time::Duration::from_mins(1));
        let bytes: Vec<u8> = (0..300_000u32).map(|value| (value * 7) as u8).collect();
        let sent = bytes.clone();
        let reader = std::thread::spawn(move || {
            let mut peer = peer;
            peer.recv::<Bytes>(&300_000).unwrap()
        });
        end.send(&Bytes(sent), &300_000).unwrap();
        end.flush().unwrap();
        reader.join().unwrap();
        // Cut as no frame is cut, with a ping in between.
        for (at, piece) in recording.sent().chunks(77_777).enumerate() {
            socket.send(tungstenite::Message::binary(piece.to_vec())).unwrap();
            if at == 1 {
                socket.send(tungstenite::Message::Ping(vec![1, 2].into())).unwrap();
            }
        }
        let mut came = Vec::new();
        loop {
            match socket.read() {
                Ok(tungstenite::Message::Binary(more)) => came.extend_from_slice(&more),
                Ok(tungstenite::Message::Close(_)) | Err(_) => break,
                Ok(_) => {}
            }
        }
        server.join().unwrap();
        let payload: Vec<u8> =
            gazelle_wire::recording::frames(&came).into_iter().flat_map(|f| f.payload).collect();
        assert!(payload.iter().eq(bytes.iter().rev()), "{} bytes came", payload.len());
    }
}

#[test]
fn adversarial_pings_without_end_hold_no_place() {
    let (client, server) = connect(door(&[]), |result| {
        let mut channel = result.unwrap().unwrap().channel;
        assert!(channel.recv::<Bytes>(&10).is_err());
    });
    let mut socket = socket(client, "http://127.0.0.1:7765");
    let mut sent = 0;
    while socket.send(tungstenite::Message::Ping(vec![0; 125].into())).is_ok() {
        sent += 125;
        // Their answers are read, so that nobody waits for us.
        if socket.read().is_err() {
            break;
        }
        assert!(sent < 4 << 20, "the server goes on");
    }
    server.join().unwrap();
}

#[test]
fn adversarial_text_and_broken_frames_end_the_channel() {
    for hostile in
        [b"\x81\x80\0\0\0\0".to_vec(), b"\x82\x05hello".to_vec(), vec![0xff; 64], Vec::new()]
    {
        let (client, server) = connect(door(&[]), |result| {
            let mut channel = result.unwrap().unwrap().channel;
            assert!(channel.recv::<Bytes>(&10).is_err());
        });
        let mut socket = socket(client, "http://127.0.0.1:7765");
        socket.get_mut().write_all(&hostile).unwrap();
        socket.get_mut().shutdown(Shutdown::Write).unwrap();
        server.join().unwrap();
    }
}
