"""What the tests share: a trained network of the project, its samples, and the program where there is one."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import signal
import subprocess

import numpy as np
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
MODELS = ROOT / "models"

# What a shell without job control starts in the background inherits an ignored SIGINT.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def path() -> pathlib.Path:
    """A small network: three dense layers on images of 28 x 28."""
    return MODELS / "mnist_a_secureml" / "model.onnx"


@pytest.fixture(scope="session")
def samples(path: pathlib.Path) -> list[pathlib.Path]:
    return sorted((path.parent / "samples").glob("*.npy"))[:4]


@pytest.fixture(scope="session")
def x(samples: list[pathlib.Path]) -> np.ndarray:
    """``[inputs, channels, rows, columns]``, float32."""
    return np.concatenate([np.load(sample).reshape(1, 1, 28, 28) for sample in samples])


@pytest.fixture(scope="session")
def model(path: pathlib.Path):
    import gazelle

    return gazelle.inspect(path)


@pytest.fixture(scope="session")
def program() -> str:
    """The program; where none is built and nobody says that there is one, its tests are skipped."""
    named = os.environ.get("GAZELLE_PROGRAM")
    if named:
        assert pathlib.Path(named).is_file(), named
        return named
    found = shutil.which("gazelle")
    if not found:
        pytest.skip("no gazelle program: set GAZELLE_PROGRAM")
    return found


@pytest.fixture
def run(program: str, tmp_path: pathlib.Path):
    """Runs the program in a home of the test's own; returns its lines of JSON, or None where it has none."""
    environment = {**os.environ, "GAZELLE_HOME": str(tmp_path / "home")}

    def call(*arguments: object) -> list[dict]:
        done = subprocess.run(
            [program, *map(str, arguments)], env=environment, capture_output=True, text=True, timeout=600
        )
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]

    call.home = tmp_path / "home"
    return call
