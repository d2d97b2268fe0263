//! A suite is a value: one linear protocol and one non-linear protocol.

/// The two protocols of a session. An experiment is one changed part:
/// `suite.with_nonlinear(MyProtocol::new())`.
#[derive(Debug, Clone, Default)]
pub struct Suite<L, N> {
    linear: L,
    nonlinear: N,
}

impl<L, N> Suite<L, N> {
    /// Any two protocols fit together: they meet as additive shares.
    pub fn new(linear: L, nonlinear: N) -> Self {
        Self { linear, nonlinear }
    }

    /// The same suite with another linear protocol.
    #[must_use]
    pub fn with_linear<M>(self, linear: M) -> Suite<M, N> {
        Suite { linear, nonlinear: self.nonlinear }
    }

    /// The same suite with another non-linear protocol.
    #[must_use]
    pub fn with_nonlinear<M>(self, nonlinear: M) -> Suite<L, M> {
        Suite { linear: self.linear, nonlinear }
    }

    /// Returns the linear protocol.
    pub fn linear(&self) -> &L {
        &self.linear
    }

    /// Returns the non-linear protocol.
    pub fn nonlinear(&self) -> &N {
        &self.nonlinear
    }
}
