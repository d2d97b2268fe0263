//! Running a client and a server side by side.

use std::sync::Arc;

use gazelle::{
    Client, ClientShelf, GazelleError, Inference, Limits, ModelInfo, Offer, Phase, PlannedTraffic,
    ServerLimits, ServerReport, Service, Suite,
};
use gazelle_share::testing::test_rng;
use gazelle_share::{LinearProtocol, Network, NonlinearProtocol};
use gazelle_wire::testing::run_two_over;
use gazelle_wire::{Channel, memory};
use rand_core::CryptoRng;

/// How the phases of a session's inferences follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// Setup, then one phase after the other.
    Apart,
    /// Setup, then both phases side by side.
    AtOnce,
    /// The same, and the setup's hints beside the first inference.
    Cold,
}

impl Way {
    /// A session, set up if that comes first.
    pub(crate) fn begin<L: LinearProtocol, N: NonlinearProtocol>(
        self,
        offer: Offer,
        suite: Suite<L, N>,
        shelf: Option<&dyn ClientShelf>,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<Client<L, N>, GazelleError> {
        match self {
            Self::Cold => offer.accept_unprepared(suite),
            Self::Apart | Self::AtOnce => offer.accept_with(suite, shelf, rng),
        }
    }

    /// One inference.
    pub(crate) fn infer<L: LinearProtocol, N: NonlinearProtocol>(
        self,
        client: &mut Client<L, N>,
        shelf: Option<&dyn ClientShelf>,
        input: &[i64],
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<Inference, GazelleError> {
        match self {
            Self::Apart => {
                let prepared = client.prepare(rng)?;
                client.infer(prepared, input)
            }
            Self::AtOnce => client.infer_at_once(input, rng),
            Self::Cold => client.set_up_and_infer(shelf, input, rng),
        }
    }
}

/// What both parties saw of one session.
pub(crate) struct Run {
    pub(crate) setup: Phase,
    pub(crate) inferences: Vec<Inference>,
    pub(crate) planned: PlannedTraffic,
    pub(crate) server: ServerReport,
    way: Way,
}

/// One session with an inference per input, each prepared just before it is used.
pub(crate) fn run<L, N>(suite: &Suite<L, N>, network: &Network, inputs: &[Vec<i64>]) -> Run
where
    L: LinearProtocol + Clone + 'static,
    N: NonlinearProtocol + Clone + 'static,
{
    run_over(memory::pair(), suite, network, inputs)
}

/// The same over the ends (client's, server's) of any link.
pub(crate) fn run_over<L, N>(
    ends: (Channel, Channel),
    suite: &Suite<L, N>,
    network: &Network,
    inputs: &[Vec<i64>],
) -> Run
where
    L: LinearProtocol + Clone + 'static,
    N: NonlinearProtocol + Clone + 'static,
{
    run_by(Way::Apart, ends, suite, network, inputs)
}

/// The same, with phases that follow each other some way.
pub(crate) fn run_by<L, N>(
    way: Way,
    ends: (Channel, Channel),
    suite: &Suite<L, N>,
    network: &Network,
    inputs: &[Vec<i64>],
) -> Run
where
    L: LinearProtocol + Clone + 'static,
    N: NonlinearProtocol + Clone + 'static,
{
    let server = compile(suite.clone(), network.clone());
    let planned = server.traffic().clone();
    let suite = suite.clone();
    let inputs = inputs.to_vec();
    let (client, server) = run_two_over(
        ends,
        move |channel| -> Result<(Phase, Vec<Inference>), GazelleError> {
            let mut rng = test_rng(1);
            let offer = Offer::receive(channel, Limits::default(), None, &mut rng)?;
            let mut client: Client<L, N> = way.begin(offer, suite, None, &mut rng)?;
            let mut inferences = Vec::new();
            for input in &inputs {
                inferences.push(way.infer(&mut client, None, input, &mut rng)?);
            }
            let setup = client.setup();
            client.close()?;
            Ok((setup, inferences))
        },
        move |channel| server.serve(channel, &ServerLimits::default(), &mut test_rng(2)),
    );
    let (setup, inferences) = client.unwrap();
    Run { setup, inferences, planned, server: server.unwrap(), way }
}

/// Compiles a test network.
pub(crate) fn compile<L: LinearProtocol, N: NonlinearProtocol>(
    suite: Suite<L, N>,
    network: Network,
) -> Arc<Service<L, N>> {
    let model = ModelInfo { name: "test".into(), ..ModelInfo::default() };
    Arc::new(Service::compile(suite, network, model, serde_json::Value::Null).unwrap())
}

/// Asserts that what both parties measured is what the plan says, to the byte.
pub(crate) fn assert_traffic(run: &Run) {
    let sides = |phase: &Phase| (phase.bytes_sent, phase.bytes_received);
    let planned = |cost: gazelle_wire::Cost| (cost.client_to_server, cost.server_to_client);
    let swapped = |phase: &Phase| (phase.bytes_received, phase.bytes_sent);
    assert_eq!(sides(&run.setup), planned(run.planned.setup), "setup at the client");
    assert_eq!(swapped(&run.server.setup), planned(run.planned.setup), "setup at the server");
    assert!(run.setup.turns <= 3, "{} turns of the setup at the client", run.setup.turns);
    assert!(run.server.setup.turns <= 3, "{} at the server", run.server.setup.turns);
    let first = &run.inferences[0].report;
    assert_eq!(sides(&first.offline), planned(run.planned.offline), "offline at the client");
    assert_eq!(sides(&first.online), planned(run.planned.online), "online at the client");
    // The linear layers' talk, then the streams of all steps; a protocol that goes step by step in none.
    assert!(first.offline.turns <= 3, "{} turns at the client", first.offline.turns);
    let server = &run.server.inferences[0];
    assert!(server.offline.turns <= 3, "{} turns at the server", server.offline.turns);
    let (sent, received) = swapped(&server.offline);
    assert_eq!((sent + COMMAND, received), planned(run.planned.offline), "offline at the server");
    let (sent, received) = swapped(&server.online);
    let command = if run.way == Way::Apart { COMMAND } else { 0 };
    assert_eq!((sent + command, received), planned(run.planned.online), "online at the server");
}

/// The command that starts a phase is read before the server's clock starts: of an inference at once the first.
const COMMAND: u64 = 13;
