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
use rand_core::{CryptoRng, Rng};

use crate::error::GazelleError;
use crate::report::Meter;
use crate::session::coins;
use crate::session::offer::handshake_error;
use crate::session::server::Service;

/// A client that has said hello and no more.
#[derive(Debug)]
pub struct Guest {
    pub(crate) channel: Channel,
    pub(crate) meter: Meter,
    hello: Hello,
    /// The handshake's joint coin, once it has confirmed.
    pub(crate) coin: Option<[u8; 32]>,
}

impl Guest {
    /// Waits for a client's hello.
    ///
    /// # Errors
    /// The link's, or the stranger's first bytes.
    pub fn greet(mut channel: Channel) -> Result<Self, GazelleError> {
        let meter = Meter::start(&channel);
        match handshake::greet(&mut channel) {
            Ok(hello) => Ok(Self { channel, meter, hello, coin: None }),
            Err(error) => {
                channel.send_error();
                Err(handshake_error(error))
            }
        }
    }

    /// What counts this link's waits and bytes; none on links that do not count.
    pub fn pace(&self) -> Option<gazelle_wire::pace::Pace> {
        self.channel.pace()
    }

    /// Whether it only wants to know what models there are.
    pub fn wants_catalogue(&self) -> bool {
        self.hello.catalogue
    }

    /// The model that it wants; empty if it leaves that to the server. Foreign text.
    pub fn model(&self) -> &str {
        self.hello.model.as_str()
    }

    /// Answers one that wants to know what models there are.
    ///
    /// # Errors
    /// The link's.
    pub fn give_catalogue(mut self, catalogue: &[u8]) -> Result<(), GazelleError> {
        handshake::offer_catalogue(&mut self.channel, catalogue).map_err(handshake_error)
    }

    /// Tells its place in line, 1 for the next.
    ///
    /// # Errors
    /// The link's: it does not wait any more.
    pub fn hold(&mut self, place: u32) -> Result<(), GazelleError> {
        handshake::hold(&mut self.channel, place).map_err(handshake_error)
    }

    /// Says that there is no model as it wants it.
    ///
    /// # Errors
    /// The link's.
    pub fn refuse_model(mut self) -> Result<(), GazelleError> {
        handshake::refuse(&mut self.channel, Status::Model).map_err(handshake_error)
    }

    /// Says that it may make no more inferences, for `seconds` or for ever.
    ///
    /// # Errors
    /// The link's.
    pub fn refuse_exhausted(mut self, seconds: Option<u32>) -> Result<(), GazelleError> {
        handshake::refuse_exhausted(&mut self.channel, seconds).map_err(handshake_error)
    }

    /// Says that it is not served.
    ///
    /// # Errors
    /// The link's.
    pub fn refuse(mut self) -> Result<(), GazelleError> {
        handshake::refuse(&mut self.channel, Status::Refused).map_err(handshake_error)
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
    /// Sends the description, and that the client may make `allowance` inferences now (`u64::MAX`: as many
    /// as it likes); waits until the client confirms.
    ///
    /// # Errors
    /// Versions or models that do not match (the client has been told), a wrong confirmation, or
    /// the link's.
    pub fn welcome(
        &self,
        guest: &mut Guest,
        allowance: u64,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<(), GazelleError> {
        let channel = &mut guest.channel;
        let mut nonce = [0; 32];
        coins::fresh(rng)?.fill_bytes(&mut nonce);
        let result = handshake::offer(channel, &guest.hello, allowance, nonce, self.description())
            .and_then(|offered| offered.confirm(channel, self.suite_bytes()));
        let coin = result.map_err(|error| {
            channel.send_error();
            handshake_error(error)
        })?;
        guest.coin = Some(coin);
        Ok(())
    }
}

/// What a session is doing, as others may watch it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activity {
    /// Both protocols are set up.
    Setup,
    /// The server waits for the client's next command.
    Idle,
    /// The same, while material waits for its input.
    Prepared,
    /// Material is being made, or taken off a store.
    Busy,
    /// Material is being used: a client waits for its prediction.
    Online,
}

/// A session's [`Activity`], shared with whoever watches it.
#[derive(Debug, Clone, Default)]
pub struct SessionStage(Arc<AtomicU8>);

impl SessionStage {
    /// A session that does this.
    pub fn of(activity: Activity) -> Self {
        let stage = Self::default();
        stage.set(activity);
        stage
    }

    /// What the session is doing now.
    pub fn activity(&self) -> Activity {
        match self.0.load(Ordering::Relaxed) {
            0 => Activity::Setup,
            1 => Activity::Idle,
            2 => Activity::Prepared,
            3 => Activity::Busy,
            _ => Activity::Online,
        }
    }

    pub(crate) fn set(&self, activity: Activity) {
        let code = match activity {
            Activity::Setup => 0,
            Activity::Idle => 1,
            Activity::Prepared => 2,
            Activity::Busy => 3,
            Activity::Online => 4,
        };
        self.0.store(code, Ordering::Relaxed);
    }
}
