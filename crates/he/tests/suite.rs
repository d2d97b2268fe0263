//! Integration tests of `gazelle-he`: one binary.

#[cfg(test)]
mod suite {
    mod adversarial;
    mod group;
    mod hygiene;
    mod noise;
    mod parameters;
    mod properties;
    mod transcript;
}
