//! Running two parties side by side in tests.

pub mod fuzz;

use std::sync::mpsc;
use std::time::Duration;

use crate::channel::Channel;
use crate::memory;
use crate::recording::{self, Mutation, Recording};

/// Runs both parties over a link in memory, each on its own thread, under a watchdog of 120 s.
///
/// # Panics
/// If a party panics or the watchdog barks.
pub fn run_two<A: Send + 'static, B: Send + 'static>(
    client: impl FnOnce(Channel) -> A + Send + 'static,
    server: impl FnOnce(Channel) -> B + Send + 'static,
) -> (A, B) {
    run_two_over(memory::pair(), client, server)
}

/// As [`run_two`], over the given ends (client's, server's) of any link.
///
/// # Panics
/// As [`run_two`].
#[expect(clippy::expect_used, clippy::panic, reason = "a test helper: failing loudly is its job")]
pub fn run_two_over<A: Send + 'static, B: Send + 'static>(
    (client_end, server_end): (Channel, Channel),
    client: impl FnOnce(Channel) -> A + Send + 'static,
    server: impl FnOnce(Channel) -> B + Send + 'static,
) -> (A, B) {
    let (client_done, client_result) = mpsc::channel();
    let (server_done, server_result) = mpsc::channel();
    let threads = [
        std::thread::spawn(move || drop(client_done.send(client(client_end)))),
        std::thread::spawn(move || drop(server_done.send(server(server_end)))),
    ];
    let limit = Duration::from_mins(10);
    let client = client_result.recv_timeout(limit);
    let server = server_result.recv_timeout(limit);
    if matches!(client, Err(mpsc::RecvTimeoutError::Timeout))
        || matches!(server, Err(mpsc::RecvTimeoutError::Timeout))
    {
        panic!("watchdog: a party hangs");
    }
    for thread in threads {
        if let Err(panic) = thread.join() {
            std::panic::resume_unwind(panic);
        }
    }
    (client.expect("the client finished"), server.expect("the server finished"))
}

/// As [`run_two`]; also returns what the client's end sent and received.
///
/// # Panics
/// As [`run_two`].
pub fn run_two_recorded<A: Send + 'static, B: Send + 'static>(
    client: impl FnOnce(Channel) -> A + Send + 'static,
    server: impl FnOnce(Channel) -> B + Send + 'static,
) -> (A, B, Recording) {
    let (client_end, server_end, recording) = recording::pair(Duration::from_mins(1));
    let (a, b) = run_two_over((client_end, server_end), client, server);
    (a, b, recording)
}

/// The party whose frame is changed by [`run_two_tampered`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tampered {
    /// What the client sends.
    Client,
    /// What the server sends.
    Server,
}

/// As [`run_two`] with a time-out of 2 s, with frame `index` of one party changed on its way.
/// Both parties must end, with a value or an error: hanging and panicking fail the test.
///
/// # Panics
/// As [`run_two`].
pub fn run_two_tampered<A: Send + 'static, B: Send + 'static>(
    tampered: Tampered,
    index: usize,
    mutation: Mutation,
    client: impl FnOnce(Channel) -> A + Send + 'static,
    server: impl FnOnce(Channel) -> B + Send + 'static,
) -> (A, B) {
    let (first, second) = recording::tampered_pair(Duration::from_secs(2), index, mutation);
    let ends = match tampered {
        Tampered::Client => (first, second),
        Tampered::Server => (second, first),
    };
    run_two_over(ends, client, server)
}
