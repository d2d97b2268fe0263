//! What can go wrong with an input file.

/// An error of this crate, by whose fault it is. Texts may hold what a file or a peer wrote: escape
/// them before they reach a screen.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InputError {
    /// The caller named something that cannot be an input.
    #[error("{0}")]
    Usage(String),
    /// The file is missing, damaged, of an unknown kind, or does not fit the model.
    #[error("{name}: {why}")]
    File {
        /// The path as it was typed, with `#index` in files of several inputs.
        name: String,
        /// What is wrong.
        why: String,
    },
    /// The model's description, which comes from the server, makes no sense.
    #[error("the server's description: {0}")]
    Description(String),
    /// There is no network yet to encode for.
    #[error("there is no network to encode for")]
    NoNetwork,
}

impl InputError {
    /// For `map_err`: what is wrong with the file of this name.
    pub(crate) fn file<E: std::fmt::Display>(
        name: impl std::fmt::Display,
    ) -> impl FnOnce(E) -> Self {
        let name = name.to_string();
        move |why| Self::File { name, why: why.to_string() }
    }
}
