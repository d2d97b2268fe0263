//! A link of limited bandwidth and latency in front of a server, for real programs: a proxy for TCP that delays.
//!
//! All connections share the two directions' bandwidth; what is sent arrives half a round trip after it has been
//! put on the wire.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

use crate::Failure;

/// Bytes that are delayed together.
const SEGMENT: usize = 16 << 10;
/// Segments under way in a direction of one connection; the sender waits while there are so many.
const WINDOW: usize = 1024;

/// A link's two figures.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Link {
    /// Each way.
    pub(crate) bits_per_second: f64,
    pub(crate) round_trip: Duration,
}

impl Link {
    /// As the benchmarks' WAN: 400 Mbit/s, 40 ms.
    pub(crate) const WAN: Self =
        Self { bits_per_second: 4e8, round_trip: Duration::from_millis(40) };

    /// Lets connections through to `server` until this process ends; the address to connect to.
    pub(crate) fn before(self, server: &str) -> Result<String, Failure> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?.to_string();
        let server = server.to_owned();
        let wires = [Wire::new(), Wire::new()];
        std::thread::spawn(move || {
            for client in listener.incoming() {
                // A connection that fails is its own parties' to notice.
                let _ = client.and_then(|client| self.connect(client, &server, &wires));
            }
        });
        Ok(address)
    }

    fn connect(self, client: TcpStream, server: &str, [up, down]: &[Wire; 2]) -> io::Result<()> {
        let server = TcpStream::connect(server)?;
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        self.carry((client.try_clone()?, server.try_clone()?), up.clone());
        self.carry((server, client), down.clone());
        Ok(())
    }

    /// One direction of a connection, by two threads.
    fn carry(self, (mut from, mut to): (TcpStream, TcpStream), wire: Wire) {
        let (queue, segments) = mpsc::sync_channel::<(Instant, Vec<u8>)>(WINDOW);
        std::thread::spawn(move || {
            let mut buffer = vec![0; SEGMENT];
            while let Ok(count @ 1..) = from.read(&mut buffer) {
                let bytes = buffer.get(..count).unwrap_or_default().to_vec();
                let sent = wire.take(count as f64 * 8.0 / self.bits_per_second);
                if queue.send((sent + self.round_trip / 2, bytes)).is_err() {
                    break;
                }
            }
        });
        std::thread::spawn(move || {
            for (arrives, bytes) in segments {
                std::thread::sleep(arrives.saturating_duration_since(Instant::now()));
                if to.write_all(&bytes).is_err() {
                    break;
                }
            }
            // The peer may have gone first.
            let _ = to.shutdown(Shutdown::Write);
        });
    }
}

/// The moment from which a direction is free.
#[derive(Clone)]
struct Wire(Arc<Mutex<Instant>>);

impl Wire {
    fn new() -> Self {
        Self(Arc::new(Mutex::new(Instant::now())))
    }

    /// When what is put on the wire now has left.
    fn take(&self, seconds: f64) -> Instant {
        let mut free = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *free = (*free).max(Instant::now()) + Duration::from_secs_f64(seconds);
        *free
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_arrives_in_order_after_the_links_time() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = listener.local_addr().unwrap().to_string();
        let echo = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut bytes = vec![0; 100_000];
            stream.read_exact(&mut bytes).unwrap();
            stream.write_all(&bytes).unwrap();
        });
        let link = Link { bits_per_second: 8e6, round_trip: Duration::from_millis(20) };
        let mut client = TcpStream::connect(link.before(&server).unwrap()).unwrap();
        let sent: Vec<u8> = (0..100_000u32).map(|i| ((i * 7) >> 3) as u8).collect();
        let begin = Instant::now();
        client.write_all(&sent).unwrap();
        let mut heard = vec![0; sent.len()];
        client.read_exact(&mut heard).unwrap();
        assert_eq!(heard, sent);
        // 0.1 s on the wire each way, and there and back; no less on any machine.
        assert!(begin.elapsed() >= Duration::from_millis(220));
        echo.join().unwrap();
    }
}
