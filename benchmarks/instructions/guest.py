"""One inference of one runtime, between marks that the plugin counts between. Runs in the arm64 tree:

    guest.py MARKS PEER MODEL FILE INPUTS

MARKS: libmarks.so. FILE: the model as the peer reads it. INPUTS: the arrays, as .npz. Two runs before the counted one: what happens once,
such as packing, is not part of an inference.
"""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path

import numpy as np

from asymo.bench.peers import PEERS


def main(marks: str, peer: str, model: str, file: str, inputs: str) -> None:
    library = ctypes.CDLL(marks)
    with np.load(inputs) as arrays:
        feeds = {name: arrays[name] for name in arrays.files}
    runtime = PEERS[peer](Path(model), 1, feeds, Path(file))
    for _ in range(2):
        runtime.run(feeds)
    library.mark_begin()
    runtime.run(feeds)
    library.mark_end()


if __name__ == "__main__":
    main(*sys.argv[1:])
