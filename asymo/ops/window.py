"""Sliding windows: what convolution and pooling share. Strides, pads and dilations are tuples over the spatial axes."""

from __future__ import annotations

from asymo.errors import ModelError
from asymo.graph.ir import Node, TensorType
from asymo.record import NamedTuple

Ints = tuple[int, ...]


class Window(NamedTuple):
    """Geometry over the spatial axes; `out` is the shape of the output."""

    inp: Ints
    kernel: Ints
    stride: Ints
    dilation: Ints
    begin: Ints
    end: Ints
    out: Ints

    @property
    def is_pointwise(self) -> bool:
        """Whether every output sees the input at its own place, and nothing else."""
        ones = (1,) * len(self.inp)
        return self.kernel == ones and self.stride == ones and not any((*self.begin, *self.end))

    def attrs(self) -> dict[str, list[int]]:
        """ONNX's attributes for it, pads explicit."""
        return {
            "kernel_shape": list(self.kernel),
            "strides": list(self.stride),
            "dilations": list(self.dilation),
            "pads": [*self.begin, *self.end],
        }


def spatial(node: Node, x: TensorType) -> Ints:
    """The spatial dimensions of an activation, by the node's channels_last attribute."""
    shape = x.dims
    if len(shape) < 3:
        raise ModelError(f"{node.where}: input 0 must have a batch axis, a channel axis and at least one spatial axis, not shape {shape}")
    return shape[1:-1] if node.attrs.get("channels_last") else shape[2:]


def channels(node: Node, x: TensorType) -> int:
    return x.dims[-1 if node.attrs.get("channels_last") else 1]


def arrange(node: Node, batch: int, depth: int, dims: Ints) -> Ints:
    """The activation shape of a batch, its channels and its spatial dimensions."""
    return (batch, *dims, depth) if node.attrs.get("channels_last") else (batch, depth, *dims)


def per_axis(node: Node, name: str, rank: int, default: int) -> Ints:
    """An attribute with one number per spatial axis."""
    values = tuple(int(v) for v in node.attrs.get(name) or (default,) * rank)
    if len(values) != rank:
        raise ModelError(f"{node.where}: attribute {name!r} has {len(values)} numbers for {rank} spatial axes")
    return values


def auto_pad(node: Node) -> str:
    """The attribute auto_pad; ModelError when it is none of ONNX's."""
    auto = text(node.attrs.get("auto_pad", "NOTSET"))
    if auto not in ("NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"):
        raise ModelError(f"{node.where}: unknown auto_pad {auto!r}")
    return auto


def pads_of(node: Node, rank: int) -> Ints:
    """Explicit pads, all begins before all ends; ModelError when there are too many, too few or negative ones."""
    pads = (0,) * (2 * rank) if auto_pad(node) == "VALID" else tuple(int(p) for p in node.attrs.get("pads") or (0,) * (2 * rank))
    if len(pads) != 2 * rank or min(pads, default=0) < 0:
        raise ModelError(f"{node.where}: attribute 'pads' is {pads}: it must be {2 * rank} numbers, none negative")
    return pads


def window(node: Node, inp: Ints, kernel: Ints) -> Window:
    """The window of a Conv or pooling node over `inp`: auto_pad resolved, ceil_mode obeyed."""
    rank = len(inp)
    stride, dilation = per_axis(node, "strides", rank, 1), per_axis(node, "dilations", rank, 1)
    if len(kernel) != rank:
        raise ModelError(f"{node.where}: a kernel of shape {kernel} does not fit {rank} spatial axes")
    if min((*stride, *dilation, *kernel), default=1) < 1:
        raise ModelError(f"{node.where}: kernel_shape, strides and dilations must be positive: {kernel}, {stride}, {dilation}")
    span = tuple((k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True))
    auto = auto_pad(node)
    ceil = bool(node.attrs.get("ceil_mode", 0))
    if auto in ("SAME_UPPER", "SAME_LOWER"):
        out = tuple(-(-i // s) for i, s in zip(inp, stride, strict=True))
        total = [max((o - 1) * s + w - i, 0) for o, s, w, i in zip(out, stride, span, inp, strict=True)]
        small, large = tuple(t // 2 for t in total), tuple(t - t // 2 for t in total)
        begin, end = (small, large) if auto == "SAME_UPPER" else (large, small)
        return Window(inp, kernel, stride, dilation, begin, end, out)
    pads = pads_of(node, rank)
    begin, end = pads[:rank], pads[rank:]
    dims = []
    for i, s, w, b, e in zip(inp, stride, span, begin, end, strict=True):
        room = i + b + e - w
        count = (-(-room // s) if ceil else room // s) + 1
        if ceil and (count - 1) * s >= i + b:  # a window that starts in the padding behind the input is none
            count -= 1
        dims.append(max(count, 0))
    return Window(inp, kernel, stride, dilation, begin, end, tuple(dims))


def transposed_geometry(node: Node, inp: Ints, kernel: Ints) -> tuple[Ints, Ints]:
    """(pads at the beginning, spatial output shape) of ONNX's ConvTranspose over `inp`."""
    rank = len(inp)
    stride, dilation = per_axis(node, "strides", rank, 1), per_axis(node, "dilations", rank, 1)
    extra = per_axis(node, "output_padding", rank, 0)
    if min((*stride, *dilation, *kernel), default=1) < 1 or min(extra, default=0) < 0:
        raise ModelError(
            f"{node.where}: kernel, strides and dilations must be positive, output_padding not negative: "
            f"{kernel}, {stride}, {dilation}, {extra}"
        )
    auto = auto_pad(node)
    full = tuple((i - 1) * s + (k - 1) * d + 1 + e for i, s, k, d, e in zip(inp, stride, kernel, dilation, extra, strict=True))
    wanted = node.attrs.get("output_shape")
    if "begin" in node.attrs:  # asymo::ConvTranspose
        return tuple(node.attrs["begin"]), tuple(node.attrs["output_shape"])
    if wanted is None and auto in ("SAME_UPPER", "SAME_LOWER"):
        wanted = [i * s for i, s in zip(inp, stride, strict=True)]
    if wanted is None:
        pads = pads_of(node, rank)
        return pads[:rank], tuple(max(f - b - e, 0) for f, b, e in zip(full, pads[:rank], pads[rank:], strict=True))
    out = tuple(int(o) for o in wanted)[-rank:]
    if len(out) != rank or min(out, default=0) < 0:
        raise ModelError(f"{node.where}: attribute 'output_shape' is {tuple(wanted)}, there are {rank} spatial axes")
    total = [max(f - o, 0) for f, o in zip(full, out, strict=True)]
    return tuple(t // 2 if auto == "SAME_UPPER" else t - t // 2 for t in total), out


def text(value: str | bytes) -> str:
    """A string attribute."""
    return value.decode() if isinstance(value, bytes) else value


def triple(values: Ints, fill: int) -> tuple[int, int, int]:
    """Spatial numbers as (depth, height, width), the missing ones in front."""
    depth, height, width = (fill,) * (3 - len(values)) + values
    return depth, height, width


def channels_last_strides(dims: Ints, depth: int) -> tuple[int, tuple[int, int, int]]:
    """(elements of an image, (slice, row, pixel) strides) of a dense channels-last tensor."""
    _, h, w = triple(dims, 1)
    strides = (h * w * depth, w * depth, depth)
    return triple(dims, 1)[0] * strides[0], strides
