"""Models before anybody serves them."""

import gazelle
import numpy as np
import pytest


def test_a_model_tells_its_plan_and_its_cost(model):
    assert model.supported and not model.unsupported
    assert {layer.kind for layer in model.layers} == {"linear", "nonlinear", "output"}
    assert set(model.predicted) == {"lan", "wan"}
    assert model.predicted["wan"]["online"].seconds > model.predicted["lan"]["online"].seconds > 0
    assert model.labels == [str(digit) for digit in range(10)]
    assert "predicted on lan" in repr(model)
    page = model._repr_html_()
    assert page.count("<table>") == 3 and "public-coin" in page


def test_known_answer_the_plan_is_the_programs(model, path, run):
    (told,) = run("inspect", path, "--json")
    assert [layer["name"] for layer in told["layers"]] == [layer.name for layer in model.layers]
    assert [layer["offline_bytes"] for layer in told["layers"]] == [
        layer.offline_bytes for layer in model.layers
    ]
    assert told["fixed_point"]["tolerance"] == model.tolerance


def test_calibration_is_counted_along_the_first_axis(path, x):
    model = gazelle.inspect(path, calibration=x, links=("lan",))
    assert model._told["fixed_point"]["calibration_inputs"] == len(x)
    assert list(model.predicted) == ["lan"]


def test_adversarial_files_that_are_no_models_say_so(tmp_path):
    bad = tmp_path / "bad.onnx"
    bad.write_bytes(b"no model at all")
    model = gazelle.inspect(bad)
    assert not model.supported and model.unsupported[0].op == "model"
    assert "cannot run" in repr(model) and "cannot run" in model._repr_html_()
    for use in (lambda: gazelle.simulate(model, np.zeros(1)), lambda: gazelle.Server(model)):
        with pytest.raises(gazelle.ModelError):
            use()
    with pytest.raises(gazelle.ModelError):
        gazelle.Server(bad)


@pytest.mark.parametrize(
    "settings",
    [
        {"backend": "magic"},
        {"rounding": "up"},
        {"reveal": "everything"},
        {"link": "wire"},
        {"resolution": 0.3},
        {"links": ("fast",)},
        {"audit_rate": 0.9},
        {"audit_rate": "much"},
        {"audit_rate": "1/8", "rounding": "local"},
        {"audit_rate": "1/8", "backend": "gmw"},
    ],
)
def test_adversarial_settings_that_make_no_sense_are_the_callers(path, settings):
    with pytest.raises(gazelle.CallerError):
        gazelle.inspect(path, **settings)


def test_a_loaded_model_is_not_quantised_again(model, x):
    with pytest.raises(gazelle.CallerError, match="gazelle.inspect"):
        gazelle.simulate(model, x, backend="gmw")


def test_a_torch_module_is_exported_and_inspected():
    torch = pytest.importorskip("torch")
    pytest.importorskip("onnxscript")
    torch.manual_seed(1)
    module = torch.nn.Sequential(
        torch.nn.Conv2d(1, 2, 3, stride=2), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(2 * 9, 3)
    )
    x = np.random.default_rng(2).random((8, 1, 8, 8), dtype=np.float32)
    model = gazelle.from_torch(module, torch.zeros(1, 1, 8, 8), calibration=x, links=("lan",))
    assert model.supported and module.training
    with torch.no_grad():
        plain = module(torch.from_numpy(x[:2])).numpy()
    y = gazelle.simulate(model, x[:2])
    assert np.abs(y.logits - plain).max() <= model.tolerance + 1e-4
