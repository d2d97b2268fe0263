//! Setups that outlive their session: who keeps them, and how both parties come to go on with one.
//!
//! | client | server |
//! |---|---|
//! | command `set up`; [`SetupWish`]: an id for a new setup, names of kept ones -> | |
//! | | if there were names: [`SetupAnswer`]: which one, after how many inferences |
//! | if none was chosen: the linear protocol's setup | the same |
//! | the non-linear protocol's setup | the same |
//! | if one was chosen: [`SetupVerdict`]: whether it could be read -> | |
//! | if it could not: the linear protocol's setup | the same |
//! | keeps a new setup under the new id | the same |
//!
//! The verdict comes last, so that nobody waits for it: the OTs need none of the linear setup. Where an inference
//! at once follows, a new linear setup is one whose hints are *late*: they come beside it, and it is kept when all are
//! there, at the server with this inference counted.
//!
//! Only the linear protocol's setup is kept, never an OT session's. Nothing in it is used up: every request
//! has a secret of its own and every answer coins of its own, so that a party whose shelf was restored or
//! copied repeats nothing (docs/protocol.md, 3.10).

use std::io::{self, Read, Write};
use std::sync::Arc;

use gazelle_share::{KeptSetup, LinearClient, LinearProtocol, LinearServer, NonlinearProtocol};
use gazelle_wire::Channel;
use rand_core::CryptoRng;

use crate::error::GazelleError;
use crate::plan::Plan;
use crate::session::message::{
    ClientCommand, NAMES, SetupAnswer, SetupName, SetupVerdict, SetupWish,
};
use crate::suite::{Clients, Hints, Suite};

/// So many inferences a setup serves in all, the running sessions' included: a quarter of what the noise
/// covers in the largest ring (docs/protocol.md, 3.9), which leaves room for restored copies of the count.
const IN_ALL: u64 = 1 << 16;
/// Inferences that a session counts ahead.
const BLOCK: u64 = 64;

/// Writes something into a store.
pub type WriteInto<'a> = dyn FnMut(&mut dyn Write) -> io::Result<()> + 'a;

/// Where a client keeps setups. `bound` is the digest of model description and suite that a setup is good for.
/// A shelf gives back what it was given or nothing.
pub trait ClientShelf: Sync {
    /// The setups that may be resumed, the newest first.
    fn names(&self, bound: &[u8; 32]) -> Vec<SetupName>;

    /// A setup's content.
    ///
    /// # Errors
    /// If it cannot be read any more, or is not what was kept; reading may find out as well.
    fn open(&self, bound: &[u8; 32], name: &SetupName) -> io::Result<Box<dyn Read>>;

    /// Keeps what `write` writes.
    ///
    /// # Errors
    /// The storage's, or `write`'s; nothing is kept then.
    fn keep(
        &self,
        bound: &[u8; 32],
        name: &SetupName,
        write: &mut dyn FnMut(&mut dyn Write) -> io::Result<()>,
    ) -> io::Result<()>;

    /// Forgets a setup that cannot be read.
    fn forget(&self, bound: &[u8; 32], name: &SetupName);
}

/// Where a server keeps the setups of one client; bound as a [`ClientShelf`]'s.
pub trait ServerShelf: Sync {
    /// A setup of this name, digest included, and the inferences that were counted for it.
    fn find(&self, bound: &[u8; 32], name: &SetupName) -> Option<(KeptSetup, u64)>;

    /// Keeps a setup; whether it does.
    fn keep(&self, bound: &[u8; 32], id: &[u8; 32], setup: &KeptSetup) -> bool;

    /// Counts inferences ahead, durably; how many there are in all. `None` if that cannot be done: the
    /// setup must serve no more.
    fn count(&self, bound: &[u8; 32], id: &[u8; 32], inferences: u64) -> Option<u64>;

    /// Which of several servers behind one address this is: 32 random bytes that last as long as the store.
    fn replica(&self) -> [u8; 32] {
        [0; 32]
    }

