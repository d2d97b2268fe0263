"""What a client learned, and what it took."""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import pandas

__all__ = ["Answer", "Layer", "Phase", "RankedClass", "Report", "Results"]


def seconds(value: float) -> str:
    """As people read it: ``1.25 s``, ``3.1 ms``."""
    return f"{value:.2f} s" if value >= 1 else f"{value * 1e3:.1f} ms"


def size(count: float) -> str:
    """As people read it: ``12 B``, ``3.4 kB``, ``5.67 MB``."""
    for limit, unit, digits in ((1e3, "B", 0), (1e6, "kB", 1), (1e9, "MB", 2)):
        if count < limit:
            return f"{count / limit * 1e3:.{digits}f} {unit}"
    return f"{count / 1e9:.2f} GB"


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """An HTML table; all text is escaped."""

    def line(cells: Sequence[object], tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}>{html.escape(str(cell))}</{tag}>" for cell in cells) + "</tr>"

    body = "".join(line(row, "td") for row in rows)
    return f"<table><thead>{line(head, 'th')}</thead><tbody>{body}</tbody></table>"


@dataclass(frozen=True)
class Phase:
    """A stretch of work as the client saw it.

    Attributes
    ----------
    seconds : float
        Wall-clock time.
    bytes_sent, bytes_received : int
        With headers.
    turns : int
        How often the client waited for the server.
    """

    seconds: float = 0.0
    bytes_sent: int = 0
    bytes_received: int = 0
    turns: int = 0

    @property
    def bytes(self) -> int:
        """Both directions."""
        return self.bytes_sent + self.bytes_received

    def __add__(self, other: Phase) -> Phase:
        return Phase(
            self.seconds + other.seconds,
            self.bytes_sent + other.bytes_sent,
            self.bytes_received + other.bytes_received,
            self.turns + other.turns,
        )


@dataclass(frozen=True)
class Layer:
    """A layer of one inference.

    Attributes
    ----------
    name : str
        The node's; of all nodes for a linear group.
    kind : str
        ``linear``, ``nonlinear`` or ``output``.
    protocol : str
        ``public-coin``, ``garbled``, ``gmw``, ...
    offline, online : Phase
        Before the input was known, and after.
    """

    name: str
    kind: str
    protocol: str
    offline: Phase
    online: Phase


@dataclass(frozen=True)
class Report:
    """What some inferences took.

    Attributes
    ----------
    setup : Phase
        Handshake and setup, once per session; empty where earlier inferences of the session had it.
    offline, online : Phase
        Sums, before the inputs were known and after; of inferences for which nothing was prepared, until their
        material was made and from then on, since both phases run side by side.
    layers : tuple of Layer
        Sums over the inferences, in the order of the network.
    """

    setup: Phase = Phase()
    offline: Phase = Phase()
    online: Phase = Phase()
    layers: tuple[Layer, ...] = ()

    def to_pandas(self) -> pandas.DataFrame:
        """A row for each layer, with seconds, bytes and turns of both phases."""
        import pandas

        rows = []
        for layer in self.layers:
            row: dict[str, object] = {"name": layer.name, "kind": layer.kind, "protocol": layer.protocol}
            for name, phase in (("offline", layer.offline), ("online", layer.online)):
                row[f"{name}_seconds"] = phase.seconds
                row[f"{name}_bytes"] = phase.bytes
                row[f"{name}_turns"] = phase.turns
            rows.append(row)
        return pandas.DataFrame(rows)

    def _rows(self) -> list[tuple[str, str, str, int]]:
        phases = (("setup", self.setup), ("offline", self.offline), ("online", self.online))
        return [(name, seconds(phase.seconds), size(phase.bytes), phase.turns) for name, phase in phases]

    def __repr__(self) -> str:
        parts = ", ".join(f"{name} {time} {amount}" for name, time, amount, _ in self._rows())
        return f"Report({parts})"

    def _repr_html_(self) -> str:
        return table(("phase", "time", "bytes", "turns"), self._rows())


@dataclass(frozen=True)
class RankedClass:
    """One class of an answer; `logit` is None unless the server reveals it."""

    class_: int
    label: str
    logit: float | None = None


