"""The examples in the docstrings, and what the package says it exports."""

import doctest
import importlib
import re
import shutil

import gazelle
import numpy as np
import pytest
from conftest import ROOT

MODULES = ["gazelle", "gazelle.servers", "gazelle.sessions", "gazelle.tls"]


@pytest.mark.parametrize("name", MODULES)
def test_known_answer_examples_of_docstrings_are_true(name, path, x):
    module = importlib.import_module(name)
    classes = gazelle.simulate(path, x[:2]).classes
    # The docstrings show the classes of these two samples.
    names = {"MODEL": path, "X": x[:2], "gazelle": gazelle}
    names.update({public: getattr(gazelle, public) for public in gazelle.__all__})
    failed, tried = doctest.testmod(module, extraglobs=names)
    assert not failed and tried, classes


def blocks(page):
    return re.findall(r"^```python\n(.*?)^```$", (ROOT / page).read_text(), re.DOTALL | re.MULTILINE)


PAGES = ["README.md", "docs/python.md", "python/README.md"]


@pytest.mark.parametrize(("page", "block"), [(page, block) for page in PAGES for block in blocks(page)])
def test_what_the_pages_show_runs_as_it_is_written(page, block, path, x, tmp_path, monkeypatch):
    names = {"x": x}
    if "from_torch" in block:
        torch = pytest.importorskip("torch")
        pytest.importorskip("onnxscript")
        torch.manual_seed(1)
        names["module"] = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(784, 10))
        names["example"] = torch.zeros(1, 1, 28, 28)
    for name in ("model.onnx", "model.toml"):
        shutil.copy(path.parent / name, tmp_path)
    monkeypatch.chdir(tmp_path)
    exec(compile(block, page, "exec"), names)
    if "y" in names:
        assert np.asarray(names["y"]).shape == (len(x), 10)


def test_every_page_shows_something():
    assert all(blocks(page) for page in PAGES)


def test_all_that_is_exported_is_documented():
    for name in gazelle.__all__:
        thing = getattr(gazelle, name)
        if isinstance(thing, type) or callable(thing):
            assert thing.__doc__, name
