"""The server: models for many clients, on threads of its own."""

from __future__ import annotations

import json
import os
from types import TracebackType
from typing import Any

from gazelle import _native
from gazelle.errors import CallerError
from gazelle.inputs import InputLike
from gazelle.models import Model, load
from gazelle.tls import PathLike, Tls

__all__ = ["Server"]


class Server:
    """Serves models until it is closed; a context manager. What ``gazelle serve`` does, in this process.

    Parameters
    ----------
    model : path, Model, or a list of these
        ONNX files, or what :func:`inspect` made of them.
    listen : str
        Address and port; port 0 picks a free one. Addresses that other machines can reach need `tls`, or
        `insecure`.
    tls : Tls, optional
        The server's identity; its `ca` is the one that clients have to be signed by.
    insecure : bool
        No TLS, on any address: something else protects the link, and tells who may connect.
    sessions : int
        Clients served at once; others stand in line.
    memory_mib : int
        Memory that all sessions together may be predicted to take.
    wait : float
        Seconds a client may stand in line.
    failures_per_second : int
        Connections of one address that may fail each second before their client is known, and 256 at once; the next
        ones wait up to 4 seconds, or are closed. 0: any number, such as behind a proxy.
    timeout : float
        Seconds one phase may wait for a client, a second more per 8 KiB that moves.
    max_inferences, per_day, per_minute : int, optional
        Inferences of each client with each model: in all, per day (UTC), per minute. In all, with
        ``rounding="local"``: 256 unless something else is said.
    quota_file : path, optional
        Where they are counted; default ``quota.redb`` in the folder of keys.
    metrics : str, optional
        Serve metrics for Prometheus by HTTP on this address.
    audit : path, optional
        Write who asked what, and how it ended, to this file: JSON lines.
    blocked : path, optional
        Clients that were caught cheating, a line each, with a model that trusts none (``audit_rate``); they are not
        served. Default ``blocked.tsv`` in the folder of keys.
    patience : float
        Seconds that running inferences may go on when the server is closed.
    calibration, **settings
        As :func:`inspect` takes them; for a file.

    Raises
    ------
    ModelError
        A model cannot run.
    CallerError
        The address, keys or settings cannot be used.

    Examples
    --------
    >>> with Server(MODEL) as server:
    ...     server.address.startswith("127.0.0.1:")
    True
    """

    def __init__(
        self,
        model: PathLike | Model | list[PathLike | Model],
        listen: str = "127.0.0.1:0",
        *,
        tls: Tls | None = None,
        insecure: bool = False,
        sessions: int = 4,
        memory_mib: int = 4096,
        wait: float = 60.0,
        failures_per_second: int = 32,
        timeout: float = 120.0,
        max_inferences: int | None = None,
        per_day: int | None = None,
        per_minute: int | None = None,
        quota_file: PathLike | None = None,
        metrics: str | None = None,
        audit: PathLike | None = None,
        blocked: PathLike | None = None,
        patience: float = 10.0,
        calibration: InputLike | None = None,
        **settings: Any,
    ) -> None:
        models = model if isinstance(model, list) else [model]
        if not models or sessions < 1 or memory_mib < 1:
            raise CallerError("a server has at least one model, one session and one MiB")
        told = {
            "listen": listen,
            "insecure": insecure,
            "sessions": sessions,
            "memory_mib": memory_mib,
            "wait": wait,
            "failures_per_second": failures_per_second,
            "timeout": timeout,
            "max_inferences": max_inferences,
            "per_day": per_day,
            "per_minute": per_minute,
            "quota_file": None if quota_file is None else os.fspath(quota_file),
            "metrics": metrics,
            "audit": None if audit is None else os.fspath(audit),
            "blocked": None if blocked is None else os.fspath(blocked),
        }
        self._patience = patience
        self._names = [os.fspath(one) if not isinstance(one, Model) else one.name for one in models]
        self._native = _native.Server(
            [load(one, calibration, **settings) for one in models],
            json.dumps(told),
            tls=None if tls is None else tls._paths(),
            revoked=None if tls is None or tls.revoked is None else os.fspath(tls.revoked),
        )

    @property
    def address(self) -> str:
        """Where it listens: ``host:port``."""
        return self._native.address

    def close(self) -> int:
        """Take no new clients, and let running inferences finish for `patience` seconds.

        Returns
        -------
        int
            Sessions that were still computing then; their threads end with the process, or their client.
        """
        return self._native.close(self._patience)

    def __enter__(self) -> Server:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<gazelle.Server of {', '.join(self._names)} on {self.address}>"
