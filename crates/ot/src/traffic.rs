//! Counting bytes by role.

/// Bytes on the wire of a step, frame headers included.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OtTraffic {
    /// Bytes that the party with Delta sends.
    pub sender_to_receiver: u64,
    /// Bytes that the party with the choices sends.
    pub receiver_to_sender: u64,
}

impl OtTraffic {
    /// Both directions together.
    pub const fn total(&self) -> u64 {
        self.sender_to_receiver + self.receiver_to_sender
    }

    /// The roles exchanged.
    #[must_use]
    pub(crate) const fn reversed(self) -> Self {
        Self {
            sender_to_receiver: self.receiver_to_sender,
            receiver_to_sender: self.sender_to_receiver,
        }
    }
}

impl std::ops::Add for OtTraffic {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self {
            sender_to_receiver: self.sender_to_receiver + other.sender_to_receiver,
            receiver_to_sender: self.receiver_to_sender + other.receiver_to_sender,
        }
    }
}

impl std::ops::Sub for OtTraffic {
    type Output = Self;
    fn sub(self, earlier: Self) -> Self {
        Self {
            sender_to_receiver: self.sender_to_receiver - earlier.sender_to_receiver,
            receiver_to_sender: self.receiver_to_sender - earlier.receiver_to_sender,
        }
    }
}

impl std::ops::AddAssign for OtTraffic {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl std::iter::Sum for OtTraffic {
    fn sum<I: Iterator<Item = Self>>(parts: I) -> Self {
        parts.fold(Self::default(), std::ops::Add::add)
    }
}
