"""Errors, by whose fault they are.

After a :class:`LinkError` or a :class:`PeerError` the session is over: connect again.
"""

__all__ = [
    "BusyError",
    "CallerError",
    "Error",
    "InputError",
    "LinkError",
    "ModelError",
    "PeerError",
    "QuotaError",
    "TlsError",
]


class Error(Exception):
    """Anything that goes wrong in this package; raised itself where this program or machine is at fault."""


class LinkError(Error):
    """The link failed, timed out, or never came about; another attempt may succeed."""


class PeerError(Error):
    """The other party does not follow the protocol, or refuses this one."""


class BusyError(PeerError):
    """The server has no room for another session; try again later."""


class QuotaError(PeerError):
    """The server allows this client no more inferences for now."""


class TlsError(PeerError):
    """The two parties did not come to terms about TLS: name, certificate, authority or time."""


class CallerError(Error, ValueError):
    """What the caller asked for cannot be done."""


class InputError(CallerError):
    """An input cannot be read, or does not fit the model."""


class ModelError(CallerError):
    """The model cannot be read, or cannot run privately."""
