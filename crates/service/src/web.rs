//! The way in for browsers: a page of static files and a WebSocket, on a port of their own.
//!
//! | browser | server |
//! |---|---|
//! | `GET /`, `/page.js`, .. | the file, with the headers that its workers need |
//! | `GET /gazelle`, upgrade | 101; from here on a [`Channel`], cut into binary messages |
//!
//! A connection is one of the two. HTTP is `tungstenite`'s, as is the WebSocket; a request's head is at most
//! [`HEAD`] bytes, and all waits are paid as for other connections ([`gazelle_wire::pace`]).

mod files;
mod socket;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use gazelle_wire::Channel;
use gazelle_wire::tcp::{self, Directions, Timeouts, is_loopback};
use tungstenite::handshake::machine::TryParse;
use tungstenite::handshake::server::{Request, create_response_with_body, write_response};
use tungstenite::http::{HeaderMap, HeaderValue, Response, StatusCode, Uri, header};

use crate::error::ServiceError;
use crate::identity::ClientId;
use crate::tls::{Secured, ServerTls, linger};

pub use files::WebFiles;

/// Bytes of a request's head at most.
const HEAD: usize = 16 << 10;
/// Where the WebSocket is.
const SOCKET: &str = "/gazelle";
/// What is spoken over it.
const PROTOCOL: &str = "gazelle-1";

/// The way in for browsers.
#[derive(Debug)]
pub struct WebDoor {
    /// The page.
    pub files: WebFiles,
    /// TLS, with certificates of clients or without; none on this machine, or where something else protects
    /// the link.
    pub tls: Option<ServerTls>,
    /// Origins of pages besides ours that may connect, such as `https://apps.hospital.example`.
    pub origins: Vec<String>,
}

/// Who came in.
#[derive(Debug)]
pub struct WebGuest {
    /// To the client's engine.
    pub channel: Channel,
    /// Its certificate, if it showed one.
    pub id: Option<ClientId>,
}

/// What a request asks for.
enum HttpAnswer {
    /// The session's channel follows.
    Upgrade(Response<()>),
    /// This, and no more.
    Content(Response<Vec<u8>>),
}

impl WebDoor {
    /// Answers a connection's one request; a guest if it was for the WebSocket.
    ///
    /// # Errors
    /// [`ServiceError::Tls`] if a browser is refused, [`ServiceError::Link`] if the link fails or speaks no HTTP.
    pub fn open(
        &self,
        stream: impl Into<Arc<TcpStream>>,
        timeouts: &Timeouts,
    ) -> Result<Option<WebGuest>, ServiceError> {
        let stream = stream.into();
        let Secured { mut reader, mut writer, pace, id, .. } = if let Some(tls) = &self.tls {
            tls.secure(&stream, timeouts)?
        } else {
            let Directions { reader, writer, pace } =
                tcp::directions(Arc::clone(&stream), timeouts)?;
            Secured { reader, writer, pace, id: None, exported: [0; 32] }
        };
        match self.answer(read_head(&mut *reader)?.as_ref()) {
            HttpAnswer::Upgrade(response) => {
                writer.write_all(&head(&response)?)?;
                writer.flush()?;
                let (reader, writer) = socket::split(reader, writer);
                let channel = Channel::new(Box::new(reader), Box::new(writer));
                let channel = channel.paced(pace, timeouts.progress);
                Ok(Some(WebGuest { channel, id }))
            }
            HttpAnswer::Content(response) => {
                writer.write_all(&head(&response)?)?;
                writer.write_all(response.body())?;
                writer.flush()?;
                linger(&stream);
                Ok(None)
            }
        }
    }

    fn answer(&self, request: Option<&Request>) -> HttpAnswer {
        let Some(request) = request else {
            return refuse(StatusCode::BAD_REQUEST, "a GET request of HTTP/1.1 was expected");
        };
        let headers = request.headers();
        if !self.knows_host(headers) {
            return refuse(StatusCode::MISDIRECTED_REQUEST, "no page has this name here");
        }
        if request.uri().path() != SOCKET {
            return HttpAnswer::Content(self.files.answer(request));
        }
        if !self.admits_origin(headers) {
            return refuse(StatusCode::FORBIDDEN, "pages of this origin may not connect");
        }
        let offered = headers.get(header::SEC_WEBSOCKET_PROTOCOL);
        if offered.is_none_or(|offered| offered != PROTOCOL) {
            return refuse(StatusCode::BAD_REQUEST, "the protocol gazelle-1 was expected");
        }
        match create_response_with_body(request, || ()) {
            Ok(mut response) => {
                let protocol = HeaderValue::from_static(PROTOCOL);
                response.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, protocol);
                HttpAnswer::Upgrade(response)
            }
            Err(_) => refuse(StatusCode::UPGRADE_REQUIRED, "a WebSocket was expected"),
        }
    }

    /// Without TLS only this machine's own names and addresses are known, so that no foreign name that was made
    /// to point here reaches it.
    fn knows_host(&self, headers: &HeaderMap) -> bool {
        if self.tls.is_some() {
            return true;
        }
        let Some(host) = headers.get(header::HOST).and_then(|host| host.to_str().ok()) else {
            return false;
        };
        let Some(name) = host.parse::<Uri>().ok().and_then(|uri| uri.host().map(str::to_owned))
        else {
            return false;
        };
        let name = name.trim_start_matches('[').trim_end_matches(']');
        let mut own = self.origins.iter().filter_map(|origin| origin.parse::<Uri>().ok());
        name.eq_ignore_ascii_case("localhost")
            || name.parse().is_ok_and(is_loopback)
            || own.any(|origin| origin.host() == Some(name))
    }

    /// Pages from here, and those that were named; browsers always say where a page is from.
    fn admits_origin(&self, headers: &HeaderMap) -> bool {
        let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
        let (Some(origin), Some(host)) = (text(header::ORIGIN), text(header::HOST)) else {
            return false;
        };
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        origin == format!("{scheme}://{host}") || self.origins.iter().any(|own| own == origin)
    }
}

/// Reads a request's head, if it is one; a body is not read.
fn read_head(reader: &mut dyn Read) -> Result<Option<Request>, ServiceError> {
    let (mut bytes, mut piece) = (Vec::new(), [0; 2048]);
    loop {
        match Request::try_parse(&bytes) {
            // Whoever says more than a head before the answer is no browser.
            Ok(Some((length, request))) if length == bytes.len() => {
                return Ok(Some(request));
            }
            Ok(None) if bytes.len() < HEAD => {}
            _ => return Ok(None),
        }
        let count = reader.read(&mut piece)?;
        if count == 0 {
            return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into());
        }
        bytes.extend_from_slice(piece.get(..count).unwrap_or_default());
    }
}

fn head<T>(response: &Response<T>) -> Result<Vec<u8>, ServiceError> {
    let mut bytes = Vec::new();
    write_response(&mut bytes, response)
        .map_err(|error| ServiceError::Caller(error.to_string()))?;
    Ok(bytes)
}

fn refuse(status: StatusCode, why: &'static str) -> HttpAnswer {
    HttpAnswer::Content(files::text(status, why))
}