@dataclass(frozen=True)
class Answer:
    """What the client learned of one input.

    Attributes
    ----------
    input : str
        Its name.
    class_ : int
        The best class, the first of equals.
    label : str
        Its name; its number if it has none.
    logits : ndarray or None
        None unless the server reveals them.
    probabilities : ndarray or None
        What the model's final softmax or sigmoid makes of them, if it has one.
    top : tuple of RankedClass
        The best classes, best first.
    tied : tuple of int
        The classes that share the largest logit, if there are several: rounding hides which is ahead.
    class_map : ndarray or None
        Of a map (a softmax per pixel): the class at each position, row by row.
    tolerance : float
        How far a logit may be from the float network's.
    proven : bool
        Whether the server says that no input in its range can overflow a hidden value.
    unlike_calibration : bool
        The input is of another kind than those that the model was calibrated with: do not trust the answer.
    notices : tuple of str
        What happened to the input that its owner may not expect.
    report : Report
        What it took.
    """

    input: str
    class_: int
    label: str
    logits: npt.NDArray[np.float64] | None
    probabilities: npt.NDArray[np.float64] | None
    top: tuple[RankedClass, ...]
    tied: tuple[int, ...]
    class_map: npt.NDArray[np.int64] | None
    tolerance: float
    proven: bool
    unlike_calibration: bool
    notices: tuple[str, ...]
    report: Report = field(repr=False)

    @classmethod
    def _of(cls, told: dict[str, Any]) -> Answer:
        """From the program's JSON form."""

        def floats(name: str) -> npt.NDArray[np.float64] | None:
            values = told.get(name)
            return None if values is None else np.asarray(values, dtype=np.float64)

        classes = told.get("class_map")
        layers = tuple(
            Layer(
                layer["name"],
                layer["kind"],
                layer["protocol"],
                Phase(**layer["offline"]),
                Phase(**layer["online"]),
            )
            for layer in told["layers"]
        )
        setup = Phase(**told["setup"]) if told.get("setup") else Phase()
        return cls(
            input=told["input"],
            class_=told["class"],
            label=told["label"],
            logits=floats("logits"),
            probabilities=floats("probabilities"),
            top=tuple(RankedClass(one["class"], one["label"], one.get("logit")) for one in told["top"]),
            tied=tuple(told.get("tied", ())),
            class_map=None if classes is None else np.asarray(classes, dtype=np.int64),
            tolerance=told["tolerance"],
            proven=told["proven"],
            unlike_calibration=told["unlike_calibration"],
            notices=tuple(told["notices"]),
            report=Report(setup, Phase(**told["offline"]), Phase(**told["online"]), layers),
        )


class Results(Sequence[Answer]):
    """The answers to some inputs, in their order.

    A sequence of :class:`Answer`; ``numpy.asarray(results)`` is :attr:`logits`.
    """

    def __init__(self, answers: Sequence[Answer]) -> None:
        self._answers = tuple(answers)

    @property
    def classes(self) -> list[int]:
        """The best class of each input."""
        return [answer.class_ for answer in self._answers]

    @property
    def labels(self) -> list[str]:
        """Their names."""
        return [answer.label for answer in self._answers]

    @property
    def logits(self) -> npt.NDArray[np.float64] | None:
        """Logits, ``[inputs, classes]``; None unless the server reveals them."""
        rows = [answer.logits for answer in self._answers]
        known = [row for row in rows if row is not None]
        return np.stack(known) if known and len(known) == len(rows) else None

    @property
    def report(self) -> Report:
        """What all of them took together."""
        reports = [answer.report for answer in self._answers]
        setup, offline, online = Phase(), Phase(), Phase()
        for report in reports:
            setup, offline, online = setup + report.setup, offline + report.offline, online + report.online
        layers = tuple(
            Layer(
                same[0].name,
                same[0].kind,
                same[0].protocol,
                sum((layer.offline for layer in same), Phase()),
                sum((layer.online for layer in same), Phase()),
            )
            for same in zip(*(report.layers for report in reports), strict=True)
        )
        return Report(setup, offline, online, layers)

    def to_pandas(self) -> pandas.DataFrame:
        """A row for each input: name, class, label, the best logit, tolerance, seconds and bytes."""
        import pandas

        return pandas.DataFrame(
            [
                {
                    "input": answer.input,
                    "class": answer.class_,
                    "label": answer.label,
                    "logit": answer.top[0].logit if answer.top else None,
                    "tolerance": answer.tolerance,
                    "unlike_calibration": answer.unlike_calibration,
                    "offline_seconds": answer.report.offline.seconds,
                    "online_seconds": answer.report.online.seconds,
                    "bytes": answer.report.offline.bytes + answer.report.online.bytes,
                }
                for answer in self._answers
            ]
        )

    def __len__(self) -> int:
        return len(self._answers)

    @overload
    def __getitem__(self, index: int) -> Answer: ...
    @overload
    def __getitem__(self, index: slice) -> Results: ...
    def __getitem__(self, index: int | slice) -> Answer | Results:
        if isinstance(index, slice):
            return Results(self._answers[index])
        return self._answers[index]

    def __iter__(self) -> Iterator[Answer]:
        return iter(self._answers)

    def __array__(
        self, dtype: npt.DTypeLike | None = None, copy: bool | None = None
    ) -> npt.NDArray[Any]:
        logits = self.logits
        if logits is None:
            raise TypeError("the server reveals no logits; see .classes")
        return logits if dtype is None else logits.astype(dtype)

    def __repr__(self) -> str:
        shown = ", ".join(self.labels[:8]) + (", ..." if len(self) > 8 else "")
        return f"Results({len(self)} inputs: {shown}; {self.report!r})"

    def _repr_html_(self) -> str:
        rows = [
            (
                answer.input,
                answer.label,
                "" if not answer.top or answer.top[0].logit is None else f"{answer.top[0].logit:.4f}",
                seconds(answer.report.online.seconds),
                "do not trust" if answer.unlike_calibration else "",
            )
            for answer in self._answers[:50]
        ]
        more = f"<p>and {len(self) - 50} more</p>" if len(self) > 50 else ""
        return table(("input", "class", "logit", "online", ""), rows) + more + self.report._repr_html_()
