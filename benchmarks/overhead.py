"""python -m benchmarks.overhead: microseconds of session.run on a model of one tiny operator, Asymo and ONNX Runtime interleaved."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import onnxruntime
from onnx import TensorProto, helper

import asymo

ROUNDS, RUNS = 15, 3000


def model() -> bytes:
    """y = relu(x), 1 x 16."""
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 16]) for name in "xy")
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "relu", [x], [y])
    return bytes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString())


def microseconds(call: Callable[[], object]) -> float:
    begin = time.perf_counter_ns()
    for _ in range(RUNS):
        call()
    return (time.perf_counter_ns() - begin) / RUNS / 1e3


def main() -> None:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    sessions = {
        "asymo, 1 worker": asymo.load(model(), threads=1),
        "asymo, all cores": asymo.load(model()),
        f"onnxruntime {onnxruntime.__version__}, 1 thread": onnxruntime.InferenceSession(
            model(), options, providers=["CPUExecutionProvider"]
        ),
    }
    feed = {"x": np.ones((1, 16), np.float32)}
    times: dict[str, list[float]] = {name: [] for name in sessions}
    for _ in range(ROUNDS):
        for name, session in sessions.items():
            times[name].append(microseconds(lambda s=session: s.run(None, feed)))  # type: ignore[misc]
    for name, samples in times.items():
        print(f"{name:32s} {np.median(samples):6.2f} us   ({min(samples):.2f} to {max(samples):.2f})")


if __name__ == "__main__":
    main()
