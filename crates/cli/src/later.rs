//! What is planned but not there yet: said plainly, exit code 2.

use crate::arguments::Reveal;
use crate::failure::Failure;

/// `gazelle prepare`.
pub(crate) fn prepare() -> Failure {
    Failure::Usage(
        "`prepare` (material on disk) is not available yet; `infer` makes its material itself, \
         right before each inference"
            .into(),
    )
}

/// `gazelle keys`.
pub(crate) fn keys() -> Failure {
    Failure::Usage(
        "`keys` (mutual TLS) is not available yet; serve on loopback, or behind a tunnel that \
         protects the link, with --insecure"
            .into(),
    )
}

/// What a `model.toml` asks for.
pub(crate) fn interface(interface: &gazelle_model::Description) -> Result<(), Failure> {
    reveal(match interface.output.reveal {
        gazelle_model::Reveal::Logits => Reveal::Logits,
        gazelle_model::Reveal::TopK => Reveal::TopK,
        gazelle_model::Reveal::Class => Reveal::Class,
    })
}

/// Reveals other than logits.
pub(crate) fn reveal(reveal: Reveal) -> Result<(), Failure> {
    match reveal {
        Reveal::Logits => Ok(()),
        Reveal::TopK | Reveal::Class => Err(Failure::Usage(
            "only `--reveal logits` is available yet; a coarser --resolution reveals less".into(),
        )),
    }
}
