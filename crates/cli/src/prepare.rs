//! `gazelle prepare`: material for later inferences, made now and stored by both parties.

use std::time::{Duration, Instant};

use gazelle::backend::{Choice, DefaultClient};
use gazelle::wire::tcp::Timeouts;
use gazelle::{Asking, EntryKept, Offer, WriteInto};
use gazelle_service::{SealedHeader, Store};
use rand_core::Rng;

use crate::arguments::Prepare;
use crate::failure::Failure;
use crate::infer::shelf::{ClientSetups, MATERIAL, entries};
use crate::screen::{tell, visible};
use crate::{Outcome, link, stores};

/// Compares both stores, then makes one entry after the other.
pub(crate) fn run(command: &Prepare, quiet: bool) -> Outcome {
    let server = command.link_layer.server.as_str();
    let store = stores::client(&command.link_layer)?;
    let setups = ClientSetups::new(stores::client(&command.link_layer)?, server);
    let progress = Duration::from_secs(command.timeout);
    let timeouts = Timeouts { progress, ..Timeouts::default() };
    let channel = link::connect(&command.link_layer, timeouts).map_err(|error| error.failure)?;
    let until = Instant::now() + Duration::from_secs(command.wait);
    let asking = Asking { model: &command.model, ..Asking::default() };
    let mut rng = gazelle::system_rng().map_err(Failure::run("random numbers"))?;
    let mut line = |_| Instant::now() < until;
    let offer = Offer::ask(channel, &asking, &mut line, &mut rng).map_err(|error| {
        Failure::Run(format!("{error}{}", link::hint(&command.link_layer, &error)))
    })?;
    let suite = Choice::parse(offer.description())?.suite(offer.description().nonlinear.len());
    let mut client: DefaultClient = offer.accept_unprepared(suite)?;
    let bound = *client.bound();
    let holder = store.name()?;
    let mut turn = store.turn()?;
    if turn.is_alone() {
        drop_widows(&mut client, &store, server)?;
    } else {
        tracing::info!("another process prepares: the stores are not compared");
    }
    turn.share()?;
    client.set_up(Some(&setups), &mut rng)?;
    let label = client.description().model.name.clone();
    let lasting = Duration::from_hours(24 * command.days);
    for number in 1..=command.count {
        let start = Instant::now();
        let mut id = [0; 32];
        // With entropy of this moment: a process that was copied would name two entries alike.
        gazelle::refreshed(&mut rng).map_err(Failure::run("random numbers"))?.fill_bytes(&mut id);
        let mut header = SealedHeader::new(MATERIAL, server, bound, id, lasting);
        header.label.clone_from(&label);
        let (mut bytes, mut stored) = (0, Duration::ZERO);
        let mut keep = |replica: &[u8; 32], write: &mut WriteInto<'_>| {
            header.digest = *replica;
            let begin = Instant::now();
            bytes = store.create(&header, write)?;
            stored = begin.elapsed();
            Ok(())
        };
        let kept = client.prepare_to_keep((&id, &holder), &mut keep, &mut rng);
        if !matches!(kept, Ok(EntryKept::Stored)) {
            store.forget(MATERIAL, server, &bound, &id)?;
        }
        if kept? == EntryKept::NoRoom {
            return Err(Failure::Run(
                "the server has no room for its half: it keeps material only with `serve --store DIR`, \
                 and so much of each client"
                    .into(),
            ));
        }
        if !quiet {
            let seconds = start.elapsed().as_secs_f64();
            let megabytes = bytes as f64 / 1e6;
            tell!(
                "{number} of {} for {}: {seconds:.2} s, {megabytes:.2} MB on disk at {:.0} MB/s",
                command.count,
                visible(&label),
                megabytes / stored.as_secs_f64().max(1e-6)
            );
        }
    }
    client.close()?;
    Ok(())
}

/// Compares both stores, and drops halves without a partner on both sides. No other process makes any meanwhile.
fn drop_widows(client: &mut DefaultClient, store: &Store, server: &str) -> Outcome {
    let bound = *client.bound();
    let own = entries(store, server, &bound)?;
    let ids: Vec<[u8; 32]> = own.iter().map(|entry| entry.id).collect();
    let (there, replica) = client.compare(&store.name()?, &ids)?;
    for (entry, there) in own.iter().zip(there) {
        // Another server behind the same address may have the other half of what was made there.
        if !there && entry.replica == replica {
            store.forget(MATERIAL, server, &bound, &entry.id)?;
            tracing::info!("an entry that the server does not have is dropped");
        }
    }
    Ok(())
}
