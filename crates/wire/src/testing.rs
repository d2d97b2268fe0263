//! Running two parties side by side in tests.

use std::sync::mpsc;
use std::time::Duration;

use crate::channel::Channel;
use crate::memory;

/// Runs both parties over a link in memory, each on its own thread, under a watchdog of 120 s.
///
/// # Panics
/// If a party panics or the watchdog barks.
#[expect(clippy::expect_used, clippy::panic, reason = "a test helper: failing loudly is its job")]
pub fn run_two<A: Send + 'static, B: Send + 'static>(
    client: impl FnOnce(Channel) -> A + Send + 'static,
    server: impl FnOnce(Channel) -> B + Send + 'static,
) -> (A, B) {
    let (client_end, server_end) = memory::pair();
    let (client_done, client_result) = mpsc::channel();
    let (server_done, server_result) = mpsc::channel();
    let threads = [
        std::thread::spawn(move || drop(client_done.send(client(client_end)))),
        std::thread::spawn(move || drop(server_done.send(server(server_end)))),
    ];
    let limit = Duration::from_secs(120);
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
