#!/usr/bin/env python3
"""One peer training 784-1000-500-250-30-250-500-1000-784 on MNIST with Adam; prints one line of JSON. See README.md."""

import argparse
import gzip
import json
import os
import pathlib
import statistics
import time

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("peer", choices=["torch", "torch-compiled", "torch-bf16", "keras-jax"])
parser.add_argument("model", choices=["wide"])
parser.add_argument("--epochs", type=int, default=3)
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--batch", type=int, default=256)
parser.add_argument("--images", type=int, default=60_000)
parser.add_argument("--data", required=True, help="the folder of MNIST")
options = parser.parse_args()

# Settings that slow current numerical libraries down, where a machine has them.
for name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):
    os.environ.pop(name, None)
os.environ["OMP_NUM_THREADS"] = str(options.threads)
os.environ["KERAS_BACKEND"] = "jax"
os.environ["XLA_FLAGS"] = f"--xla_cpu_multi_thread_eigen=true intra_op_parallelism_threads={options.threads}"

import numpy as np

packed = pathlib.Path(options.data) / "train-images-idx3-ubyte.gz"
images = np.frombuffer(gzip.open(packed).read(), np.uint8)[16:].reshape(-1, 784)[: options.images].astype("f4") / 255
WIDTHS = [784, 1000, 500, 250, 30, 250, 500, 1000, 784]
seconds = []

if options.peer.startswith("torch"):
    import torch
    from torch import nn

    torch.set_num_threads(options.threads)
    layers = []
    for place, (a, b) in enumerate(zip(WIDTHS, WIDTHS[1:])):
        layers += [nn.Linear(a, b)] + ([nn.ReLU()] if place not in (3, 7) else [])
    network = nn.Sequential(*layers)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3, fused=True)
    run = torch.compile(network) if options.peer == "torch-compiled" else network
    criterion = nn.BCEWithLogitsLoss()
    x = torch.from_numpy(images)

    def epoch(rows):
        order = torch.randperm(rows)
        for start in range(0, rows, options.batch):
            batch = x[order[start : start + options.batch]]
            optimizer.zero_grad(set_to_none=True)
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=options.peer == "torch-bf16"):
                loss = criterion(run(batch), batch)
            loss.backward()
            optimizer.step()

    epoch(10 * options.batch)
    for _ in range(options.epochs):
        begun = time.perf_counter()
        epoch(len(x))
        seconds.append(time.perf_counter() - begun)
else:
    import keras

    functions = ["relu", "relu", "relu", None, "relu", "relu", "relu", "sigmoid"]
    dense = [keras.layers.Dense(width, activation=f) for width, f in zip(WIDTHS[1:], functions)]
    network = keras.Sequential([keras.Input((784,)), *dense])
    network.compile(optimizer="adam", loss="binary_crossentropy")
    network.fit(images[: 10 * options.batch], images[: 10 * options.batch], batch_size=options.batch, verbose=0)
    for _ in range(options.epochs):
        begun = time.perf_counter()
        network.fit(images, images, batch_size=options.batch, verbose=0, shuffle=True)
        seconds.append(time.perf_counter() - begun)

middle = statistics.median(seconds) * 60_000 / len(images)
print(json.dumps({"peer": options.peer, "model": options.model, "batch": options.batch, "seconds_per_epoch": middle}))
