"""A data set through Ray Data, against several replicas of one server.

    python ray_batch.py [--images 10000] [--replicas 2] [--workers 2]

Each replica is a Ray actor with a `gazelle.Server` in it; each worker of Ray Data is an actor with a session of its
own, and goes to the replica of its number. In earnest the replicas are the model owner's machines and the workers
the image owner's: hand the workers addresses and `gazelle.Tls(ca, cert, key)`, nothing else changes.

The images are made here: the project's twenty samples of MNIST-A, shifted by up to one pixel.
"""

import argparse
import itertools
import json
import pathlib
import time

import numpy as np
import ray

import gazelle

MODEL = pathlib.Path(__file__).resolve().parents[2] / "models" / "mnist_a_secureml"


@ray.remote(num_cpus=0)
class Replica:
    """A server of its own process."""

    def __init__(self, path: str, sessions: int) -> None:
        self.server = gazelle.Server(path, sessions=sessions)

    def address(self) -> str:
        return self.server.address


@ray.remote(num_cpus=0)
class Turns:
    """Gives each worker its number."""

    def __init__(self) -> None:
        self.numbers = itertools.count()

    def next(self) -> int:
        return next(self.numbers)


class Predict:
    """What Ray Data keeps alive and hands batches to: one session."""

    def __init__(self, addresses: list[str], turns: "ray.actor.ActorHandle") -> None:
        number = ray.get(turns.next.remote())
        self.replica = number % len(addresses)
        self.client = gazelle.Client(addresses[self.replica], progress=False)

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        results = self.client.infer(batch["image"])
        size = len(results)
        return {
            "label": batch["label"],
            "class": np.asarray(results.classes),
            "bytes": np.full(size, results.report.online.bytes // size),
            "replica": np.full(size, self.replica),
        }


def data_set(images: int) -> ray.data.Dataset:
    """Float32 tensors [1, 28, 28] with their labels."""
    known = json.loads((MODEL / "expected.json").read_text())["samples"]
    samples = np.stack([np.load(MODEL / one["input"]).reshape(28, 28) for one in known])
    labels = np.asarray([one["label"] for one in known])
    rng = np.random.default_rng(1)
    which = rng.integers(len(samples), size=images)
    shifts = rng.integers(-1, 2, size=(images, 2))
    tensors = [np.roll(samples[i], shift, axis=(0, 1))[None] for i, shift in zip(which, shifts)]
    return ray.data.from_items(
        [{"image": tensor.astype(np.float32), "label": labels[i]} for tensor, i in zip(tensors, which)]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--replicas", type=int, default=2)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--batch", type=int, default=25)
    options = parser.parse_args()
    # One more for the tasks that cut the data set into batches.
    ray.init(num_cpus=options.workers + 1, include_dashboard=False, log_to_driver=False)
    # Any worker may come to any replica.
    path = str(MODEL / "model.onnx")
    replicas = [Replica.remote(path, options.workers) for _ in range(options.replicas)]
    addresses = ray.get([replica.address.remote() for replica in replicas])
    start = time.monotonic()
    rows = (
        data_set(options.images)
        .repartition(max(options.images // options.batch, options.workers))
        .map_batches(
            Predict,
            fn_constructor_args=(addresses, Turns.remote()),
            batch_size=options.batch,
            concurrency=options.workers,
        )
        .take_all()
    )
    seconds = time.monotonic() - start
    assert len(rows) == options.images, f"{len(rows)} answers to {options.images} images"
    right = sum(row["class"] == row["label"] for row in rows)
    shares = [sum(row["replica"] == number for row in rows) for number in range(options.replicas)]
    print(f"{options.images} images in {seconds:.1f} s, {options.workers} workers; by replica: {shares}")
    print(f"{right} of {options.images} get the label of the sample that they were made of")
    # The network itself is not sure of shifted digits: far fewer would mean that answers are mixed up.
    assert right >= 0.7 * options.images, "too few are right"


if __name__ == "__main__":
    main()
