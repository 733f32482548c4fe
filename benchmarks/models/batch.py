"""The fixed models for a batch of more than one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

from benchmarks import models

AXIS = {"char_rnn_s1": 1, "char_rnn_s50": 1}
"""Where the batch is not the first axis of the inputs."""


def path(name: str, batch: int) -> Path:
    """The model's file for this batch, NAME_b8.onnx beside NAME.onnx, with its inputs as .npz: made on first use."""
    file = models.FOLDER / f"{name}_b{batch}.onnx"
    if not file.exists():
        axis = AXIS.get(name, 0)
        feeds = {
            key: np.concatenate([np.roll(x, i, -1) for i in range(batch)], axis)
            for key, x in models.inputs(name, sizes={"seq": 128}).items()
        }
        onnx.save(for_batch(onnx.load(models.path(name)), axis, batch), file)
        np.savez(file.with_suffix(".npz"), **feeds)
    return file


def for_batch(model: onnx.ModelProto, axis: int, batch: int) -> onnx.ModelProto:
    """The model with another size of its inputs' batch axis, without what was inferred from the old one.

    Reshapes to a constant shape that begins with a batch of 1 keep their input's batch instead."""
    graph = model.graph
    for value in graph.input:
        value.type.tensor_type.shape.dim[axis].dim_value = batch
    for value in graph.output:
        value.type.tensor_type.ClearField("shape")
    del graph.value_info[:]
    targets = {node.input[1] for node in graph.node if node.op_type == "Reshape"}
    for initialiser in graph.initializer:
        if initialiser.name in targets:
            target = numpy_helper.to_array(initialiser).copy()
            if target.size > 1 and target[0] == 1:
                target[0] = 0
                initialiser.CopyFrom(numpy_helper.from_array(target, initialiser.name))
    return model
