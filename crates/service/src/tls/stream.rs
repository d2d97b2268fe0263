//! A TLS connection as two halves that two threads use at once.
//!
//! The connection is under one lock, which is held for encryption and decryption and never while a
//! socket is read or written: a writer that waits for a slow peer does not keep the reader from its
//! bytes, and the other way round. Records leave in the order in which they were made, because the
//! writing half alone takes them out; what the reading half wants to say (an answer to a key update)
//! leaves with the next write.

use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustls::Connection;

use crate::error::ServiceError;

/// Bytes read from the socket at once: some records.
const READ_BYTES: usize = 64 << 10;

/// What a TLS error means, and what to do.
pub(super) type Explain = Arc<dyn Fn(&rustls::Error) -> String + Send + Sync>;

/// Shakes hands. A peer that is refused is told so by an alert.
pub(super) fn shake_hands(
    connection: &mut Connection,
    reader: &mut dyn Read,
    writer: &mut dyn Write,
    explain: &Explain,
) -> Result<(), ServiceError> {
    let mut out = Vec::new();
    while connection.is_handshaking() {
        if connection.wants_write() {
            flush(connection, &mut out, writer)?;
            continue;
        }
        if connection.read_tls(reader)? == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        if let Err(error) = connection.process_new_packets() {
            // An alert; whether it arrives changes nothing here.
            let _ = flush(connection, &mut out, writer);
            return Err(ServiceError::Tls(explain(&error)));
        }
    }
    flush(connection, &mut out, writer)?;
    Ok(())
}

fn flush(connection: &mut Connection, out: &mut Vec<u8>, writer: &mut dyn Write) -> io::Result<()> {
    out.clear();
    while connection.wants_write() {
        connection.write_tls(out)?;
    }
    writer.write_all(out)?;
    writer.flush()
}

/// Both halves of an established connection.
pub(super) fn split(
    connection: Connection,
    reader: Box<dyn Read + Send>,
    writer: Box<dyn Write + Send>,
    explain: &Explain,
) -> (TlsReader, TlsWriter) {
    let shared = Arc::new(Mutex::new(connection));
    let reader = TlsReader {
        connection: Arc::clone(&shared),
        socket: reader,
        buffer: vec![0; READ_BYTES],
        filled: 0..0,
        ended: false,
        explain: Arc::clone(explain),
    };
    (reader, TlsWriter { connection: shared, socket: writer, out: Vec::new() })
}

/// The receiving half.
pub(super) struct TlsReader {
    connection: Arc<Mutex<Connection>>,
    socket: Box<dyn Read + Send>,
    /// Records as they came; those in `filled` have not been decrypted.
    buffer: Vec<u8>,
    filled: std::ops::Range<usize>,
    ended: bool,
    explain: Explain,
}

/// The sending half.
pub(super) struct TlsWriter {
    connection: Arc<Mutex<Connection>>,
    socket: Box<dyn Write + Send>,
    /// Records on their way out.
    out: Vec<u8>,
}

fn lock(connection: &Mutex<Connection>) -> MutexGuard<'_, Connection> {
    connection.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Read for TlsReader {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        if bytes.is_empty() {
            return Ok(0);
        }
        loop {
            let mut connection = lock(&self.connection);
            match connection.reader().read(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                other => return other,
            }
            if !self.filled.is_empty() || self.ended {
                let mut rest = self.buffer.get(self.filled.clone()).unwrap_or_default();
                // At the end of the stream this says so to the connection.
                let taken = connection.read_tls(&mut rest)?;
                self.filled.start += taken;
                connection.process_new_packets().map_err(|error| {
                    io::Error::new(io::ErrorKind::InvalidData, (self.explain)(&error))
                })?;
                continue;
            }
            drop(connection);
            let read = self.socket.read(&mut self.buffer)?;
            self.filled = 0..read;
            self.ended = read == 0;
        }
    }
}

impl Write for TlsWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = {
            let mut connection = lock(&self.connection);
            let written = connection.writer().write(bytes)?;
            while connection.wants_write() {
                connection.write_tls(&mut self.out)?;
            }
            written
        };
        let result = self.socket.write_all(&self.out);
        self.out.clear();
        result.map(|()| written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.socket.flush()
    }
}

impl Drop for TlsWriter {
    fn drop(&mut self) {
        let mut connection = lock(&self.connection);
        connection.send_close_notify();
        while connection.wants_write() {
            if connection.write_tls(&mut self.out).is_err() {
                return;
            }
        }
        drop(connection);
        // A peer that is gone needs no goodbye.
        let _ = self.socket.write_all(&self.out);
    }
}
