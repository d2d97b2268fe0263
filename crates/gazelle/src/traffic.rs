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
    /// The first inference of a session, before its input; one that is used, where others are opened by an audit.
    pub offline: Cost,
    /// The first inference of a session, from its input on.
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
        let nonlinear = nonlinear.0.traffic(nonlinear.1);
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
        Self {
            setup: handshake(description) + wish + linear.setup + nonlinear.setup,
            offline: command
                + audit
                + linear.offline.iter().copied().sum()
                + nonlinear.offline.iter().copied().sum(),
            online: command + input + nonlinear.online.iter().copied().sum(),
            linear,
            nonlinear,
        }
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
