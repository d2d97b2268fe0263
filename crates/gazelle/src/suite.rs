//! A suite is a value: one linear protocol and one non-linear protocol.

/// Whether the setup of the linear protocol serves a session or one inference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Hints {
    /// One setup per session: hints are used again by every inference (docs/protocol.md, 3.9).
    #[default]
    Reused,
    /// One setup per inference, for those who do not trust that argument: every public polynomial
    /// meets one secret. An inference costs what a first one does.
    Fresh,
}

/// The two protocols of a session. An experiment is one changed part:
/// `suite.with_nonlinear(MyProtocol::new())`.
#[derive(Debug, Clone, Default)]
pub struct Suite<L, N> {
    linear: L,
    nonlinear: N,
    hints: Hints,
}

impl<L, N> Suite<L, N> {
    /// Any two protocols fit together: they meet as additive shares.
    pub fn new(linear: L, nonlinear: N) -> Self {
        Self { linear, nonlinear, hints: Hints::Reused }
    }

    /// The same suite with another non-linear protocol.
    #[must_use]
    pub fn with_nonlinear<M>(self, nonlinear: M) -> Suite<L, M> {
        Suite { linear: self.linear, nonlinear, hints: self.hints }
    }

    /// The same suite with one linear setup per session, or per inference; both parties must agree.
    #[must_use]
    pub fn with_hints(self, hints: Hints) -> Self {
        Self { hints, ..self }
    }

    /// Returns the linear protocol.
    pub fn linear(&self) -> &L {
        &self.linear
    }

    /// Returns the non-linear protocol.
    pub fn nonlinear(&self) -> &N {
        &self.nonlinear
    }

    /// Returns how long a linear setup serves.
    pub fn hints(&self) -> Hints {
        self.hints
    }
}
