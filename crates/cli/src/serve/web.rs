//! The way in for browsers, as the command line wants it.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;

use gazelle::wire::tcp::{self, Exposure};
use gazelle_host::House;
use gazelle_service::{ServerTls, TlsPeers, WebDoor, WebFiles};

use crate::allocator;
use crate::arguments::WebArguments;
use crate::failure::Failure;
use crate::screen::tell;

/// A port for browsers.
pub(super) struct WebPort {
    listener: TcpListener,
    door: Arc<WebDoor>,
}

impl WebPort {
    /// If one is wanted; `tls` and `exposure` are the other port's.
    pub(super) fn open(
        arguments: &WebArguments,
        tls: Option<&ServerTls>,
        exposure: Exposure,
    ) -> Result<Option<Self>, Failure> {
        let Some(address) = &arguments.address else { return Ok(None) };
        let folder = match &arguments.files {
            Some(folder) => folder.clone(),
            None => beside()?,
        };
        let files = WebFiles::read(&folder).map_err(|error| {
            Failure::Usage(format!(
                "{error}: the page's files are made by `cargo xtask web`, or name their folder with \
                 --web-files"
            ))
        })?;
        let peers = if arguments.anonymous { TlsPeers::Anybody } else { TlsPeers::Browsers };
        let tls = tls.map(|tls| tls.with_peers(peers));
        if let Some(tls) = &tls {
            tls.check()?;
        }
        let listener = tcp::listen(address.as_str(), exposure).map_err(|error| {
            if error.kind() == std::io::ErrorKind::PermissionDenied {
                Failure::Usage(format!(
                    "{address}: other machines can reach this address, and there are no keys \
                     (docs/browser.md)"
                ))
            } else {
                Failure::Run(format!("{address}: {error}"))
            }
        })?;
        let scheme = if tls.is_some() { "https" } else { "http" };
        tell!("page for browsers on {scheme}://{}/", listener.local_addr()?);
        let door = WebDoor { files, tls, origins: arguments.origins.clone() };
        Ok(Some(Self { listener, door: Arc::new(door) }))
    }

    /// Accepts browsers until the program ends.
    pub(super) fn start(self, house: Arc<House>) -> Result<(), Failure> {
        let Self { listener, door } = self;
        super::guard(&house, &listener);
        let admit = move |stream: TcpStream, peer: SocketAddr| {
            // How it ended is in the log.
            house.admit_browser(&door, stream, peer, |_| allocator::give_back());
        };
        let thread = std::thread::Builder::new().name("accept-web".into());
        thread.spawn(move || super::each(&listener, admit))?;
        Ok(())
    }
}

/// Where the page's files lie: `web` beside the program or above it, or `share/gazelle/web` above it.
fn beside() -> Result<PathBuf, Failure> {
    let program = std::env::current_exe()?;
    let places =
        ["web", "../web", "../share/gazelle/web"].map(|place| program.with_file_name(place));
    let [first, ..] = &places;
    let found = places.iter().find(|place| place.join("index.html").exists());
    // The first is what the error names.
    Ok(found.unwrap_or(first).clone())
}
