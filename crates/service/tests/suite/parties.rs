//! A site with its keys, and both ends of a link.

use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use gazelle_service::keys::Authority;
use gazelle_service::{ClientId, ClientTls, Home, Identity, ServerTls, ServiceError};
use gazelle_wire::Channel;
use gazelle_wire::tcp::Timeouts;

static FOLDERS: AtomicU32 = AtomicU32::new(0);

/// A folder of this test's own; gone on drop.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        let number = FOLDERS.fetch_add(1, Ordering::Relaxed);
        let name = format!("gazelle-service-{}-{number}", std::process::id());
        Self(std::env::temp_dir().join(name))
    }

    pub(crate) fn home(&self, user: &str) -> Home {
        Home::at(self.0.join(user))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A vendor with an authority and a server's identity for `localhost`, and a hospital with a client's.
pub(crate) struct Site {
    pub(crate) vendor: Home,
    pub(crate) hospital: Home,
    pub(crate) authority: Authority,
    pub(crate) folder: Folder,
}

impl Site {
    pub(crate) fn new() -> Self {
        let folder = Folder::new();
        let (vendor, hospital) = (folder.home("vendor"), folder.home("hospital"));
        let authority = Authority::create(&vendor, "models", 3650).unwrap();
        authority.issue_server(&["localhost".into()], &vendor.server(), 30).unwrap();
        authority.issue_client("alice", &hospital.client(), 30).unwrap();
        Self { vendor, hospital, authority, folder }
    }

    pub(crate) fn server(&self) -> ServerTls {
        ServerTls::new(self.vendor.server(), self.vendor.revoked())
    }

    pub(crate) fn client(&self) -> ClientTls {
        ClientTls::new(&Identity::read(&self.hospital.client()).unwrap()).unwrap()
    }
}

pub(crate) fn timeouts() -> Timeouts {
    let time = Duration::from_secs(20);
    Timeouts { handshake: time, progress: time, ..Timeouts::default() }
}

/// What a server makes of one connection.
pub(crate) type Accepted = Result<(Channel, ClientId), ServiceError>;

/// A server that accepts one connection; its port.
pub(crate) fn accept(server: ServerTls) -> (u16, JoinHandle<Accepted>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let thread = std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        server.accept(stream, &timeouts())
    });
    (port, thread)
}

pub(crate) fn dial(port: u16) -> TcpStream {
    TcpStream::connect(("127.0.0.1", port)).unwrap()
}

/// Both ends of an honest link: (client's, server's).
pub(crate) fn link(site: &Site) -> (Channel, Channel) {
    let (port, server) = accept(site.server());
    let client = site.client().secure(dial(port), "localhost", &timeouts()).unwrap();
    (client, server.join().unwrap().unwrap().0)
}
