"""A model before anybody serves it: can it run privately, and what will it take?"""

from __future__ import annotations

import json
import math
import os
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from gazelle import _native
from gazelle.errors import CallerError, ModelError
from gazelle.inputs import InputLike, given
from gazelle.results import Phase, seconds, size, table
from gazelle.tls import PathLike

if TYPE_CHECKING:
    import pandas

__all__ = ["Model", "PlannedLayer", "Unsupported", "inspect"]


@dataclass(frozen=True)
class Unsupported:
    """Why a model cannot run: a node, its operator (``model`` for the file as a whole), and why."""

    node: str
    op: str
    why: str


@dataclass(frozen=True)
class PlannedLayer:
    """A linear group or a non-linear step, before it runs; bytes are of both directions."""

    name: str
    kind: str
    protocol: str
    ring_bits: int
    offline_bytes: int
    online_bytes: int


class Model:
    """A model and what is known of it; made by :func:`inspect` and :func:`from_torch`.

    :func:`simulate` and :class:`Server` take it in place of a file, and do not quantise it again.
    """

    def __init__(self, path: str, native: _native.Model | None, told: dict[str, Any], keep: object = None) -> None:
        self._path = path
        self._native = native
        self._told = told
        # A temporary folder lives as long as the model in it.
        self._keep = keep

    @property
    def path(self) -> str:
        """The ONNX file."""
        return self._path

    @property
    def name(self) -> str:
        """What clients see."""
        return self._native.name if self._native is not None else os.path.basename(self._path)

    @property
    def labels(self) -> list[str]:
        """Names of the classes; empty where the model has none."""
        return self._native.labels if self._native is not None else []

    @property
    def supported(self) -> bool:
        """Whether it can run privately."""
        return bool(self._told["supported"])

    @property
    def unsupported(self) -> list[Unsupported]:
        """What keeps it from running."""
        return [Unsupported(one["node"], one["op"], one["why"]) for one in self._told["unsupported"]]

    @property
    def remarks(self) -> list[str]:
        """What a user should know about a model that can run."""
        return list(self._told["remarks"])

    @property
    def input_shape(self) -> list[int]:
        """As the file has it, with the batch axis."""
        return list(self._told["input_shape"])

    @property
    def layers(self) -> list[PlannedLayer]:
        """The plan: linear groups, then non-linear steps."""
        names = PlannedLayer.__dataclass_fields__
        return [PlannedLayer(**{name: one[name] for name in names}) for one in self._told["layers"]]

    @property
    def predicted(self) -> dict[str, dict[str, Phase]]:
        """What a session's first inference takes phase by phase: by link, then ``setup``, ``offline``, ``online``."""
        return {
            link: {name: Phase(**phases[name]) for name in ("setup", "offline", "online")}
            for link, phases in self._told["predicted"].items()
        }

    @property
    def proven(self) -> bool:
        """Whether no input in the range can overflow a hidden value."""
        return bool(self._told["proven"])

    @property
    def tolerance(self) -> float:
        """How far a private logit may be from the float network's."""
        return float(self._report("tolerance"))

    @property
    def agreement(self) -> float:
        """Share of the calibration inputs whose fixed-point class is the float network's."""
        return float(self._report("agreement"))

    def _report(self, name: str) -> Any:
        if not self.supported:
            raise ModelError(self._why())
        return self._told["fixed_point"][name]

    def plaintext(self, x: InputLike) -> npt.NDArray[np.float32]:
        """What the file computes in the clear, in floating point, ``[inputs, outputs]``."""
        native = self._ready()
        rows = [row for one in given(x, self.input_shape) for row in native.plaintext(one)]
        return np.asarray(rows, dtype=np.float32)

    def to_pandas(self) -> pandas.DataFrame:
        """The plan, a row for each layer."""
        import pandas

        return pandas.DataFrame([vars(layer) for layer in self.layers])

    def _why(self) -> str:
        reasons = "; ".join(f"{one.node or one.op}: {one.why}" for one in self.unsupported)
        return f"this model cannot run privately: {reasons}"

    def _ready(self) -> _native.Model:
        if self._native is None:
            raise ModelError(self._why())
        return self._native

    def _predictions(self) -> list[tuple[str, str, str, str, int]]:
        return [
            (link, name, seconds(phase.seconds), size(phase.bytes), phase.turns)
            for link, phases in self.predicted.items()
            for name, phase in phases.items()
        ]

    def __repr__(self) -> str:
        if not self.supported:
            return f"<gazelle.Model {self.name!r}: {self._why()}>"
        lines = [
            f"<gazelle.Model {self.name!r}: input {self.input_shape}, {len(self.layers)} layers, "
            f"{100 * self.agreement:.1f} % of the calibration's classes are the float network's, "
            f"tolerance {self.tolerance:.4g}"
        ]
        for link, phases in self.predicted.items():
            parts = ", ".join(f"{name} {seconds(p.seconds)} {size(p.bytes)}" for name, p in phases.items())
            lines.append(f"  predicted on {link}: {parts}")
        return "\n".join(lines) + ">"

    def _repr_html_(self) -> str:
        if not self.supported:
            rows: list[tuple[object, ...]] = [(one.node, one.op, one.why) for one in self.unsupported]
            return "<p>This model cannot run privately:</p>" + table(("node", "operator", "why"), rows)
        layers = [
            (one.name, one.kind, one.protocol, one.ring_bits, size(one.offline_bytes), size(one.online_bytes))
            for one in self.layers
        ]
        head = ("layer", "kind", "protocol", "ring", "offline", "online")
        predicted = table(("link", "phase", "time", "bytes", "turns"), self._predictions())
        facts = table(
            ("input", "tolerance", "classes as in floating point", "proven for every input"),
            [(self.input_shape, f"{self.tolerance:.4g}", f"{100 * self.agreement:.1f} %", self.proven)],
        )
        return facts + predicted + table(head, layers)


