//! Where garbled tables go to and come from: memory, or a stream in pieces of fixed size.
//!
//! The order is that of garbling: blocks of [`LANES_PER_KEY`](crate::tweaks::LANES_PER_KEY) lanes, in
//! them strips of [`STRIP`](crate::garbling::STRIP) lanes, in them the AND gates in order.

use crate::error::GarbleError;

/// Takes tables, gate by gate.
pub trait TableSink {
    /// Room for the next `bytes` of table; the caller fills all of it.
    ///
    /// # Errors
    /// [`GarbleError::Length`] if there is no room, or the sink's own error.
    fn next(&mut self, bytes: usize) -> Result<&mut [u8], GarbleError>;
}

/// Gives tables, gate by gate.
pub trait TableSource {
    /// The next `bytes` of table.
    ///
    /// # Errors
    /// [`GarbleError::Length`] if there are not as many, or the source's own error.
    fn next(&mut self, bytes: usize) -> Result<&[u8], GarbleError>;
}

/// Memory that is written from its start.
impl TableSink for &mut [u8] {
    fn next(&mut self, bytes: usize) -> Result<&mut [u8], GarbleError> {
        let got = self.len();
        self.split_off_mut(..bytes).ok_or(GarbleError::Length {
            what: "room for tables",
            expected: bytes,
            got,
        })
    }
}

/// Memory that is read from its start.
impl TableSource for &[u8] {
    fn next(&mut self, bytes: usize) -> Result<&[u8], GarbleError> {
        let got = self.len();
        self.split_off(..bytes).ok_or(GarbleError::Length {
            what: "bytes of tables",
            expected: bytes,
            got,
        })
    }
}

/// Sends a table of known size in pieces of known size while it is garbled.
///
/// `send` sees `total` bytes in pieces of `piece` bytes; the last one may be shorter. Memory: one
/// piece and one gate.
pub struct PieceSender<F> {
    buffer: Vec<u8>,
    filled: usize,
    piece: usize,
    left: usize,
    send: F,
}

impl<F: FnMut(&[u8]) -> Result<(), GarbleError>> PieceSender<F> {
    /// A table of `total` bytes in pieces of `piece` bytes.
    pub fn new(total: usize, piece: usize, send: F) -> Self {
        Self { buffer: Vec::new(), filled: 0, piece: piece.max(1), left: total, send }
    }

    /// Sends the last piece.
    ///
    /// # Errors
    /// [`GarbleError::Length`] unless exactly `total` bytes were written, or an error of `send`.
    pub fn finish(mut self) -> Result<(), GarbleError> {
        GarbleError::check("bytes of tables written", self.left, self.filled)?;
        self.send_whole_pieces()?;
        match self.buffer.get(..self.filled) {
            Some(rest) if !rest.is_empty() => (self.send)(rest),
            _ => Ok(()),
        }
    }

    fn send_whole_pieces(&mut self) -> Result<(), GarbleError> {
        let whole = self.filled - self.filled % self.piece;
        for piece in self.buffer.get(..whole).unwrap_or_default().chunks(self.piece) {
            (self.send)(piece)?;
        }
        self.buffer.copy_within(whole..self.filled, 0);
        self.filled -= whole;
        self.left -= whole;
        Ok(())
    }
}

impl<F: FnMut(&[u8]) -> Result<(), GarbleError>> TableSink for PieceSender<F> {
    fn next(&mut self, bytes: usize) -> Result<&mut [u8], GarbleError> {
        if self.filled >= self.piece {
            self.send_whole_pieces()?;
        }
        let (start, end) = (self.filled, self.filled + bytes);
        if end > self.left {
            let got = self.left - start;
            return Err(GarbleError::Length { what: "room for tables", expected: bytes, got });
        }
        if self.buffer.len() < end {
            self.buffer.resize(end.max(self.piece + bytes), 0);
        }
        self.filled = end;
        Ok(self.buffer.get_mut(start..end).unwrap_or_default())
    }
}

/// Fetches a table of known size in pieces of known size while it is evaluated: the other end of
/// [`PieceSender`].
pub struct PieceReceiver<F> {
    buffer: Vec<u8>,
    start: usize,
    piece: usize,
    left: usize,
    receive: F,
}

impl<F: FnMut(usize) -> Result<Vec<u8>, GarbleError>> PieceReceiver<F> {
    /// A table of `total` bytes in pieces of `piece` bytes; `receive(n)` gives the next n bytes.
    pub fn new(total: usize, piece: usize, receive: F) -> Self {
        Self { buffer: Vec::new(), start: 0, piece: piece.max(1), left: total, receive }
    }
}

impl<F: FnMut(usize) -> Result<Vec<u8>, GarbleError>> TableSource for PieceReceiver<F> {
    fn next(&mut self, bytes: usize) -> Result<&[u8], GarbleError> {
        while self.buffer.len() - self.start < bytes {
            let now = self.piece.min(self.left);
            if now == 0 {
                let got = self.buffer.len() - self.start;
                return Err(GarbleError::Length { what: "bytes of tables", expected: bytes, got });
            }
            let piece = (self.receive)(now)?;
            GarbleError::check("bytes of a piece of tables", now, piece.len())?;
            self.left -= now;
            self.buffer.drain(..self.start);
            self.start = 0;
            self.buffer.extend_from_slice(&piece);
        }
        let start = self.start;
        self.start += bytes;
        Ok(self.buffer.get(start..start + bytes).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transcript_pieces_have_the_agreed_sizes_whatever_the_gates_are() {
        let gates = [3usize, 17, 1, 64, 5, 0, 29, 10];
        let total: usize = gates.iter().sum();
        for piece in [1, 7, 16, 64, 129, 1000] {
            let (mut sizes, mut stream) = (Vec::new(), Vec::new());
            let mut sink = PieceSender::new(total, piece, |bytes: &[u8]| {
                sizes.push(bytes.len());
                stream.extend_from_slice(bytes);
                Ok(())
            });
            let mut next = 0u8;
            for gate in gates {
                for byte in sink.next(gate).unwrap() {
                    *byte = next;
                    next = next.wrapping_add(1);
                }
            }
            assert!(sink.next(1).is_err());
            sink.finish().unwrap();
            let (last, whole) = sizes.split_last().unwrap();
            assert!(whole.iter().all(|&size| size == piece) && *last <= piece);
            assert_eq!(stream, (0..total as u8).collect::<Vec<_>>());

            let mut at = 0;
            let mut source = PieceReceiver::new(total, piece, |n| {
                at += n;
                Ok(stream[at - n..at].to_vec())
            });
            let mut got = Vec::new();
            for gate in gates {
                got.extend_from_slice(source.next(gate).unwrap());
            }
            assert!(source.next(1).is_err());
            assert_eq!(got, stream);
        }
    }

    #[test]
    fn adversarial_wrong_lengths_are_errors() {
        let sink = PieceSender::new(10, 4, |_: &[u8]| Ok(()));
        assert!(sink.finish().is_err());
        let mut source = PieceReceiver::new(10, 4, |n| Ok(vec![0; n - 1]));
        assert!(source.next(1).is_err());
        assert!(TableSource::next(&mut &[0u8; 3][..], 4).is_err());
        assert!(TableSink::next(&mut &mut [0u8; 3][..], 4).is_err());
    }
}