    /// Whether one more entry of this client has room.
    fn has_room(&self) -> bool {
        false
    }

    /// Stores an entry's half durably; whether it did. Its `bound` covers the weights; `holder` names the
    /// client's store.
    fn keep_entry(
        &self,
        _bound: &[u8; 32],
        _entry: &[u8; 32],
        _holder: &[u8; 32],
        _write: &mut WriteInto<'_>,
    ) -> bool {
        false
    }

    /// Takes an entry off the store: it is on disk that it is gone before this returns. Nothing if there is none.
    fn take_entry(&self, _bound: &[u8; 32], _entry: &[u8; 32]) -> Option<Box<dyn Read + Send>> {
        None
    }

    /// Which of these entries there are; all others of this client, `bound` and `holder` are dropped.
    fn compare_entries(
        &self,
        _bound: &[u8; 32],
        _holder: &[u8; 32],
        entries: &[[u8; 32]],
    ) -> Vec<bool> {
        vec![false; entries.len()]
    }
}

/// What a linear setup takes at the client.
pub(crate) struct LinearSetup<P> {
    pub(crate) plan: Arc<P>,
    pub(crate) context: [u8; 32],
}

/// Puts the chosen setup into the session's digest, whether or not the client can read it: parties that do
/// not mean the same one, after the same number of inferences, fail in the OT sessions' checks instead of
/// computing nonsense.
fn bind(channel: &mut Channel, name: &SetupName, used: u64) {
    let mut hasher = blake3::Hasher::new_derive_key("gazelle 2026 resumed setup");
    hasher.update(channel.binding()).update(&name.id).update(&name.digest);
    hasher.update(&used.to_le_bytes());
    channel.bind(*hasher.finalize().as_bytes());
}

/// The client's linear setup.
pub(crate) struct ClientSetup<C> {
    pub(crate) linear: C,
    pub(crate) resumed: bool,
    /// Of a new one whose hints are still to come.
    pub(crate) late: bool,
    /// Under which it is to be kept if it is new.
    pub(crate) id: Option<[u8; 32]>,
}

/// A client's setup whose hints are still to come: the id under which it is to be kept, and where.
#[derive(Clone, Copy)]
pub(crate) struct LateHints<'a> {
    pub(crate) id: Option<[u8; 32]>,
    pub(crate) shelf: Option<&'a dyn ClientShelf>,
}

/// What a client wants of its setup.
#[derive(Clone, Copy)]
pub(crate) struct SetupWanted<'a> {
    pub(crate) shelf: Option<&'a dyn ClientShelf>,
    pub(crate) bound: &'a [u8; 32],
    /// The hints of a new one are to come with the inference that follows.
    pub(crate) late: bool,
}

/// A client's linear setup while the non-linear layers are set up.
pub(crate) enum ClientSetupBegun<C> {
    /// It is there.
    Made(ClientSetup<C>),
    /// A kept one was chosen, and could be read or not; the server is not told yet. The new one's id.
    Chosen(Option<C>, [u8; 32]),
}

/// Whether setups outlive their session. Not those that audits refer to: an audit makes the hints again, by floating
/// point whose last bits differ between processors, and must accuse nobody whose server moved to another machine.
fn is_kept<L: LinearProtocol, N: NonlinearProtocol>(suite: &Suite<L, N>) -> bool {
    suite.hints() == Hints::Reused && suite.clients() == Clients::Trusted
}

