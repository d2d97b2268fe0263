//! Processes that prepare material for one store: only one that is alone may compare it with the server's.

use std::fs::{File, TryLockError};
use std::io;

/// A process's turn to prepare; ends on drop. An entry that is being made is on one side before it is on the other:
/// whoever compares both sides then takes it for one without a partner.
#[derive(Debug)]
pub struct StoreTurn {
    file: File,
    alone: bool,
}

impl StoreTurn {
    /// Alone if no other process has a turn.
    pub(super) fn take(file: File) -> io::Result<Self> {
        let alone = match file.try_lock() {
            Ok(()) => true,
            Err(TryLockError::WouldBlock) => false,
            Err(TryLockError::Error(error)) => return Err(error),
        };
        Ok(Self { file, alone })
    }

    /// Whether no other process prepares: both stores may be compared.
    pub fn is_alone(&self) -> bool {
        self.alone
    }

    /// Goes on beside others; waits while another is alone.
    ///
    /// # Errors
    /// The system's.
    pub fn share(&mut self) -> io::Result<()> {
        if std::mem::take(&mut self.alone) {
            self.file.unlock()?;
        }
        self.file.lock_shared()
    }
}
