"""python -m benchmarks.models.fetch [NAME ...] [--batch N]: builds and downloads the models (all by default) into .cache/models.

Beside each model its inputs are written as <name>.npz, where `asymo-bench compare` looks for them. With --batch: the fixed set for
batches of N, as <name>_bN.onnx.
"""

import argparse

import numpy as np

from benchmarks import models
from benchmarks.models import batch


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.models.fetch", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--batch", type=int, default=1, metavar="N")
    args = parser.parse_args()
    for name in args.names or models.FIXED + (models.REAL if args.batch == 1 else ()):
        file = models.path(name)
        if args.batch > 1:
            file = batch.path(name, args.batch)
        else:
            np.savez(file.with_suffix(".npz"), **models.inputs(name, sizes={"seq": 128}))
        print(f"{file.stem:24s} {file.stat().st_size / 1e6:8.2f} MB", flush=True)


if __name__ == "__main__":
    main()
