"""What the runtime knows of each operator: one file per operator or family.

A class decorated with `@operator("Name")` describes one operator in its newest ONNX form:

* `from_onnx` rewrites a node of an older opset into that form (attributes that became inputs, defaults that changed, ...), so that
  nothing behind the reader ever asks for an opset again;
* `infer` gives the types of the outputs from concrete input types;
* `evaluate` computes the outputs with numpy; only operators of shape arithmetic have it, and only tiny tensors meet it;
* `is_native` says whether this very node (types, attributes) can be lowered; otherwise it becomes a host step;
* `lower` emits the steps;
* `examples` are what the tests run, against onnx.reference, on every instruction set.

Operators that have no file here run as host steps through onnx.reference. FILES says which file has which operator.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from asymo.errors import ModelError
from asymo.graph.ir import Graph, Node, TensorType, Value

if TYPE_CHECKING:
    from asymo.plan.lower import Lowering


class NeedsValue(Exception):
    """Raised by `infer` when an output's shape depends on the elements of an input that is not known yet.

    The planner runs what it has up to here, and plans on when the value is there."""

    def __init__(self, value: Value) -> None:
        super().__init__(value.name)
        self.value = value


class Example:
    """One test case: a node by its ONNX inputs. `inputs` may hold None (absent). `constant` names the indices that are initialisers.
    `tolerance` is relative to the largest output."""

    def __init__(
        self,
        inputs: list[np.ndarray | None],
        attrs: dict[str, Any] | None = None,
        outputs: int = 1,
        opset: int = 21,
        constant: tuple[int, ...] = (),
        tolerance: float = 1e-5,
    ) -> None:
        self.inputs, self.attrs, self.outputs, self.opset = inputs, attrs or {}, outputs, opset
        self.constant, self.tolerance = constant, tolerance


class Operator:
    """Base of all operators; see the module's docstring for who calls what."""

    name: str
    domain: str = ""

    def from_onnx(self, node: Node, graph: Graph) -> None:
        """Rewrites `node` (of opset `node.opset`) into the newest form, in place; may insert nodes before it."""

    def infer(self, node: Node, inputs: list[TensorType | None]) -> list[TensorType | None]:
        """Types of the outputs. Input types are concrete. Raises NeedsValue (through `known`) or ModelError."""
        raise NotImplementedError

    def evaluate(self, node: Node, arrays: list[np.ndarray | None]) -> list[np.ndarray] | None:
        """The outputs by numpy, or None when this operator leaves that to the host."""
        return None

    def is_native(self, node: Node) -> bool:
        """Whether `lower` can take this node; types and shapes are concrete."""
        return True

    def lower(self, node: Node, lo: Lowering) -> None:
        """Emits the node's steps into `lo`."""
        raise NotImplementedError

    def examples(self) -> Iterator[Example]:
        """Test cases; see `Example`."""
        return iter(())


_registry: dict[tuple[str, str], Operator] = {}
C = TypeVar("C", bound=type[Operator])
T = TypeVar("T")


def operator(*names: str, domain: str = "") -> Callable[[C], C]:
    """Class decorator: registers one instance of the class per name."""

    def register(cls: C) -> C:
        for name in names:
            instance = cls()
            instance.name, instance.domain = name, domain
            assert (domain, name) not in _registry, f"operator {domain}::{name} stands in two files"
            _registry[domain, name] = instance
        return cls

    return register


