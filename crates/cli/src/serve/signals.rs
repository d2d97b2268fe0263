//! Signals: SIGTERM (or SIGINT) drains the server, a second one ends it at once; SIGHUP reloads, in a thread of its
//! own, since quantising takes seconds.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, sync_channel};
use std::time::Duration;

use gazelle_host::House;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::Outcome;
use crate::arguments::ServeOrders;
use crate::serve::models;

/// Follows signals from a thread of its own; the end is told to `ended`.
pub(crate) fn follow(house: Arc<House>, orders: ServeOrders, ended: Sender<Outcome>) -> Outcome {
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP])?;
    // Signals that come while models are loaded are one more reload.
    let (reloads, wanted) = sync_channel(1);
    let (reloaded, patience) = (Arc::clone(&house), Duration::from_secs(orders.server.drain));
    std::thread::Builder::new()
        .name("reload".into())
        .spawn(move || reload_when_wanted(&reloaded, &orders, &wanted))?;
    std::thread::Builder::new().name("signals".into()).spawn(move || {
        let mut draining = false;
        for signal in signals.forever() {
            if signal == SIGHUP {
                // Full: a reload that has not begun yet reads what there is now.
                let _ = reloads.try_send(());
            } else if draining {
                tracing::warn!("stopped at once, by a second signal");
                // The main thread may have left.
                let _ = ended.send(Ok(()));
            } else {
                draining = true;
                let (house, ended) = (Arc::clone(&house), ended.clone());
                std::thread::spawn(move || drain(&house, patience, &ended));
            }
        }
    })?;
    Ok(())
}

/// Lets running inferences finish, then ends the program with exit code 0.
fn drain(house: &House, patience: Duration, ended: &Sender<Outcome>) {
    tracing::info!(seconds = patience.as_secs(), "stopping: no new sessions");
    let left = house.drain(patience);
    if left > 0 {
        tracing::warn!(sessions = left, "stopped while inferences were running");
    } else {
        tracing::info!("stopped");
    }
    // The main thread may have left.
    let _ = ended.send(Ok(()));
}

/// A reload after the other, as they are asked for.
fn reload_when_wanted(house: &House, orders: &ServeOrders, wanted: &Receiver<()>) {
    for () in wanted {
        reload(house, orders);
    }
}

/// Exchanges the models, or keeps all of them.
fn reload(house: &House, orders: &ServeOrders) {
    tracing::info!("loading the models again");
    let new = orders.again().and_then(|orders| models::load_all(&orders, true));
    let exchanged = new.and_then(|new| Ok(house.exchange(new)?));
    match exchanged {
        Ok(()) => tracing::info!(models = house.models().count(), "models exchanged"),
        Err(failure) => tracing::error!(%failure, "the models stay as they were"),
    }
}