/// Asks for a kept setup, and reads it if the server chooses one; else sets up.
pub(crate) fn client<L: LinearProtocol, N: NonlinearProtocol>(
    suite: &Suite<L, N>,
    plan: &Plan,
    setup: &LinearSetup<L::Plan>,
    SetupWanted { shelf, bound, late }: SetupWanted<'_>,
    channel: &mut Channel,
    rng: &mut (dyn CryptoRng + Send),
) -> Result<ClientSetupBegun<L::Client>, GazelleError> {
    let shelf = shelf.filter(|_| is_kept(suite));
    // optional: who has no shelf names no setup
    let mut names = shelf.map(|shelf| shelf.names(bound)).unwrap_or_default();
    names.truncate(NAMES);
    let mut id = [0; 32];
    if shelf.is_some() {
        rng.fill_bytes(&mut id);
    }
    channel.send(&ClientCommand::SetUp { names: names.len() as u32, late }, &())?;
    let wish = SetupWish { id, names };
    channel.send(&wish, &wish.names.len())?;
    if let (Some(shelf), false) = (shelf, wish.names.is_empty()) {
        channel.flush()?;
        let answer: SetupAnswer = channel.recv(&wish.names.len())?;
        if let Some(name) = answer.chosen.and_then(|index| wish.names.get(index)) {
            bind(channel, name, answer.used);
            let resumed = shelf.open(bound, name).map_err(|error| error.to_string());
            let resumed = resumed.and_then(|mut kept| {
                let (groups, linear_plan) = (Arc::clone(plan.groups()), Arc::clone(&setup.plan));
                let linear = suite.linear();
                let resumed = linear.resume_client(groups, linear_plan, answer.used, &mut *kept);
                resumed.map_err(|error| error.to_string())
            });
            let unread = |error: &String| {
                tracing::warn!(%error, "a kept setup cannot be used: a new one");
                shelf.forget(bound, name);
            };
            return Ok(ClientSetupBegun::Chosen(resumed.inspect_err(unread).ok(), id));
        }
        // Another replica behind the same address may have them.
        tracing::info!("the server has none of this client's kept setups: a new one");
    }
    let new = (shelf.map(|_| id), late);
    new_setup(suite, plan, setup, new, channel, rng).map(ClientSetupBegun::Made)
}

/// What goes wrong in a linear setup is this one's.
pub(crate) const LINEAR: &str = "setup of the linear layers";

/// A new linear setup, to be kept under `id` if there is one; with `late` its hints are still to come.
fn new_setup<L: LinearProtocol, N: NonlinearProtocol>(
    suite: &Suite<L, N>,
    plan: &Plan,
    setup: &LinearSetup<L::Plan>,
    (id, late): (Option<[u8; 32]>, bool),
    channel: &mut Channel,
    rng: &mut (dyn CryptoRng + Send),
) -> Result<ClientSetup<L::Client>, GazelleError> {
    let (groups, linear_plan) = (Arc::clone(plan.groups()), Arc::clone(&setup.plan));
    let (linear, context) = (suite.linear(), &setup.context);
    let linear = if late {
        linear.client_before_hints(groups, linear_plan, context)
    } else {
        linear.client(groups, linear_plan, context, channel, rng)
    };
    let linear = linear.map_err(GazelleError::layer(LINEAR))?;
    Ok(ClientSetup { linear, resumed: false, late, id })
}

impl<C: LinearClient> ClientSetupBegun<C> {
    /// Behind the non-linear layers' setup: tells the server whether its choice could be read, and sets up
    /// if it could not.
    pub(crate) fn settle<L: LinearProtocol<Client = C>, N: NonlinearProtocol>(
        self,
        suite: &Suite<L, N>,
        plan: &Plan,
        (setup, late): (&LinearSetup<L::Plan>, bool),
        channel: &mut Channel,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<ClientSetup<C>, GazelleError> {
        let (resumed, id) = match self {
            Self::Made(made) => return Ok(made),
            Self::Chosen(resumed, id) => (resumed, id),
        };
        channel.send(&SetupVerdict(resumed.is_some()), &())?;
        channel.flush()?;
        match resumed {
            Some(linear) => Ok(ClientSetup { linear, resumed: true, late: false, id: None }),
            None => new_setup(suite, plan, setup, (Some(id), late), channel, rng),
        }
    }
}

/// Keeps a new setup under its id, once its hints are here; a shelf that cannot is no reason to end a session.
pub(crate) fn keep<C: LinearClient>(
    linear: &C,
    id: Option<[u8; 32]>,
    (shelf, bound): (Option<&dyn ClientShelf>, &[u8; 32]),
) {
    let (Some(shelf), Some(id)) = (shelf, id) else { return };
    let Some(digest) = linear.kept_digest() else { return };
    let name = SetupName { id, digest };
    if let Err(error) = shelf.keep(bound, &name, &mut |out| linear.keep(out)) {
        tracing::warn!(%error, "the setup is not kept");
    }
}

/// The server's linear setup, and where its inferences are counted.
pub(crate) struct ServerSetup<'a, S> {
    pub(crate) linear: S,
    /// Of a new one, if it is to be kept.
    pub(crate) count: Option<Count<'a>>,
    new: bool,
    /// Of a new one whose hints are still to be said.
    pub(crate) late: bool,
}

