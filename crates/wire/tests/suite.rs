//! One binary, so that there is one link.

#[cfg(test)]
#[path = "suite/adversarial.rs"]
mod adversarial;
#[cfg(test)]
#[path = "suite/handshakes.rs"]
mod handshakes;
#[cfg(test)]
#[path = "suite/known_answer.rs"]
mod known_answer;
#[cfg(test)]
#[path = "suite/links.rs"]
mod links;
#[cfg(test)]
#[path = "suite/properties.rs"]
mod properties;
#[cfg(test)]
#[path = "suite/transcript.rs"]
mod transcript;
