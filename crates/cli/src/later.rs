//! What is planned but not there yet: said plainly, exit code 2.

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