/// What a server makes of its client's wish.
#[derive(Clone, Copy)]
pub(crate) struct SetupAsked<'a> {
    /// So many setups were named.
    pub(crate) names: usize,
    /// The hints of a new one come with the inference that follows.
    pub(crate) late: bool,
    /// What a new one is bound to.
    pub(crate) context: &'a [u8; 32],
}

/// A server's linear setup while the non-linear layers are set up.
pub(crate) enum ServerSetupBegun<'a, S> {
    /// It is there.
    Made(ServerSetup<'a, S>),
    /// A kept one was chosen; whether the client can read it is not known yet. Its count, and the new
    /// one's if it comes to that.
    Chosen { linear: S, count: Option<Count<'a>>, new: SetupWish },
}

/// A kept setup's count.
pub(crate) struct Count<'a> {
    shelf: &'a dyn ServerShelf,
    bound: [u8; 32],
    id: [u8; 32],
    /// Inferences that are counted and not yet made.
    ahead: u64,
}

/// Chooses a setup that the client names, or sets up.
pub(crate) fn server<'a, L: LinearProtocol, N: NonlinearProtocol>(
    suite: &Suite<L, N>,
    compiled: &Arc<L::Compiled>,
    asked: SetupAsked<'_>,
    (shelf, bound): (Option<&'a dyn ServerShelf>, [u8; 32]),
    channel: &mut Channel,
    rng: &mut (dyn CryptoRng + Send),
) -> Result<ServerSetupBegun<'a, L::Server>, GazelleError> {
    let SetupAsked { names, late, .. } = asked;
    let wish: SetupWish = channel.recv(&names)?;
    let shelf = shelf.filter(|_| is_kept(suite));
    let linear = suite.linear();
    if late && !linear.has_late_hints() {
        return Err(GazelleError::Peer("late hints, of a protocol that has none".into()));
    }
    let mut chosen = None;
    if let Some(shelf) = shelf {
        chosen = wish.names.iter().enumerate().find_map(|(index, name)| {
            let (kept, used) = shelf.find(&bound, name)?;
            if used + BLOCK > IN_ALL {
                return None;
            }
            // Others may count between the two: one number, from the count, goes to both parties.
            let counted = shelf.count(&bound, &name.id, BLOCK).filter(|all| *all <= IN_ALL)?;
            let used = counted - BLOCK;
            let resumed = linear
                .resume_server(Arc::clone(compiled), used, &kept)
                .inspect_err(|error| tracing::info!(%error, "a kept setup is not used"))
                .ok()?;
            Some((index, *name, used, resumed))
        });
    }
    if !wish.names.is_empty() {
        let answer = match &chosen {
            Some((index, _, used, _)) => SetupAnswer { chosen: Some(*index), used: *used },
            None => SetupAnswer { chosen: None, used: 0 },
        };
        channel.send(&answer, &names)?;
        channel.flush()?;
    }
    if let Some((_, name, used, linear)) = chosen {
        bind(channel, &name, used);
        let count = Count::of((shelf, bound), name.id, BLOCK);
        return Ok(ServerSetupBegun::Chosen { linear, count, new: wish });
    }
    if !wish.names.is_empty() {
        tracing::info!("a client's kept setups are not known here: a new one");
    }
    let made = new_server(suite, compiled, asked, ((shelf, bound), &wish.id), channel, rng);
    made.map(ServerSetupBegun::Made)
}

