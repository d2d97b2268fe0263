"""Private neural-network inference: a client holds images, a server holds weights.

The client learns the prediction; the server learns nothing about the image. What each party can see, and
what it has to be trusted with, is in the project's ``docs/threat-model.md``.

Examples
--------
>>> import gazelle
>>> y = gazelle.simulate(MODEL, X)           # both parties in this process
>>> y.classes
[7, 2]
>>> with gazelle.Server(MODEL) as server:    # or in two, over a network
...     with gazelle.Client(server.address) as client:
...         client.infer(X).classes
[7, 2]
"""

from gazelle.errors import (
    BusyError,
    CallerError,
    Error,
    InputError,
    LinkError,
    ModelError,
    PeerError,
    QuotaError,
    TlsError,
)
from gazelle.exporting import from_torch
from gazelle.inputs import InputLike
from gazelle.models import Model, PlannedLayer, Unsupported, inspect
from gazelle.results import Answer, Layer, Phase, RankedClass, Report, Results
from gazelle.servers import Server
from gazelle.sessions import Client, simulate
from gazelle.tls import Tls

__all__ = [
    "Answer",
    "BusyError",
    "CallerError",
    "Client",
    "Error",
    "InputError",
    "InputLike",
    "Layer",
    "LinkError",
    "Model",
    "ModelError",
    "PeerError",
    "Phase",
    "PlannedLayer",
    "QuotaError",
    "RankedClass",
    "Report",
    "Results",
    "Server",
    "Tls",
    "TlsError",
    "Unsupported",
    "from_torch",
    "inspect",
    "simulate",
]
