//! The coordinator of a party that has one thread: it speaks, listens and computes in turn, place by place
//! in the order of both streams.
//!
//! The link takes whatever either party sends ([`Channel::single_threaded`]), so that sending waits for
//! nobody. The client speaks before it listens: nothing that it says of a unit waits for what the server
//! says of it. The server listens first. What goes over the link is what two threads would send.
//!
//! [`Channel::single_threaded`]: gazelle_wire::Channel::single_threaded

use std::sync::mpsc::Receiver;

use gazelle_share::{ProtocolError, StepCost};
use gazelle_wire::{RecvHalf, SendHalf};

use super::{Coordinator, Event, Pool, own_parcels, peer_parcels};
use crate::offline::parcel::Parcel;
use crate::offline::plan::StreamPlace;
use crate::offline::streams::{Coined, ListeningStream, News, SpeakingStream};
use crate::offline::work::Party;

/// A party that has one thread computes at once.
struct Alone;

impl<'s> Pool<'s> for Alone {
    fn run(&self, task: impl FnOnce() + Send + 's) {
        task();
    }
}

impl<'a, P: Party> Coordinator<'a, P> {
    /// Until both streams are through and all steps are ready; the peer is told of an error.
    pub(super) fn alone(
        mut self,
        (speaking, listening): (Coined<'_>, Coined<'_>),
        (send, recv): (&mut SendHalf, &mut RecvHalf),
        parcels: &Receiver<Parcel>,
        events: &Receiver<Option<Event<P>>>,
    ) -> Result<Vec<StepCost>, ProtocolError>
    where
        P: 'a,
        P::Work: 'a,
    {
        let (stream, news) = (self.stream, self.news.clone());
        let tell = |item: News| news.send(Some(Event::Stream(item))).is_ok();
        let speaking: Coined<'_> = (&mut *speaking.0, &mut *speaking.1);
        let listening: Coined<'_> = (&mut *listening.0, &mut *listening.1);
        let mut speaker = SpeakingStream::new(stream, speaking, send, (own_parcels::<P>, &tell));
        let mut listener =
            ListeningStream::new(stream, listening, recv, (peer_parcels::<P>, &tell));
        let mut run = || -> Result<(), ProtocolError> {
            self.settle(events)?;
            for place in &stream.plan.order {
                let parcels_only = matches!(place, StreamPlace::Parcels(_));
                if !P::CLIENT && parcels_only {
                    listener.place(*place, &mut || self.settle(events))?;
                }
                let there = speaker.place(*place, &mut || {
                    self.settle(events)?;
                    Ok(parcels.try_recv().ok())
                })?;
                if !there {
                    return Err(ProtocolError::Defect("a parcel is missing when its place comes"));
                }
                speaker.flush()?;
                if P::CLIENT || !parcels_only {
                    // The OTs of one call are used before the next come.
                    listener.place(*place, &mut || self.settle(events))?;
                }
                self.settle(events)?;
            }
            if self.closed < stream.plan.chunks.len() {
                return Err(ProtocolError::Defect("both streams are through, but not all steps"));
            }
            Ok(())
        };
        if let Err(error) = run() {
            speaker.give_up();
            return Err(error);
        }
        Ok(self.costs)
    }

    /// Does all that follows from what has happened by now.
    fn settle(&mut self, events: &Receiver<Option<Event<P>>>) -> Result<(), ProtocolError>
    where
        P: 'a,
        P::Work: 'a,
    {
        self.advance(&Alone)?;
        while let Ok(event) = events.try_recv() {
            self.learn(event.ok_or(ProtocolError::Panicked)?, &Alone)?;
            self.advance(&Alone)?;
        }
        Ok(())
    }
}