def resolution_bits(resolution: float | None) -> int | None:
    """``1/16`` -> 4: logits are multiples of two to the minus that."""
    if resolution is None:
        return None
    mantissa, exponent = math.frexp(resolution) if resolution > 0 else (0.0, 0)
    if mantissa != 0.5:
        raise CallerError(f"resolution is a power of two such as 1/16 or 4, not {resolution}")
    return 1 - exponent


def fraction(rate: float | str | Fraction) -> str:
    """``0.125`` -> ``1/8``."""
    try:
        parts = Fraction(rate).limit_denominator(1 << 20)
    except (ValueError, ZeroDivisionError, OverflowError) as error:
        raise CallerError(f"audit_rate is a fraction such as 1/8, not {rate}") from error
    return f"{parts.numerator}/{parts.denominator}"


def load(
    model: PathLike | Model,
    calibration: InputLike | None = None,
    **settings: Any,
) -> _native.Model:
    """The native model of a file; a :class:`Model` as it is."""
    if isinstance(model, Model):
        named = [name for name, value in settings.items() if value is not None]
        if calibration is not None or named:
            raise CallerError("this model has been loaded: say how it is quantised and planned to gazelle.inspect")
        return model._ready()
    told = {name: value for name, value in settings.items() if value is not None}
    if "resolution" in told:
        told["resolution"] = resolution_bits(told["resolution"])
    if "audit_rate" in told:
        told["audit_rate"] = fraction(told["audit_rate"])
    inputs = [] if calibration is None else list(given(calibration, None))
    return _native.Model.load(os.fspath(model), inputs, json.dumps(told))


def inspect(
    model: PathLike,
    calibration: InputLike | None = None,
    *,
    links: tuple[str, ...] = ("lan", "wan"),
    name: str | None = None,
    backend: str | None = None,
    link: str | None = None,
    reveal: str | None = None,
    reveal_count: int | None = None,
    resolution: float | None = None,
    rounding: str | None = None,
    inferences_per_setup: int | None = None,
    guaranteed: bool | None = None,
    audit_rate: float | str | Fraction | None = None,
) -> Model:
    """Quantise and plan an ONNX file, and say what it will take; nothing is computed privately.

    Parameters
    ----------
    model : path
        An ONNX file, with ``model.toml`` beside it or not.
    calibration : array, pictures, paths, or a list of these, optional
        Typical inputs, by which the ranges of fixed point are chosen; of an array the first axis counts them.
        Default: ``samples/*.npy`` beside the model, if there are any.
    links : tuple of str
        What costs are predicted for: ``memory``, ``lan``, ``wan`` or ``"100mbit,20ms"``.
    name : str, optional
        What clients see; default: of ``model.toml``, or the file's.
    backend : {"auto", "gmw", "garbled"}, optional
        What computes the non-linear layers.
    link : str, optional
        What ``backend="auto"`` chooses for; default ``lan``.
    reveal : {"logits", "top-k", "class"}, optional
        What clients learn.
    reveal_count : int, optional
        Classes of a top-k.
    resolution : float, optional
        Logits are revealed as multiples of this power of two.
    rounding : {"exact", "local"}, optional
        ``local`` takes fewer bytes and tells clients a little about the weights
        (``docs/threat-model.md``).
    inferences_per_setup : int, optional
        What the plan reckons with.
    guaranteed : bool, optional
        Only ranges that are proven for every input.
    audit_rate : float, str or Fraction, optional
        Clients are not trusted to follow the protocol: this fraction of prepared inferences is opened, such as
        ``1/8``, and a client that cheats is caught (``docs/untrusted-clients.md``).

    Returns
    -------
    Model
        With :attr:`Model.supported` false, and why, if it cannot run.

    Raises
    ------
    ModelError
        The file is no model, or its ranges cannot be met.
    InputError
        A calibration input cannot be read, or does not fit.
    """
    path = os.fspath(model)
    refused = _native.Model.refused(path)
    if refused is not None:
        return Model(path, None, json.loads(refused))
    native = load(
        path,
        calibration,
        name=name,
        backend=backend,
        link=link,
        reveal=reveal,
        reveal_count=reveal_count,
        resolution=resolution,
        rounding=rounding,
        inferences_per_setup=inferences_per_setup,
        guaranteed=guaranteed,
        audit_rate=audit_rate,
    )
    return Model(path, native, json.loads(native.inspect(list(links))))
