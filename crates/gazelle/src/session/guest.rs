//! A client on its way in: what the server's owner decides between hello and session.
//!
//! | client | server |
//! |---|---|
//! | hello -> | [`Guest::greet`] |
//! | <- busy | [`Guest::turn_away`], or |
//! | <- description; confirmation -> | [`Service::welcome`] |
//! | setup, commands | [`Service::attend`], told apart by [`SessionStage`] |

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use gazelle_share::{LinearProtocol, NonlinearProtocol};
use gazelle_wire::Channel;
use gazelle_wire::handshake::{self, Hello, Status};

use crate::error::GazelleError;
use crate::report::Meter;
use crate::session::offer::handshake_error;
use crate::session::quota::Quota;
use crate::session::server::Service;

/// A client that has said hello and no more.
#[derive(Debug)]
pub struct Guest {
    pub(crate) channel: Channel,
    pub(crate) meter: Meter,
    pub(crate) quota: Quota,
    hello: Hello,
}

impl Guest {
    /// Waits for a client's hello.
    ///
    /// # Errors
    /// The link's, or the stranger's first bytes.
    pub fn greet(mut channel: Channel) -> Result<Self, GazelleError> {
        let meter = Meter::start(&channel);
        match handshake::greet(&mut channel) {
            Ok(hello) => Ok(Self { channel, meter, quota: Quota::default(), hello }),
            Err(error) => {
                channel.send_error();
                Err(handshake_error(error))
            }
        }
    }

    /// Lets the guest make no more inferences than `quota` has left; without this, as many as a session
    /// allows.
    pub fn limit(&mut self, quota: Quota) {
        self.quota = quota;
    }

    /// Says that all sessions are taken.
    ///
    /// # Errors
    /// The link's.
    pub fn turn_away(mut self) -> Result<(), GazelleError> {
        handshake::refuse(&mut self.channel, Status::Busy).map_err(handshake_error)
    }

    /// Gives up on a guest who has been welcomed and for whom no place came free.
    pub fn dismiss(mut self) {
        self.channel.send_error();
    }
}

impl<L: LinearProtocol, N: NonlinearProtocol> Service<L, N> {
    /// Sends the description and waits until the client confirms it.
    ///
    /// # Errors
    /// Versions or models that do not match (the client has been told), a wrong confirmation, or
    /// the link's.
    pub fn welcome(&self, guest: &mut Guest) -> Result<(), GazelleError> {
        let channel = &mut guest.channel;
        let result = handshake::offer(channel, &guest.hello, self.description())
            .and_then(|offered| offered.confirm(channel, self.suite_bytes()));
        result.map_err(|error| {
            channel.send_error();
            handshake_error(error)
        })
    }
}

/// What a session is doing, as others may watch it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activity {
    /// Both protocols are set up.
    Setup,
    /// The server waits for the client's next command.
    Idle,
    /// Material is being made or used.
    Busy,
}

/// A session's [`Activity`], shared with whoever watches it.
#[derive(Debug, Clone, Default)]
pub struct SessionStage(Arc<AtomicU8>);

impl SessionStage {
    /// What the session is doing now.
    pub fn activity(&self) -> Activity {
        match self.0.load(Ordering::Relaxed) {
            0 => Activity::Setup,
            1 => Activity::Idle,
            _ => Activity::Busy,
        }
    }

    pub(crate) fn set(&self, activity: Activity) {
        let code = match activity {
            Activity::Setup => 0,
            Activity::Idle => 1,
            Activity::Busy => 2,
        };
        self.0.store(code, Ordering::Relaxed);
    }
}
