//! The client's talk about the linear layers: one thread sends requests, another collects the
//! answers and hands them to the worker that computes u. A party that has one thread requests all, then
//! collects.

use std::sync::mpsc;

use gazelle_share::{LinearClient, LinearGroup, Mask, MaskKind, NodeKind, Shares};
use gazelle_wire::{Channel, Instant, RecvHalf, SendHalf};
use rand_core::CryptoRng;

use crate::error::GazelleError;
use crate::plan::{GroupPlace, Plan, Tensors};
use crate::report::Phase;
use crate::session::audit::ClientCoins;

/// Talks about all groups in plan order; the masks of all masked tensors, and bytes and times of
/// each group. `give` gets the answers. With `coins`, all that is secret follows from them.
pub(crate) fn run<C: LinearClient>(
    plan: &Plan,
    client: &C,
    channel: &mut Channel,
    give: &dyn Fn(usize, C::Collected),
    coins: Option<&ClientCoins>,
    rng: &mut (dyn CryptoRng + Send),
) -> Result<(Tensors, Vec<Phase>), GazelleError> {
    let mut phases = vec![Phase::default(); plan.groups().len()];
    let alone = channel.is_single_threaded();
    let (send, recv) = channel.halves();
    let (queue, pending) = mpsc::channel::<(C::Pending, Phase)>();
    let tensors = if alone {
        let tensors = request((plan, client), send, &queue, coins, rng)?;
        drop(queue);
        collect((plan, client), recv, &pending, give, &mut phases)?;
        tensors
    } else {
        std::thread::scope(|scope| {
            let requests = scope.spawn(move || request((plan, client), send, &queue, coins, rng));
            let collected = collect((plan, client), recv, &pending, give, &mut phases);
            drop(pending);
            let requested = requests.join().map_err(|_| GazelleError::Panicked)?;
            collected?;
            requested
        })?
    };
    if let Some(first) = phases.first_mut() {
        first.turns = 1;
    }
    Ok((tensors, phases))
}

/// Requests all groups, and queues what their answers need.
fn request<C: LinearClient>(
    (plan, client): (&Plan, &C),
    send: &mut SendHalf,
    queue: &mpsc::Sender<(C::Pending, Phase)>,
    coins: Option<&ClientCoins>,
    rng: &mut (dyn CryptoRng + Send),
) -> Result<Tensors, GazelleError> {
    let mut drawn = coins.map(ClientCoins::masks);
    let rng = match &mut drawn {
        Some(drawn) => drawn as &mut (dyn CryptoRng + Send),
        None => rng,
    };
    walk_masks(plan, rng, |index, group, mask, rng| {
        let (start, before) = (Instant::now(), send.sent());
        let made = match coins {
            Some(coins) => client.request_from(index, mask, send, &coins.group(index)),
            None => client.request(index, mask, send, rng),
        };
        let (r, pending) = made.map_err(GazelleError::layer(&group.name))?;
        send.flush()?;
        let phase = Phase {
            seconds: start.elapsed().as_secs_f64(),
            bytes_sent: send.sent() - before,
            ..Phase::default()
        };
        // The receiver is gone only after an error of its own, which is what counts.
        queue.send((pending, phase)).map_err(|_| GazelleError::Panicked)?;
        Ok(r)
    })
}

/// Makes the request of each group in plan order by `each`, which gets the group's mask and gives what the request
/// makes of it; the masks of all masked tensors. Those that no request defines are drawn from `rng`.
pub(crate) fn walk_masks(
    plan: &Plan,
    rng: &mut (dyn CryptoRng + Send),
    mut each: impl FnMut(
        usize,
        &LinearGroup,
        Mask<'_>,
        &mut (dyn CryptoRng + Send),
    ) -> Result<Shares, GazelleError>,
) -> Result<Tensors, GazelleError> {
    let mut masks = Masks::new(plan);
    for (index, (group, place)) in plan.groups().iter().zip(plan.places()).enumerate() {
        let mask = match masks.of(plan, group, place, rng)? {
            Some(mask) => Mask::Given(mask),
            None => Mask::Fresh,
        };
        let r = each(index, group, mask, rng)?;
        if group.mask == MaskKind::Fresh {
            for (root, mask) in plan.scatter(index, &r) {
                masks.tensors.set(root, mask);
            }
        }
    }
    masks.complete(plan, rng)?;
    Ok(masks.tensors)
}

/// Collects the answers to all requests, in their order, for `give` to have finished.
fn collect<C: LinearClient>(
    (plan, client): (&Plan, &C),
    recv: &mut RecvHalf,
    pending: &mpsc::Receiver<(C::Pending, Phase)>,
    give: &dyn Fn(usize, C::Collected),
    phases: &mut [Phase],
) -> Result<(), GazelleError> {
    for ((index, group), (pending, phase)) in plan.groups().iter().enumerate().zip(pending) {
        let before = recv.received();
        let collected =
            client.collect(index, pending, recv).map_err(GazelleError::layer(&group.name))?;
        give(index, collected);
        if let Some(slot) = phases.get_mut(index) {
            *slot = Phase { bytes_received: recv.received() - before, ..phase };
        }
    }
    Ok(())
}

/// Masks of the masked tensors, as they become known.
struct Masks {
    tensors: Tensors,
    complete: bool,
}

impl Masks {
    fn new(plan: &Plan) -> Self {
        Self { tensors: Tensors::new(plan.architecture()), complete: false }
    }

    /// Returns the mask that `group` is given; nothing if it is fresh.
    fn of(
        &mut self,
        plan: &Plan,
        group: &LinearGroup,
        place: &GroupPlace,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<Option<&Shares>, GazelleError> {
        if group.mask == MaskKind::Fresh {
            return Ok(None);
        }
        self.complete(plan, rng)?;
        self.tensors.get(place.tensor).map(Some)
    }

    /// Draws the remaining masks and derives those of local maps; all fresh groups are through.
    fn complete(
        &mut self,
        plan: &Plan,
        rng: &mut (dyn CryptoRng + Send),
    ) -> Result<(), GazelleError> {
        if self.complete {
            return Ok(());
        }
        let architecture = plan.architecture();
        for root in plan.drawn() {
            let tensor = architecture.tensor(*root);
            self.tensors.set(*root, Shares::random(tensor.ring_bits, tensor.shape.len(), rng));
        }
        for node in architecture.nodes() {
            if let NodeKind::Local(map) = &node.kind
                && architecture.is_masked(node.output)
            {
                let derived = self.tensors.local(architecture, node, map)?;
                self.tensors.set(node.output, derived);
            }
        }
        self.complete = true;
        Ok(())
    }
}
