//! What a plan will put on the wire, to the byte.

use gazelle_share::{LinearProtocol, LinearTraffic, NonlinearProtocol, NonlinearTraffic};
use gazelle_wire::handshake::Hello;
use gazelle_wire::traffic::framed_len;
use gazelle_wire::{Cost, Message};

use crate::plan::Plan;
use crate::session::audit;
use crate::session::message::{ClientCommand, MaskedInput, SetupWish};

use crate::suite::Clients;

/// Exact bytes by phase, headers included; both parties see the same.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PlannedTraffic {
    /// Handshake, hints and base OT: once per session that goes on with no kept setup.
    pub setup: Cost,
    /// The first inference of a session, or one behind others, before its input; one that is used, where others are
    /// opened by an audit.
    pub offline: Cost,
    /// What it takes instead of `offline` if an audit opens it: no tables, and no command of its own. Hints apart,
    /// where each inference has its own.
    pub opened: Cost,
    /// The same inference, from its input on.
    pub online: Cost,
    /// The linear protocol's part, by group.
    pub linear: LinearTraffic,
    /// The non-linear protocol's part, by step.
    pub nonlinear: NonlinearTraffic,
}

impl PlannedTraffic {
    /// Predicts a session: `description` is the length of what the server sends.
    pub(crate) fn predict<L: LinearProtocol, N: NonlinearProtocol>(
        clients: Clients,
        plan: &Plan,
        linear: (&L, &L::Plan),
        nonlinear: (&N, &N::Compiled),
        description: usize,
    ) -> Self {
        let linear = linear.0.traffic(plan.groups(), linear.1);
        let nonlinear = nonlinear.0.traffic(nonlinear.1, 0);
        let command = Cost {
            client_to_server: framed_len(ClientCommand::encoded_len(&())),
            server_to_client: 0,
        };
        let input = MaskedInput::encoded_len(&MaskedInput::shape(plan.architecture()));
        let input = Cost { client_to_server: framed_len(input), server_to_client: 0 };
        let wish = framed_len(SetupWish::encoded_len(&0));
        let wish = command + Cost { client_to_server: wish, server_to_client: 0 };
        let audit = match clients.opening_ot() {
            None => Cost::default(),
            Some(ot) => audit::traffic(ot),
        };
        let offline =
            audit + linear.offline.iter().copied().sum() + nonlinear.offline.iter().copied().sum();
        let kept_back = nonlinear.kept_back;
        let opened = Cost {
            client_to_server: offline.client_to_server - kept_back.client_to_server,
            server_to_client: offline.server_to_client - kept_back.server_to_client,
        };
        Self {
            setup: handshake(description) + wish + linear.setup + nonlinear.setup,
            offline: command + offline,
            opened: if clients == Clients::Trusted { Cost::default() } else { opened },
            online: command + input + nonlinear.online.iter().copied().sum(),
            linear,
            nonlinear,
        }
    }

    /// The same of a later inference, whose non-linear part is this.
    pub(crate) fn later(&self, nonlinear: NonlinearTraffic) -> Self {
        let sum =
            |nonlinear: &NonlinearTraffic| -> Cost { nonlinear.offline.iter().copied().sum() };
        let (first, now) = (sum(&self.nonlinear), sum(&nonlinear));
        let moved = |cost: Cost| Cost {
            client_to_server: cost.client_to_server + now.client_to_server - first.client_to_server,
            server_to_client: cost.server_to_client + now.server_to_client - first.server_to_client,
        };
        let opened = if self.opened == Cost::default() { self.opened } else { moved(self.opened) };
        Self { offline: moved(self.offline), opened, nonlinear, ..self.clone() }
    }

    /// Setup, offline and online of one cold inference.
    pub fn cold(&self) -> Cost {
        self.setup + self.offline + self.online
    }
}

/// Returns the four messages of `gazelle_wire::handshake`.
fn handshake(description: usize) -> Cost {
    const ANSWER: usize = 1 + 2 + 4 + 8 + 32;
    const CONFIRMATION: usize = 64;
    Cost {
        client_to_server: framed_len(Hello::encoded_len(&())) + framed_len(CONFIRMATION),
        server_to_client: framed_len(ANSWER) + framed_len(description),
    }
}
