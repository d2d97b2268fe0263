"""What becomes of arrays and pictures before the native module sees them."""

import numpy as np
import pytest
from gazelle.errors import InputError
from gazelle.inputs import count, given, picture

SHAPE = [1, 3, 4, 5]


@pytest.mark.parametrize(
    ("axes", "inputs"),
    [((1, 3, 4, 5), 1), ((3, 4, 5), 1), ((7, 3, 4, 5), 7), ((7, 1, 3, 4, 5), 7)],
)
def test_known_answer_tensors_are_told_from_batches_by_the_models_shape(axes, inputs):
    x = np.random.default_rng(1).random(axes)
    found = list(given(x, SHAPE))
    assert len(found) == inputs == count(x, SHAPE)
    assert b"".join(bytes_ for _, _, bytes_ in found) == x.astype(np.float32).tobytes()


@pytest.mark.parametrize(
    ("axes", "inputs", "channels"),
    [((4, 5), 1, 1), ((4, 5, 1), 1, 1), ((4, 5, 3), 1, 3), ((7, 4, 5), 7, 1), ((7, 4, 5, 3), 7, 3)],
)
def test_known_answer_images_have_their_channels_last(axes, inputs, channels):
    x = np.arange(np.prod(axes), dtype=np.uint8).reshape(axes)
    found = list(given(x, SHAPE))
    assert len(found) == inputs == count(x, SHAPE)
    assert all(one[1:4] == (4, 5, channels) for one in found)
    assert b"".join(one[4] for one in found) == x.tobytes()


@pytest.mark.parametrize("axes", [(3, 4), (2, 3, 5, 4), (5,), ()])
def test_adversarial_tensors_of_another_shape_are_named(axes):
    with pytest.raises(InputError, match="shape"):
        list(given(np.zeros(axes, np.float32), SHAPE))


def test_names_say_where_an_input_came_from():
    x = np.zeros(SHAPE, np.float32)
    assert [one[0] for one in given([x, [x, x]], SHAPE)] == ["[0]", "[1][0]", "[1][1]"]


def test_known_answer_pictures_are_turned_and_transparency_lies_on_white():
    from PIL import Image

    grey = Image.fromarray(np.asarray([[0, 100], [200, 255]], dtype=np.uint8))
    assert picture(grey).tolist() == [[0, 100], [200, 255]]
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn clockwise
    turned = Image.fromarray(np.asarray([[1, 2], [3, 4]], dtype=np.uint8))
    turned.info["exif"] = exif.tobytes()
    assert picture(turned).tolist() == [[3, 1], [4, 2]]
    clear = Image.new("RGBA", (1, 1), (10, 20, 30, 0))
    assert picture(clear).tolist() == [[[255, 255, 255]]]
    assert picture(Image.new("1", (1, 1), 1)).tolist() == [[255]]
    with pytest.raises(InputError, match="CMYK"):
        picture(Image.new("CMYK", (1, 1)))
