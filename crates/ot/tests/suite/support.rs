//! Two parties, reproducibly.

use gazelle_block::Delta;
use gazelle_ot::{OtExtension, OtTraffic, RotReceiver, RotSender};
use gazelle_prg::{Prg, Seed};
use gazelle_wire::testing::run_two;
use gazelle_wire::{Channel, Traffic};

/// A generator of a test's own; `role` keeps parties apart.
pub(crate) fn rng(role: u8) -> Prg {
    Prg::new(&Seed::from_bytes([0x42; 16]), role)
}

/// Runs an adapter on fresh sessions of `extension`: `receiver` as the first party, `sender` as the
/// second; both see the traffic of their part alone.
pub(crate) fn with_sessions<O, A, B>(
    extension: &O,
    receiver: impl FnOnce(&mut RotReceiver<O::Receiver>, &mut Channel, &mut Prg) -> A + Send + 'static,
    sender: impl FnOnce(&mut RotSender<O::Sender>, &mut Channel, &mut Prg) -> B + Send + 'static,
) -> (A, B, OtTraffic)
where
    O: OtExtension + 'static,
    A: Send + 'static,
    B: Send + 'static,
{
    let (one, two) = (extension.clone(), extension.clone());
    let ((a, _), (b, traffic)) = run_two(
        move |mut ch| {
            let mut rng = rng(1);
            let cot = one.receiver(&mut ch, &mut rng).unwrap();
            let mut session = RotReceiver::new(cot, &mut ch).unwrap();
            let before = ch.traffic();
            let value = receiver(&mut session, &mut ch, &mut rng);
            ch.flush().unwrap();
            (value, ch.traffic() - before)
        },
        move |mut ch| {
            let mut rng = rng(2);
            let delta = Delta::random(&mut rng);
            let cot = two.sender(delta, &mut ch, &mut rng).unwrap();
            let mut session = RotSender::new(cot, &mut ch, &mut rng).unwrap();
            let before = ch.traffic();
            let value = sender(&mut session, &mut ch, &mut rng);
            ch.flush().unwrap();
            (value, ch.traffic() - before)
        },
    );
    (a, b, as_ot_traffic(traffic))
}

/// The sender's view of the bytes.
pub(crate) fn as_ot_traffic(traffic: Traffic) -> OtTraffic {
    OtTraffic { sender_to_receiver: traffic.sent, receiver_to_sender: traffic.received }
}
