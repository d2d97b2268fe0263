//! A WebSocket as two halves that two threads use at once: each has a `tungstenite` of its own, over one
//! writer. The reading half writes only answers to pings and to the close, which the library hands over whole.

use std::io::{self, Cursor, Read, Write};
use std::sync::{Arc, Mutex, PoisonError};

use tungstenite::error::ProtocolError;
use tungstenite::protocol::{Role, WebSocketConfig};
use tungstenite::{Error, Message, WebSocket};

/// Bytes of a message at most.
const MESSAGE: usize = 1 << 20;
/// Bytes that may come without one for the channel: pings pay for time like other bytes, and would hold a place for
/// ever.
const IDLE: usize = 2 * MESSAGE;

fn config() -> WebSocketConfig {
    WebSocketConfig::default()
        .max_message_size(Some(MESSAGE))
        .max_frame_size(Some(MESSAGE))
        // What the channel flushes leaves at once.
        .write_buffer_size(0)
}

/// The link below both halves: writes are whole frames, one after the other.
struct Below {
    reader: Box<dyn Read + Send>,
    writer: Arc<Mutex<Box<dyn Write + Send>>>,
    /// Bytes since the last that meant anything to the channel.
    idle: usize,
}

impl Read for Below {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.read(bytes)?;
        self.idle += count;
        if self.idle > IDLE {
            let text = "pings and empty messages without end";
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        Ok(count)
    }
}

impl Write for Below {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        writer.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner).flush()
    }
}

/// Both halves of a WebSocket whose handshake is through, at the server.
pub(super) fn split(
    reader: Box<dyn Read + Send>,
    writer: Box<dyn Write + Send>,
) -> (SocketReader, SocketWriter) {
    let writer = Arc::new(Mutex::new(writer));
    let below = Below { reader, writer: Arc::clone(&writer), idle: 0 };
    let reading = WebSocket::from_raw_socket(below, Role::Server, Some(config()));
    let below = Below { reader: Box::new(io::empty()), writer, idle: 0 };
    let writing = WebSocket::from_raw_socket(below, Role::Server, Some(config()));
    (SocketReader { socket: reading, rest: Cursor::default() }, SocketWriter { socket: writing })
}

/// The receiving half.
pub(super) struct SocketReader {
    socket: WebSocket<Below>,
    rest: Cursor<tungstenite::Bytes>,
}

/// The sending half; says goodbye on drop.
pub(super) struct SocketWriter {
    socket: WebSocket<Below>,
}

fn to_io(error: Error) -> io::Error {
    match error {
        Error::Io(error) => error,
        Error::ConnectionClosed | Error::AlreadyClosed => io::ErrorKind::ConnectionAborted.into(),
        // The tab was closed.
        Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => {
            io::ErrorKind::UnexpectedEof.into()
        }
        other => io::Error::new(io::ErrorKind::InvalidData, other.to_string()),
    }
}

impl Read for SocketReader {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        loop {
            let count = self.rest.read(bytes)?;
            if count > 0 || bytes.is_empty() {
                return Ok(count);
            }
            match self.socket.read() {
                Ok(Message::Binary(more)) => {
                    if !more.is_empty() {
                        self.socket.get_mut().idle = 0;
                    }
                    self.rest = Cursor::new(more);
                }
                Ok(Message::Ping(_) | Message::Pong(_)) => {}
                Ok(Message::Close(_)) | Err(Error::ConnectionClosed) => return Ok(0),
                Ok(_) => {
                    let text = "a text message in a stream of bytes";
                    return Err(io::Error::new(io::ErrorKind::InvalidData, text));
                }
                Err(error) => return Err(to_io(error)),
            }
        }
    }
}

impl Write for SocketWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let piece = bytes.get(..MESSAGE).unwrap_or(bytes);
        self.socket.send(Message::binary(piece.to_vec())).map_err(to_io)?;
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.socket.flush().map_err(to_io)
    }
}

impl Drop for SocketWriter {
    fn drop(&mut self) {
        // A browser that is gone needs no goodbye.
        let _ = self.socket.close(None);
        let _ = self.socket.flush();
    }
}
