//! One private prediction, from a file's bytes to the answer, over any channel.

use std::sync::Arc;

use gazelle::backend::{Choice, DefaultClient};
use gazelle::wire::Channel;
use gazelle::{Asking, GazelleError, Limits, Offer};
use gazelle_input::{Encoder, Image, Input};
use serde::Serialize;

use crate::answer::WebAnswer;
use crate::error::WebError;

/// A tab's memory is small: 32-bit addresses.
const LIMITS: Limits = Limits { traffic_bytes: 8 << 30, memory_bytes: 2 << 30 };

/// What is asked.
#[derive(Debug, Clone, Copy)]
pub struct WantedPrediction<'a> {
    /// The model's name; empty for a server's only one.
    pub model: &'a str,
    /// The digest that the page shows, in hexadecimal digits; empty to accept any.
    pub digest: &'a str,
    /// The file's name, for messages.
    pub name: &'a str,
    /// Its content.
    pub file: &'a [u8],
}

/// What happens on the way; the page gets it as JSON.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum WebEvent<'a> {
    /// The server is full: a place in line, 1 for the next.
    Line {
        /// The place.
        place: u32,
    },
    /// The server has made its offer, and the file fits the model.
    Offered {
        /// The model's name. Foreign text.
        model: &'a str,
        /// BLAKE3 of the description.
        digest: &'a str,
    },
    /// A phase begins.
    Phase {
        /// `setup`, `offline` or `online`.
        phase: &'a str,
    },
    /// A layer is done.
    Layer {
        /// `setup`, `offline` or `online`.
        phase: &'a str,
        /// Layers done.
        done: usize,
        /// Layers in all.
        of: usize,
        /// The layer. Foreign text.
        layer: &'a str,
    },
}

/// Whom to tell what happens; must return quickly.
pub trait PredictionWatcher: Send + Sync {
    /// Something happened.
    fn event(&self, event: &WebEvent<'_>);
    /// What was read from the file, as the network's input is made of it.
    fn picture(&self, picture: &Image);
}

/// Computes the prediction for one file. The file is decoded here, and held against what the server's
/// description says, before anything that depends on it is sent.
///
/// # Errors
/// [`WebError`]: the file's, the server's or the link's.
pub fn predict(
    channel: Channel,
    wanted: &WantedPrediction<'_>,
    watcher: &Arc<dyn PredictionWatcher>,
) -> Result<WebAnswer, WebError> {
    let input = Input::decode(wanted.name, wanted.file)?;
    let pinned = match wanted.digest {
        "" => None,
        digest => Some(parse(digest).ok_or_else(|| WebError::Digest(digest.to_owned()))?),
    };
    let mut rng = gazelle::system_rng().map_err(GazelleError::from)?;
    let asking = Asking { limits: LIMITS, pinned, model: wanted.model };
    let mut line = |place| {
        watcher.event(&WebEvent::Line { place });
        true
    };
    let offer = Offer::ask(channel, &asking, &mut line, &mut rng)?;
    let description = offer.description();
    let interface = description.model.interface.as_ref();
    let encoder = Encoder::new(&description.architecture, interface)?;
    if let Some(picture) = encoder.shown(&input)? {
        watcher.picture(&picture);
    }
    let (values, notices) = encoder.encode(&input)?;
    let notices = notices.iter().map(ToString::to_string).collect();
    let digest = hexadecimal(&offer.digest());
    watcher.event(&WebEvent::Offered { model: &description.model.name, digest: &digest });
    let suite = Choice::parse(description)?.suite(description.nonlinear.len());
    watcher.event(&WebEvent::Phase { phase: "setup" });
    let mut client: DefaultClient = offer.accept(suite, &mut rng)?;
    let observer = Arc::clone(watcher);
    client.observe(Box::new(move |progress| {
        let gazelle::Progress { phase, done, of, layer } = *progress;
        observer.event(&WebEvent::Layer { phase, done, of, layer });
    }));
    watcher.event(&WebEvent::Phase { phase: "offline" });
    let prepared = client.prepare(&mut rng)?;
    watcher.event(&WebEvent::Phase { phase: "online" });
    let inference = client.infer(prepared, &values)?;
    let setup = client.setup();
    let answer = WebAnswer::new(client.description(), inference, setup, notices);
    // The answer is complete: a server that is gone by now takes nothing away.
    let _ = client.close();
    Ok(answer)
}

fn hexadecimal(digest: &[u8; 32]) -> String {
    use std::fmt::Write;
    digest.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// 64 hexadecimal digits.
fn parse(text: &str) -> Option<[u8; 32]> {
    let digits: &[u8; 64] = text.as_bytes().try_into().ok()?;
    let mut digest = [0; 32];
    for (byte, pair) in digest.iter_mut().zip(digits.chunks_exact(2)) {
        let pair = std::str::from_utf8(pair).ok()?;
        *byte = u8::from_str_radix(pair, 16).ok()?;
    }
    Some(digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_a_digest_is_what_its_digits_say() {
        let digest: [u8; 32] = std::array::from_fn(|byte| (byte * 37) as u8);
        assert_eq!(parse(&hexadecimal(&digest)), Some(digest));
        for wrong in ["", "00", &"g".repeat(64), &"0".repeat(63), &"é".repeat(32)] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