/// Where a server's setups are kept, if they are, and what they are bound to.
type KeptAt<'a> = (Option<&'a dyn ServerShelf>, [u8; 32]);

/// A new linear setup, to be kept under `id` unless that is 0.
fn new_server<'a, L: LinearProtocol, N: NonlinearProtocol>(
    suite: &Suite<L, N>,
    compiled: &Arc<L::Compiled>,
    SetupAsked { late, context, .. }: SetupAsked<'_>,
    (kept, id): (KeptAt<'a>, &[u8; 32]),
    channel: &mut Channel,
    rng: &mut (dyn CryptoRng + Send),
) -> Result<ServerSetup<'a, L::Server>, GazelleError> {
    let (linear, compiled) = (suite.linear(), Arc::clone(compiled));
    let linear = if late {
        linear.server_before_hints(compiled, context, rng)
    } else {
        linear.server(compiled, context, channel, rng)
    };
    let linear = linear.map_err(GazelleError::layer(LINEAR))?;
    let count = if *id == [0; 32] { None } else { Count::of(kept, *id, 0) };
    Ok(ServerSetup { linear, count, new: true, late })
}

impl<'a, S: LinearServer> ServerSetupBegun<'a, S> {
    /// Behind the non-linear layers' setup: hears whether the client could read what was chosen, and sets
    /// up if it could not.
    pub(crate) fn settle<L: LinearProtocol<Server = S>, N: NonlinearProtocol>(
        self,
        suite: &Suite<L, N>,
        compiled: &Arc<L::Compiled>,
        (asked, kept): (SetupAsked<'_>, KeptAt<'a>),
        channel: &mut Channel,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<ServerSetup<'a, S>, GazelleError> {
        let (linear, count, new) = match self {
            Self::Made(made) => return Ok(made),
            Self::Chosen { linear, count, new } => (linear, count, new),
        };
        let SetupVerdict(taken) = channel.recv(&())?;
        if taken {
            return Ok(ServerSetup { linear, count, new: false, late: false });
        }
        tracing::info!("a client cannot read the setup that it kept: a new one");
        new_server(suite, compiled, asked, (kept, &new.id), channel, rng)
    }
}

impl<'a, S: LinearServer> ServerSetup<'a, S> {
    /// Keeps a new setup, if the client wants that and there is a shelf; one with late hints is kept behind these.
    pub(crate) fn keep(self) -> (S, Option<Count<'a>>, bool) {
        let Self { linear, count, new, late } = self;
        let count = count.filter(|count| !new || late || count.put_on_shelf(&linear));
        (linear, count, late)
    }
}

impl<'a> Count<'a> {
    /// On the shelf, if there is one.
    fn of((shelf, bound): KeptAt<'a>, id: [u8; 32], ahead: u64) -> Option<Self> {
        shelf.map(|shelf| Self { shelf, bound, id, ahead })
    }

    /// Puts a new setup, whose hints were said, on the shelf; whether it is there now.
    pub(crate) fn put_on_shelf<S: LinearServer>(&self, linear: &S) -> bool {
        linear.keep().is_some_and(|setup| self.shelf.keep(&self.bound, &self.id, &setup))
    }

    /// One inference more; counted on the shelf before it begins.
    pub(crate) fn one(&mut self) -> Result<(), GazelleError> {
        if self.ahead == 0 {
            let counted = self.shelf.count(&self.bound, &self.id, BLOCK);
            if counted.is_none_or(|counted| counted > IN_ALL) {
                return Err(GazelleError::Kept("its setup serves no more inferences".into()));
            }
            self.ahead = BLOCK;
        }
        self.ahead -= 1;
        Ok(())
    }
}
