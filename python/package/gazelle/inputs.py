"""What people hold as inputs: arrays, pictures, files."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np

from gazelle import _native
from gazelle.errors import InputError

__all__ = ["InputLike"]

#: An array, a picture, a path, or a list of these.
InputLike: TypeAlias = Any

Given: TypeAlias = "tuple[str, list[int], bytes] | tuple[str, int, int, int, bytes] | str"


def is_path(x: object) -> bool:
    return isinstance(x, str | os.PathLike)


def is_picture(x: object) -> bool:
    """Whether it is an image of Pillow's, which need not be installed."""
    return hasattr(x, "getbands") and hasattr(x, "convert") and hasattr(x, "size")


def given(x: InputLike, shape: Sequence[int] | None, name: str = "") -> Iterator[Given]:
    """The inputs in ``x``, as the native module takes them, one after the other.

    Parameters
    ----------
    x : array, picture, path, or an iterable of these
        Floating point arrays are ready tensors and never preprocessed; arrays of uint8 are images and are
        preprocessed as the model says, like pictures and picture files.
    shape : sequence of int or None
        The model's input, batch axis first; None if it is not known yet: then the first axis counts inputs.
    name : str
        For reports.
    """
    if is_path(x):
        yield os.fspath(x)
    elif is_picture(x):
        yield from images(picture(x), name or "image")
    elif isinstance(x, list | tuple) or (isinstance(x, Iterable) and not hasattr(x, "__array__")):
        for index, one in enumerate(x):
            yield from given(one, shape, name=f"{name}[{index}]")
    else:
        yield from array(np.asarray(x), shape, name)


def array(x: np.ndarray[Any, Any], shape: Sequence[int] | None, name: str) -> Iterator[Given]:
    if x.dtype == np.uint8:
        yield from images(x, name)
        return
    if not np.issubdtype(x.dtype, np.floating):
        raise InputError(
            f"an array of {x.dtype}: give floating point for tensors that are ready for the network, or uint8 "
            "for images"
        )
    x = np.ascontiguousarray(x, dtype=np.float32)
    for index, one in tensors(x, shape):
        label = f"{name}[{index}]" if index is not None else name
        yield (label or "array", list(one.shape), one.tobytes())


def tensors(
    x: np.ndarray[Any, Any], shape: Sequence[int] | None
) -> Iterator[tuple[int | None, np.ndarray[Any, Any]]]:
    if shape is not None and list(x.shape) in (list(shape), list(shape[1:])):
        yield (None, x)
    elif x.ndim >= 2 and (shape is None or list(x.shape[1:]) in (list(shape), list(shape[1:]))):
        yield from enumerate(x)
    else:
        wanted = "" if shape is None else f", the model takes {list(shape)} or a batch of these"
        raise InputError(f"an array of shape {list(x.shape)}{wanted}")


def images(x: np.ndarray[Any, Any], name: str) -> Iterator[Given]:
    colours = x.ndim >= 3 and x.shape[-1] in (1, 3)
    if x.ndim == 2 or (x.ndim == 3 and colours):
        yield image(x, name or "image")
    elif x.ndim == 3 or (x.ndim == 4 and colours):
        for index, one in enumerate(x):
            yield image(one, f"{name}[{index}]")
    else:
        raise InputError(
            f"an array of uint8 of shape {list(x.shape)} is no image: rows, columns, and 1 or 3 channels last; "
            "or several of them"
        )


def image(x: np.ndarray[Any, Any], name: str) -> Given:
    channels = x.shape[2] if x.ndim == 3 else 1
    return (name, x.shape[0], x.shape[1], channels, np.ascontiguousarray(x).tobytes())


def picture(x: Any) -> np.ndarray[Any, Any]:
    """Pixels of a picture of Pillow's, upright; transparent ones lie on white."""
    from PIL import Image, ImageOps

    x = ImageOps.exif_transpose(x)
    if x.mode in ("P", "PA") or "transparency" in x.info:
        x = x.convert("RGBA")
    if x.mode in ("LA", "RGBA"):
        white = Image.new("RGBA", x.size, (255, 255, 255, 255))
        grey = x.mode == "LA"
        x = Image.alpha_composite(white, x.convert("RGBA")).convert("L" if grey else "RGB")
    elif x.mode == "1":
        x = x.convert("L")
    if x.mode not in ("L", "RGB"):
        raise InputError(
            f"a picture of mode {x.mode!r}: give its file's path, or convert it to 'L' or 'RGB' yourself"
        )
    return np.asarray(x, dtype=np.uint8)


def read(x: InputLike, shape: Sequence[int] | None) -> Iterator[_native.Input]:
    """The inputs one after the other; a file is read when its turn has come."""
    for one in given(x, shape):
        yield from _native.Inputs(one)


def count(x: InputLike, shape: Sequence[int]) -> int | None:
    """How many inputs there are, where that can be said without reading anything."""
    if is_picture(x):
        return 1
    if isinstance(x, list | tuple):
        counts = [count(one, shape) for one in x]
        known = [one for one in counts if one is not None]
        return sum(known) if len(known) == len(counts) else None
    axes = list(getattr(x, "shape", ()))
    if not axes:
        return None
    pictures = getattr(x, "dtype", None) == np.uint8
    one = len(axes) == 2 or (len(axes) == 3 and axes[-1] in (1, 3))
    single = one if pictures else axes in (list(shape), list(shape[1:]))
    return 1 if single else int(axes[0])
