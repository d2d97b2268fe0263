"""Both parties in this process."""

import gazelle
import numpy as np
import pytest


def test_conformance_logits_are_the_float_networks_within_the_tolerance(model, x):
    y = gazelle.simulate(model, x)
    assert len(y) == len(x)
    plain = model.plaintext(x)
    assert np.abs(y.logits - plain).max() <= model.tolerance
    assert y.classes == [int(row.argmax()) for row in y.logits]
    assert y.labels == [model.labels[index] for index in y.classes]
    assert (np.asarray(y) == y.logits).all()


def test_known_answer_it_is_the_programs_answer_bit_for_bit(model, x, path, samples, program, run):
    y = gazelle.simulate(model, x)
    with gazelle.Server(model) as server:
        told = run("infer", "--server", server.address, "--json", *samples)
    assert [one["class"] for one in told] == y.classes
    # JSON has the shortest digits that give the same double back: equality is of bits.
    assert [one["logits"] for one in told] == y.logits.tolist()


def test_known_answer_files_and_pictures_are_read_as_the_program_reads_them(model, path, run):
    from PIL import Image

    pictures = sorted((path.parent / "samples").glob("*.png"))[:2]
    if not pictures:
        pictures = sorted((path.parent.parent / "mnist_d_minionn" / "samples").glob("*.png"))[:2]
    by_path = gazelle.simulate(model, pictures)
    opened = [Image.open(picture) for picture in pictures]
    assert (by_path.logits == gazelle.simulate(model, opened).logits).all()
    arrays = np.stack([np.asarray(picture.convert("L")) for picture in opened])
    assert (by_path.logits == gazelle.simulate(model, arrays).logits).all()
    with gazelle.Server(model) as server:
        told = run("infer", "--server", server.address, "--json", *pictures)
    assert [one["logits"] for one in told] == by_path.logits.tolist()


def test_properties_inputs_of_every_form_are_the_same(model, x, samples):
    expected = gazelle.simulate(model, x[:2]).logits
    forms = [
        list(x[:2]),
        [x[0], x[1:2]],
        x[:2, 0].reshape(2, 1, 28, 28).astype(np.float64),
        samples[:2],
        [str(sample) for sample in samples[:2]],
        (one for one in x[:2]),
    ]
    for form in forms:
        assert (gazelle.simulate(model, form).logits == expected).all()
    assert (gazelle.simulate(model, x[0]).logits == expected[:1]).all()


def test_the_report_adds_up(model, x):
    y = gazelle.simulate(model, x[:2])
    assert y.report.setup.bytes > 0 and y[1].report.setup.bytes == 0
    for phase in ("offline", "online"):
        whole = getattr(y.report, phase)
        assert whole.bytes == sum(getattr(one.report, phase).bytes for one in y) > 0
        assert [layer.name for layer in y.report.layers] == [layer.name for layer in y[0].report.layers]
    assert "logit" in y._repr_html_() and "online" in repr(y)


def test_results_convert_to_pandas(model, x):
    y = gazelle.simulate(model, x[:2])
    frame = y.to_pandas()
    assert list(frame["class"]) == y.classes and (frame["bytes"] > 0).all()
    layers = y.report.to_pandas()
    assert set(layers["kind"]) == {"linear", "nonlinear", "output"}
    assert len(model.to_pandas()) == len(model.layers)


def test_fewer_things_are_revealed_where_the_model_says_so(path, x):
    y = gazelle.simulate(path, x[:1], reveal="class")
    assert y.logits is None and y[0].top[0].logit is None
    assert y.classes == gazelle.simulate(path, x[:1]).classes
    with pytest.raises(TypeError, match="reveals no logits"):
        np.asarray(y)


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (np.zeros((1, 1, 28, 27), np.float32), "28, 27"),
        (np.zeros((28, 28), np.int64), "int64"),
        (np.zeros((28, 28, 2), np.uint8), "28"),
        (np.full((1, 1, 28, 28), 1e9, np.float32), "outside"),
        (np.full((1, 1, 28, 28), np.nan, np.float32), "input"),
        ("/nowhere/a.png", "nowhere"),
    ],
)
def test_adversarial_inputs_that_do_not_fit_are_named(model, given, why):
    with pytest.raises(gazelle.InputError, match=why):
        gazelle.simulate(model, given)
