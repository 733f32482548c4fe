"""python -m benchmarks.models.fetch [NAME ...]: builds and downloads the models (all by default) into .cache/models.

Beside each model its inputs are written as <name>.npz, where `asymo-bench compare` looks for them.
"""

import sys

import numpy as np

from benchmarks import models


def main() -> None:
    for name in sys.argv[1:] or models.FIXED + models.REAL:
        file = models.path(name)
        np.savez(file.with_suffix(".npz"), **models.inputs(name, sizes={"seq": 128}))
        print(f"{name:24s} {file.stat().st_size / 1e6:8.2f} MB", flush=True)


if __name__ == "__main__":
    main()
