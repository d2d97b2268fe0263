//! Which party: constants are added by the server, and halves are counted per party.

/// A party of a chain.
pub(crate) trait Role: Send + Sync + 'static {
    /// A public constant's share.
    fn constant(value: u64) -> u64;
    /// This party's and the peer's, of the server's and the client's.
    fn own_and_peer(counts: (usize, usize)) -> (usize, usize);
}

/// The client.
pub(crate) struct Client;
/// The server.
pub(crate) struct Server;

impl Role for Client {
    fn constant(_value: u64) -> u64 {
        0
    }
    fn own_and_peer((server, client): (usize, usize)) -> (usize, usize) {
        (client, server)
    }
}

impl Role for Server {
    fn constant(value: u64) -> u64 {
        value
    }
    fn own_and_peer(counts: (usize, usize)) -> (usize, usize) {
        counts
    }
}
