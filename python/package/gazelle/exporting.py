"""From PyTorch to a model that can be served."""

from __future__ import annotations

import os
import tempfile
from typing import Any

from gazelle.inputs import InputLike
from gazelle.models import Model, inspect
from gazelle.tls import PathLike

__all__ = ["from_torch"]


def from_torch(
    module: Any,
    example: Any,
    *,
    path: PathLike | None = None,
    calibration: InputLike | None = None,
    **settings: Any,
) -> Model:
    """Export a PyTorch module to ONNX, and inspect it.

    Parameters
    ----------
    module : torch.nn.Module
        It is exported as it is in evaluation mode, and left in the mode that it was in.
    example : torch.Tensor or tuple of these
        An input, batch axis of 1 included.
    path : path, optional
        Where to keep the ONNX file; default: a temporary folder that lives as long as the model.
    calibration, **settings
        As :func:`inspect` takes them.

    Returns
    -------
    Model
        Its :attr:`Model.path` is the ONNX file.

    Raises
    ------
    ImportError
        ``torch`` and ``onnx`` are needed for this, and not by anything else in the package.
    """
    import torch

    keep = None
    if path is None:
        keep = tempfile.TemporaryDirectory(prefix="gazelle-")
        path = os.path.join(keep.name, f"{type(module).__name__.lower()}.onnx")
    arguments = example if isinstance(example, tuple) else (example,)
    training = module.training
    module.eval()
    try:
        torch.onnx.export(module, arguments, os.fspath(path))
    finally:
        module.train(training)
    model = inspect(path, calibration, **settings)
    model._keep = keep
    return model
