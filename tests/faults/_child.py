"""Scripts that run in a process of their own, so that they may change its mask, fork, or end in the middle of things."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

PRELUDE = '''
import json, logging, os, sys, threading
import numpy as np
from onnx import TensorProto, helper, numpy_helper
import asymo
from asymo.runtime import watch

watch.MASK_S = watch.FILES_S = 0.0  # look at every run

def make(m=67, n=65, k=64):
    """relu(x w + b)."""
    rng = np.random.default_rng(0)
    w, b = rng.standard_normal((k, n), np.float32), rng.standard_normal(n, np.float32)
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["m", size]) for name, size in (("x", k), ("y", n)))
    nodes = [helper.make_node("Gemm", ["x", "w", "b"], ["h"]), helper.make_node("Relu", ["h"], ["y"])]
    graph = helper.make_graph(nodes, "g", [x], [y], [numpy_helper.from_array(w, "w"), numpy_helper.from_array(b, "b")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()
    feed = rng.standard_normal((m, k), np.float32)
    return model, feed, np.maximum(feed.astype(np.float64) @ w + b, 0)

class Said(logging.Handler):
    def __init__(self):
        super().__init__()
        self.lines = []
    def emit(self, record):
        self.lines.append(record.getMessage())

said = Said()
logging.getLogger("asymo").addHandler(said)
model, x, expected = make()

def right(y):
    return bool(np.allclose(y, expected, rtol=1e-4, atol=1e-4))

def tell(**what):
    print(json.dumps({"said": said.lines, **what}), flush=True)
'''


def run(script: str, root: Path | None = None, cpus: set[int] | None = None, **knobs: str) -> dict[str, Any]:
    """What the script told with `tell`. root: the machine that the sessions see. cpus: the mask it starts with."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("ASYMO_")} | knobs
    env["XDG_CACHE_HOME"] = "/proc"  # no calibration is kept there, nor can one be
    if root is not None:
        env["ASYMO_ROOT"] = str(root)
    result = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", PRELUDE + script],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=env,
        cwd=Path(__file__).parents[2],
        preexec_fn=(lambda: os.sched_setaffinity(0, cpus)) if cpus else None,
    )
    assert result.returncode == 0, result.stderr
    told: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
    return told
