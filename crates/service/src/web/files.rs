//! The page's files, held in memory, and the headers that they are sent with.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use tungstenite::handshake::server::Request;
use tungstenite::http::{HeaderValue, Response, StatusCode, header};

use crate::error::ServiceError;

/// Everything that belongs to the page, and its type.
const FILES: [(&str, &str); 7] = [
    ("index.html", "text/html; charset=utf-8"),
    ("style.css", "text/css; charset=utf-8"),
    ("page.js", "text/javascript; charset=utf-8"),
    ("engine.js", "text/javascript; charset=utf-8"),
    ("link.js", "text/javascript; charset=utf-8"),
    ("gazelle.js", "text/javascript; charset=utf-8"),
    ("gazelle_bg.wasm", "application/wasm"),
];

/// What every answer says: workers may share memory, nobody may frame the page, nothing comes from elsewhere.
const HEADERS: [(&str, &str); 8] = [
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-embedder-policy", "require-corp"),
    ("cross-origin-resource-policy", "same-origin"),
    ("content-security-policy", include_str!("policy.txt")),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("cache-control", "no-cache"),
    ("connection", "close"),
];

/// The page's files.
pub struct WebFiles(BTreeMap<&'static str, WebFile>);

struct WebFile {
    kind: &'static str,
    plain: Vec<u8>,
    /// By gzip.
    small: Vec<u8>,
}

impl std::fmt::Debug for WebFiles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl WebFiles {
    /// Reads the files of a folder that `cargo xtask web` made.
    ///
    /// # Errors
    /// [`ServiceError::File`] if one cannot be read.
    pub fn read(folder: &Path) -> Result<Self, ServiceError> {
        let mut files = BTreeMap::new();
        for (name, kind) in FILES {
            let path = folder.join(name);
            let plain = std::fs::read(&path).map_err(ServiceError::file(&path))?;
            let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
            encoder.write_all(&plain)?;
            let small = encoder.finish()?;
            files.insert(name, WebFile { kind, plain, small });
        }
        Ok(Self(files))
    }

    /// The answer to a request for a file.
    pub(super) fn answer(&self, request: &Request) -> Response<Vec<u8>> {
        let name = match request.uri().path() {
            "/" => "index.html",
            path => path.trim_start_matches('/'),
        };
        let Some(file) = self.0.get(name) else {
            return text(StatusCode::NOT_FOUND, "there is no such file");
        };
        let accepted = request.headers().get(header::ACCEPT_ENCODING);
        let small = accepted.and_then(|value| value.to_str().ok()).is_some_and(|value| {
            value.split(',').any(|coding| coding.trim().eq_ignore_ascii_case("gzip"))
        });
        let body = if small { &file.small } else { &file.plain };
        let mut response = answer(StatusCode::OK, file.kind, body.clone());
        let headers = response.headers_mut();
        headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
        if small {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        response
    }
}

/// A line of text.
pub(super) fn text(status: StatusCode, line: &'static str) -> Response<Vec<u8>> {
    answer(status, "text/plain; charset=utf-8", format!("{line}\n").into_bytes())
}

fn answer(status: StatusCode, kind: &'static str, body: Vec<u8>) -> Response<Vec<u8>> {
    let length = body.len();
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    response
}