FILES = {
    "activation": (
        "Celu Clip Elu Gelu HardSigmoid HardSwish LeakyRelu Mish PRelu Relu Selu Shrink Sigmoid Softplus Softsign Swish Tanh "
        "ThresholdedRelu"
    ),
    "arithmetic": (
        "Abs Acos Acosh Add And Asin Asinh Atan Atanh BitShift BitwiseAnd BitwiseNot BitwiseOr BitwiseXor Ceil Cos Cosh Div Equal Erf "
        "Exp Floor Greater GreaterOrEqual IsInf IsNaN Less LessOrEqual Log Max Mean Min Mod Mul Neg Not Or Pow Reciprocal Round Sign "
        "Sin Sinh Sqrt Sub Sum Tan Where Xor"
    ),
    "attention": "Attention",
    "cast": "Cast CastLike",
    "channel_shuffle": "ChannelShuffle",
    "concat": "Concat Split",
    "constant": "Constant ConstantOfShape Range Shape Size",
    "conv": "Conv",
    "conv_transpose": "ConvTranspose",
    "depth_space": "DepthToSpace SpaceToDepth",
    "eltwise": "Eltwise",
    "expand": "Expand Tile",
    "gather": "Gather",
    "matmul": "Gemm MatMul",
    "norm": (
        "BatchNormalization GroupNorm GroupNormalization InstanceNormalization LRN LayerNormalization LpNormalization "
        "MeanVarianceNormalization RMSNormalization"
    ),
    "pad": "Pad",
    "pool": "AveragePool GlobalAveragePool GlobalLpPool GlobalMaxPool LpPool MaxPool Pool",
    "reduce": (
        "ArgMax ArgMin ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare"
    ),
    "reshape": "Dropout Flatten Identity Reshape Squeeze Unsqueeze",
    "resize": "Resample Resize Upsample",
    "rnn": "GRU LSTM RNN",
    "separable": "Separable",
    "slice": "Slice",
    "softmax": "LogSoftmax Softmax",
    "transpose": "Transpose",
}
"""File of this folder -> its operators, of any domain: a file is imported for the first of them that a model has."""

_HOMES = {name: file for file, names in FILES.items() for name in names.split()}


def find(domain: str, name: str) -> Operator | None:
    """The operator, None when only the host knows it."""
    operator = _registry.get((domain, name))
    if operator is None and name in _HOMES:
        import_module(f"{__name__}.{_HOMES[name]}")
        operator = _registry.get((domain, name))
    return operator


def registered() -> dict[tuple[str, str], Operator]:
    """Every operator by (domain, name)."""
    for file in FILES:
        import_module(f"{__name__}.{file}")
    return dict(_registry)


# ---- what infer, evaluate and lower share


def given(entries: Sequence[T | None], index: int = 0) -> T:
    """An entry of a node's inputs or outputs (values, types or arrays) that the operator cannot be without."""
    entry = entries[index]
    assert entry is not None, f"entry {index} is absent"
    return entry


def all_given(entries: Sequence[T | None]) -> list[T]:
    """The entries of an operator all of whose inputs are always there."""
    return [given(entries, i) for i in range(len(entries))]


def known(node: Node, index: int) -> np.ndarray:
    """The elements of an input that has to be known to go on; raises NeedsValue when it is not."""
    value = given(node.inputs, index)
    if value.const is None:
        raise NeedsValue(value)
    return value.const


def known_ints(node: Node, index: int) -> tuple[int, ...] | None:
    """An optional 1-D integer input, None when absent."""
    return None if node.input(index) is None else given_ints(node, index)


def given_ints(node: Node, index: int) -> tuple[int, ...]:
    """A 1-D integer input that the operator cannot be without."""
    return tuple(int(i) for i in known(node, index).reshape(-1))


def axis_of(node: Node, axis: int, rank: int) -> int:
    """The axis counted from the front; ModelError when out of range."""
    if not -rank <= axis < max(rank, 1):
        raise ModelError(f"{node.where}: axis {axis} is outside a tensor of rank {rank}")
    return axis % rank if rank else 0


def need_shape(node: Node, inputs: Sequence[TensorType | None], index: int, shape: tuple[int, ...]) -> None:
    """ModelError unless the input is absent or has this shape: kernels read that many elements."""
    type = inputs[index] if index < len(inputs) else None
    if type is not None and type.dims != shape:
        raise ModelError(f"{node.where}: input {index} has shape {type.dims}, it must have {shape}")


def broadcast(node: Node, *shapes: tuple[int, ...]) -> tuple[int, ...]:
    """The numpy broadcast of the shapes; ModelError naming the node when they do not fit."""
    try:
        return np.broadcast_shapes(*shapes)
    except ValueError:
        raise ModelError(f"{node.where}: shapes {' and '.join(map(str, shapes))} do not broadcast") from None
