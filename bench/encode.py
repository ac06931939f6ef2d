#!/usr/bin/env python3
"""Seconds to encode 70,000 images with the encoder of `conv`: Narrows, ONNX Runtime and PyTorch in alternation.

Needs a Python with numpy, torch, onnx and onnxruntime, and the folder of MNIST's packed IDX files. Each is timed on bytes in
memory that become codes in memory; starting the program, reading and writing files are not in it. The networks of the
others have random weights: the work is the same.
"""

import argparse
import gzip
import pathlib
import re
import statistics
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
BATCH = 1000


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--narrows", default=ROOT / "target/release/narrows", help="the program [target/release/narrows]")
    parser.add_argument("--data", required=True, type=pathlib.Path, help="the folder of MNIST")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()

    import numpy
    import onnxruntime
    import torch
    from torch import nn

    torch.set_num_threads(options.threads)
    files = [options.data / f"{part}-images-idx3-ubyte.gz" for part in ("train", "t10k")]
    images = numpy.concatenate([numpy.frombuffer(gzip.open(file).read(), numpy.uint8)[16:] for file in files])
    images = images.reshape(-1, 1, 28, 28)

    def stage(inputs, outputs):
        return nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2, ceil_mode=True)

    encoder = nn.Sequential(*stage(1, 16), *stage(16, 8), *stage(8, 8)).eval()

    def pytorch(network, layout):
        with torch.inference_mode():
            for start in range(0, len(images), BATCH):
                batch = torch.from_numpy(images[start : start + BATCH]).float().div_(255)
                network(batch.to(memory_format=layout))

    with tempfile.TemporaryDirectory() as folder:
        torch.onnx.export(encoder, torch.zeros(BATCH, 1, 28, 28), f"{folder}/encoder.onnx", input_names=["x"],
                          dynamic_axes={"x": {0: "n"}}, dynamo=False)
        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = options.threads
        session = onnxruntime.InferenceSession(f"{folder}/encoder.onnx", settings, providers=["CPUExecutionProvider"])

        def onnx():
            for start in range(0, len(images), BATCH):
                session.run(None, {"x": images[start : start + BATCH].astype("f4") / 255})

        def timed(work):
            start = time.perf_counter()
            work()
            return time.perf_counter() - start

        numpy.save(f"{folder}/images.npy", images.reshape(-1, 28, 28))
        model = f"{folder}/model.narrows"
        subprocess.run([options.narrows, "fit", "conv", "mnist", "--epochs", "1", "--out", model, "--report", folder,
                        "--json"], check=True, capture_output=True)

        def narrows():
            done = subprocess.run([options.narrows, "encode", model, f"{folder}/images.npy", "--out", f"{folder}/codes.npy",
                                   "--threads", str(options.threads)], check=True, capture_output=True, text=True)
            return float(re.search(r"computed in ([0-9.]+) s", done.stderr)[1])

        channels_last = nn.Sequential(*encoder).to(memory_format=torch.channels_last)
        ways = {
            "Narrows": narrows,
            "ONNX Runtime": lambda: timed(onnx),
            "PyTorch": lambda: timed(lambda: pytorch(encoder, torch.contiguous_format)),
            "PyTorch, channels last": lambda: timed(lambda: pytorch(channels_last, torch.channels_last)),
        }
        for way in ways.values():
            way()
        seconds = {name: [] for name in ways}
        for _ in range(options.rounds):
            for name, way in ways.items():
                seconds[name].append(way())
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    print(f"Seconds to encode {len(images)} images, {options.threads} threads, median of {options.rounds} rounds.\n")
    print("| way | seconds | images per second | against Narrows |\n|---|---|---|---|")
    for name, median in medians.items():
        print(f"| {name} | {median:.3f} | {len(images) / median:.0f} | {median / medians['Narrows']:.1f} |")


if __name__ == "__main__":
    main()
