"""Who a party is on the network."""

from __future__ import annotations

import os
from dataclasses import dataclass

__all__ = ["Tls"]

PathLike = str | os.PathLike[str]


@dataclass(frozen=True, repr=False)
class Tls:
    """The PEM files of mutual TLS 1.3, for a client or a server.

    Parameters
    ----------
    ca : path, optional
        The certificate of the authority that the *other* side has to be signed by.
    cert : path, optional
        The own certificate, and those that lead to its authority's.
    key : path
        The own private key, which nobody else may be able to read (mode 600). Without `ca` and `cert`: one
        file with all three, as ``gazelle keys`` makes them.
    server_name : str, optional
        At a client: the name that the server's certificate must have, if the address says another.
    revoked : path, optional
        At a server: a revocation list in PEM form, read again when it changes.

    Examples
    --------
    >>> Tls("ca.pem", "alice.pem", "alice.key")
    Tls(cert='alice.pem')
    """

    ca: PathLike | None = None
    cert: PathLike | None = None
    key: PathLike | None = None
    server_name: str | None = None
    revoked: PathLike | None = None

    def __repr__(self) -> str:
        shown = self.cert if self.cert is not None else self.key
        return f"Tls(cert={os.fspath(shown)!r})" if shown is not None else "Tls()"

    def _paths(self) -> tuple[str | None, str | None, str]:
        """As the native module takes them: authority, chain, key."""
        from gazelle.errors import CallerError

        if self.key is None:
            raise CallerError("Tls needs a key: Tls(ca, cert, key), or Tls(key=...) for one file of all three")
        ca, cert = (None if path is None else os.fspath(path) for path in (self.ca, self.cert))
        return (ca, cert, os.fspath(self.key))
