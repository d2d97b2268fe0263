"""The least there is: a model, an image, and both parties. `python five_lines.py [model.onnx image.png]`."""

import pathlib
import sys

import gazelle

MODELS = pathlib.Path(__file__).resolve().parents[2] / "models" / "mnist_d_minionn"
model, image = sys.argv[1:] or (MODELS / "model.onnx", MODELS / "samples" / "000.png")

with gazelle.Server(model) as server:
    with gazelle.Client(server.address) as client:
        print(client.infer(image))
