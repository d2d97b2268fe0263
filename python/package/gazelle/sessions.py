"""The client: over a network, or beside the server in this process."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Any

from gazelle import _native
from gazelle.errors import CallerError
from gazelle.inputs import InputLike, count, read
from gazelle.models import Model, load
from gazelle.results import Answer, Results
from gazelle.tls import PathLike, Tls

__all__ = ["Client", "simulate"]


class Client:
    """A session with a server; a context manager.

    One thread at a time uses it. After an error of the link or the server, and after a ``KeyboardInterrupt``, the
    session is over: connect again.

    Parameters
    ----------
    address : str
        ``host:port``; port 7764 if none is said.
    tls : Tls, optional
        The own identity. Needed unless the server is on this machine.
    insecure : bool
        No TLS, to any address: something else protects the link.
    model : str
        Which of the server's models; may be left out if it has one.
    pin : str, optional
        The only model that is accepted, by the 64 hexadecimal digits of its digest.
    timeout : float
        Seconds that one phase may wait for the server, a second more per 8 KiB that moves.
    wait : float
        Seconds in line if the server is full.
    clamp : bool
        Clip elements beyond the model's declared range, instead of refusing the input.
    progress : bool or None
        A progress bar of ``tqdm`` over several inputs; None: if it is installed.

    Raises
    ------
    LinkError, TlsError, BusyError, QuotaError, PeerError
        No session came about.
    CallerError
        The address can be reached by others, and there is no TLS.

    Examples
    --------
    >>> with Server(MODEL) as server, Client(server.address) as client:
    ...     client.prepare(2)                # before the inputs are known
    ...     client.infer(X).labels
    ['7', '2']
    """

    def __init__(
        self,
        address: str,
        *,
        tls: Tls | None = None,
        insecure: bool = False,
        model: str = "",
        pin: str | None = None,
        timeout: float = 120.0,
        wait: float = 60.0,
        clamp: bool = False,
        progress: bool | None = None,
    ) -> None:
        self._progress = progress
        self._native = _native.Client.connect(
            address,
            tls=None if tls is None else tls._paths(),
            server_name=None if tls is None else tls.server_name,
            insecure=insecure,
            timeout=timeout,
            wait=wait,
            model=model,
            pin=None if pin is None else digest_bytes(pin),
            clamp=clamp,
        )
        self._known = json.loads(self._native.known)

    @classmethod
    def _within(cls, model: _native.Model, clamp: bool, progress: bool | None) -> Client:
        """With the server in this process."""
        self = cls.__new__(cls)
        self._progress = progress
        self._native = _native.Client.within(model, clamp)
        self._known = json.loads(self._native.known)
        return self

    @property
    def model(self) -> str:
        """The model's name."""
        return str(self._known["model"])

    @property
    def digest(self) -> str:
        """The model's digest, for ``pin=``."""
        return str(self._known["digest"])

    @property
    def labels(self) -> list[str]:
        """Names of the classes; empty where the model has none."""
        return list(self._known["labels"])

    @property
    def allowance(self) -> int | None:
        """How many inferences the server allowed when the session began; None: any number."""
        left = self._known["allowance"]
        return None if left is None else int(left)

    @property
    def ready(self) -> int:
        """How many inferences are made ahead."""
        return self._native.ready()

    def prepare(self, n: int = 1) -> None:
        """Make the material of `n` inferences ahead, before their inputs are known.

        It is used by the next calls of :meth:`infer`, each part once; it is kept in memory, and ends with the
        session. At most 64 wait.
        """
        for _ in range(n):
            self._native.prepare()

    def infer(self, x: InputLike, *, top: int = 5) -> Results:
        """The predictions for `x`, which stays here.

        Parameters
        ----------
        x : array, picture, path, or a list of these
            Floating point arrays are tensors that are ready for the network: one, or a batch. Arrays of uint8
            (rows, columns, 1 or 3 channels; one, or a batch), pictures of Pillow's, and files are preprocessed as
            the model says.
        top : int
            How many of the best classes to list.

        Returns
        -------
        Results
            In the order of the inputs.

        Raises
        ------
        InputError
            An input cannot be read, or does not fit; the session lives on.
        LinkError, PeerError
            The session is over.
        """
        return Results(list(self.stream(x, top=top)))

    def stream(self, x: InputLike, *, top: int = 5) -> Iterator[Answer]:
        """As :meth:`infer`, one answer after the other; `x` may be a generator."""
        shape = self._known["shape"]
        for one in bar(read(x, shape), count(x, shape), self._progress):
            yield Answer._of(json.loads(self._native.infer(one, top)))

    def close(self) -> None:
        """End the session; the server need not wait for more."""
        self._native.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self.close()
        except Exception:
            # What ended the block says more than that the server has left.
            if error is None:
                raise

    def __repr__(self) -> str:
        return f"<gazelle.Client of {self.model!r}, digest {self.digest[:16]}>"


def digest_bytes(pin: str) -> bytes:
    try:
        digest = bytes.fromhex(pin)
    except ValueError:
        digest = b""
    if len(digest) != 32:
        raise CallerError("pin is a digest of 64 hexadecimal digits")
    return digest


def bar(items: Iterator[Any], total: int | None, progress: bool | None) -> Iterable[Any]:
    """With a progress bar, if it is wanted and there is something to wait for."""
    if progress is False or (progress is None and total is not None and total < 2):
        return items
    try:
        from tqdm.auto import tqdm
    except ImportError:
        if progress:
            raise
        return items
    return tqdm(items, total=total, unit="input")  # type: ignore[no-any-return]


def simulate(
    model: PathLike | Model,
    x: InputLike,
    *,
    calibration: InputLike | None = None,
    top: int = 5,
    clamp: bool = False,
    progress: bool | None = None,
    **settings: Any,
) -> Results:
    """Both parties in this process, with real masks, keys and messages.

    Parameters
    ----------
    model : path or Model
        An ONNX file, or what :func:`inspect` made of it.
    x : array, picture, path, or a list of these
        As :meth:`Client.infer` takes it.
    calibration, **settings
        As :func:`inspect` takes them; for a file.
    top, clamp, progress
        As :class:`Client` and :meth:`Client.infer` take them.

    Returns
    -------
    Results
        In exact mode, the default, what the program's two processes answer, bit for bit.

    Examples
    --------
    >>> y = simulate(MODEL, X)
    >>> y.classes, y.logits.shape
    ([7, 2], (2, 10))
    """
    native = load(model, calibration, **settings)
    with Client._within(native, clamp, progress) as client:
        return client.infer(x, top=top)
