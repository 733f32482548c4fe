"""The fixed benchmark set: well-known architectures as ONNX files with seeded weights (fp32, batch 1). Needs numpy and onnx only.

Every builder tracks the second moment of its tensors, so that random weights keep activations near N(0, 1) everywhere (nothing blows up,
no denormals). Each model draws from np.random.default_rng(crc32(name)): files are reproducible. A name ending in _bn leaves
BatchNormalization unfused; its twin without the suffix has the same weights, folded. Opsets are mixed on purpose (9 to 17).
"""

import math
import zlib
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto as TP
from onnx import helper as oh
from onnx import numpy_helper as nh


class T:
    """symbolic tensor: name, shape (list), m2 = estimate of E[x^2]"""

    __slots__ = ("m2", "n", "s")

    def __init__(self, n, s, m2=1.0):
        self.n, self.s, self.m2 = n, list(s), m2


class G:
    def __init__(self, name, opset=13, bn=False, rng_name=None):
        self.name, self.opset, self.bn = name, opset, bn
        # *_bn and folded variants share their weights: same seed, same draw order
        self.rng = np.random.default_rng(zlib.crc32((rng_name or name).encode()))
        self.nodes, self.inits, self.ins, self.outs = [], [], [], []
        self.k = 0
        self._c = {}

    # -- plumbing
    def nm(self, p="t"):
        self.k += 1
        return f"{p}_{self.k}"

    def w(self, a, p="w"):
        n = self.nm(p)
        self.inits.append(nh.from_array(np.asarray(a, order="C"), n))
        return n

    def i64(self, *v):
        key = tuple(v)
        if key not in self._c:
            self._c[key] = self.w(np.array(v, np.int64), "i")
        return self._c[key]

    def f32(self, v):
        key = ("f", float(v))
        if key not in self._c:
            self._c[key] = self.w(np.array(v, np.float32), "c")
        return self._c[key]

    def op(self, t, ins, shape=None, m2=1.0, nout=1, **at):
        outs = [self.nm(t.lower()) for _ in range(nout)]
        self.nodes.append(oh.make_node(t, [i.n if isinstance(i, T) else i for i in ins], outs, name=f"{t}_{self.k}", **at))
        if nout == 1:
            return T(outs[0], shape or [], m2)
        return outs

    def input(self, n, shape, dtype=TP.FLOAT, m2=1.0):
        self.ins.append(oh.make_tensor_value_info(n, dtype, shape))
        return T(n, shape, m2)

    def output(self, t, n="output", shape=None, dtype=TP.FLOAT):
        # rename the producer's output
        for nd in self.nodes:
            for j, o in enumerate(nd.output):
                if o == t.n:
                    nd.output[j] = n
            for j, o in enumerate(nd.input):
                if o == t.n:
                    nd.input[j] = n
        self.outs.append(oh.make_tensor_value_info(n, dtype, shape if shape is not None else t.s))

    def save(self, d, meta=None):
        g = oh.make_graph(self.nodes, self.name, self.ins, self.outs, self.inits)
        m = oh.make_model(g, opset_imports=[oh.make_opsetid("", self.opset)], producer_name="make_models")
        m.ir_version = 8 if self.opset >= 13 else 6
        p = f"{d}/{self.name}.onnx"
        onnx.checker.check_model(m) if m.ByteSize() < 1 << 30 else None
        onnx.save(m, p)
        return p

    # -- layers
    def bnp(self, c):
        r = self.rng
        return (
            r.uniform(0.7, 1.3, c).astype(np.float32),
            (r.standard_normal(c) * 0.1).astype(np.float32),
            (r.standard_normal(c) * 0.1).astype(np.float32),
            r.uniform(0.8, 1.25, c).astype(np.float32),
        )

    def act(self, x, a):
        if a is None:
            return x
        s = x.s
        if a == "relu":
            return self.op("Relu", [x], s, 0.5 * x.m2)
        if a == "relu6":
            if self.opset < 11:
                return self.op("Clip", [x], s, 0.5 * x.m2, min=0.0, max=6.0)
            return self.op("Clip", [x, self.f32(0), self.f32(6)], s, 0.5 * x.m2)
        if a == "hswish":  # native op, opset>=14
            return self.op("HardSwish", [x], s, 0.36 * x.m2)
        if a == "hswish_hs":  # HardSigmoid(1/6,.5) * x : torch exporter opset 9-13
            h = self.op("HardSigmoid", [x], s, 0.3, alpha=1 / 6.0, beta=0.5)
            return self.op("Mul", [x, h], s, 0.36 * x.m2)
        if a == "hswish_dec":  # x * clip(x+3,0,6) / 6
            h = self.op("Add", [x, self.f32(3)], s)
            h = self.op("Clip", [h, self.f32(0), self.f32(6)], s)
            h = self.op("Mul", [x, h], s)
            return self.op("Div", [h, self.f32(6)], s, 0.36 * x.m2)
        if a in ("silu", "swish"):
            h = self.op("Sigmoid", [x], s, 0.3)
            return self.op("Mul", [x, h], s, 0.36 * x.m2)
        if a == "sigmoid":
            return self.op("Sigmoid", [x], s, 0.3)
        if a == "hsig":
            return self.op("HardSigmoid", [x], s, 0.3, alpha=1 / 6.0, beta=0.5)
        raise KeyError(a)

    def conv(self, x, co, k=1, s=1, p=None, g=1, act=None, bn=True, bias=None, d=1, bnfold=None):
        """bn=True: conv+BN (unfused if self.bn, else folded). bn=False: conv with bias."""
        kh, kw = (k, k) if isinstance(k, int) else k
        if p is None:
            p = ((kh - 1) // 2 * d, (kw - 1) // 2 * d)
        ph, pw = (p, p) if isinstance(p, int) else p
        n, ci, h, w_ = x.s
        fan = ci // g * kh * kw
        wt = self.rng.standard_normal((co, ci // g, kh, kw), dtype=np.float32) * np.float32(math.sqrt(1 / (fan * x.m2)))
        ho = (h + 2 * ph - d * (kh - 1) - 1) // s + 1
        wo = (w_ + 2 * pw - d * (kw - 1) - 1) // s + 1
        at = {"kernel_shape": [kh, kw], "strides": [s, s], "pads": [ph, pw, ph, pw], "group": g, "dilations": [d, d]}
        shp = [n, co, ho, wo]
        if bn:
            ga, be, mu, va = self.bnp(co)
            if self.bn:
                y = self.op("Conv", [x, self.w(wt)], shp, **at)
                y = self.op(
                    "BatchNormalization",
                    [y, self.w(ga, "gamma"), self.w(be, "beta"), self.w(mu, "mean"), self.w(va, "var")],
                    shp,
                    epsilon=1e-5,
                )
            else:
                sc = ga / np.sqrt(va + np.float32(1e-5))
                y = self.op("Conv", [x, self.w(wt * sc[:, None, None, None]), self.w(be - mu * sc, "b")], shp, **at)
        else:
            b = (self.rng.standard_normal(co) * 0.05).astype(np.float32)
            y = self.op("Conv", [x, self.w(wt), self.w(b, "b")], shp, **at)
        y.m2 = 1.05
        return self.act(y, act)

    def dw(self, x, k=3, s=1, act="relu6", **kw):
        return self.conv(x, x.s[1], k, s, g=x.s[1], act=act, **kw)

    def add(self, a, b):
        return self.op("Add", [a, b], a.s, a.m2 + b.m2)

    def cat(self, xs, axis=1):
        s = list(xs[0].s)
        s[axis] = sum(x.s[axis] for x in xs)
        return self.op("Concat", xs, s, sum(x.m2 * x.s[axis] for x in xs) / s[axis], axis=axis)

    def pool(self, x, k, s, p=0, kind="Max", ceil=0, cip=0):
        n, c, h, w_ = x.s
        f = math.ceil if ceil else math.floor
        ho = int(f((h + 2 * p - k) / s)) + 1
        wo = int(f((w_ + 2 * p - k) / s)) + 1
        at = {"kernel_shape": [k, k], "strides": [s, s], "pads": [p] * 4}
        if ceil:
            at["ceil_mode"] = 1
        if kind == "Avg" and cip:
            at["count_include_pad"] = 1
        m2 = x.m2 * (2.4 if kind == "Max" else 0.75)
        return (
            self.op(kind + ("Pool"), [x], [n, c, ho, wo], m2, **dict(at.items()))
            if kind != "Avg"
            else self.op("AveragePool", [x], [n, c, ho, wo], m2, **at)
        )

    def gap(self, x, style="GlobalAveragePool"):
        s = [*x.s[:2], 1, 1]
        if style == "GlobalAveragePool":
            return self.op(style, [x], s, 0.35 * x.m2)
        if self.opset >= 18:
            return self.op("ReduceMean", [x, self.i64(2, 3)], s, 0.35 * x.m2, keepdims=1)
        return self.op("ReduceMean", [x], s, 0.35 * x.m2, axes=[2, 3], keepdims=1)

    def flatten(self, x):
        return self.op("Flatten", [x], [x.s[0], int(np.prod(x.s[1:]))], x.m2, axis=1)

    def fc(self, x, co, act=None):
        ci = x.s[-1]
        wt = self.rng.standard_normal((co, ci), dtype=np.float32) * np.float32(math.sqrt(1 / (ci * x.m2)))
        b = (self.rng.standard_normal(co) * 0.05).astype(np.float32)
        y = self.op("Gemm", [x, self.w(wt), self.w(b, "b")], [x.s[0], co], 1.0, transB=1)
        return self.act(y, act)

    def se(self, x, cs, a1="relu", gate="hsig", gapstyle="GlobalAveragePool"):
        z = self.gap(x, gapstyle)
        z = self.conv(z, cs, 1, act=a1, bn=False)
        z = self.conv(z, x.s[1], 1, act=gate, bn=False)
        return self.op("Mul", [x, z], x.s, x.m2 * 0.3)

    def softmax(self, x, axis=-1):
        if self.opset < 13 and axis == -1:
            axis = len(x.s) - 1
        return self.op("Softmax", [x], x.s, 0.1, axis=axis)

    def reshape(self, x, shp, real=None):
        return self.op("Reshape", [x, self.i64(*shp)], real or shp, x.m2)

    def tr(self, x, perm):
        return self.op("Transpose", [x], [x.s[i] for i in perm], x.m2, perm=perm)


def div8(v, d=8):
    n = max(d, int(v + d / 2) // d * d)
    return n + d if n < 0.9 * v else n


# ------------------------------------------------------------------ CNNs
def mobilenet_v1(g, feats=None):
    x = g.input("input", [1, 3, 224 if feats is None else 300, 224 if feats is None else 300])
    x = g.conv(x, 32, 3, 2, act="relu6")
    for i, (c, s) in enumerate([(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2)] + [(512, 1)] * 5 + [(1024, 2), (1024, 1)]):
        x = g.dw(x, 3, s)
        x = g.conv(x, c, 1, act="relu6")
        if feats is not None and i in (10, 12):
            feats.append(x)
    if feats is not None:
        return x
    x = g.flatten(g.gap(x))
    g.output(g.softmax(g.fc(x, 1000), 1))


def ssd_mobilenet_v1(g):
    f = []
    x = mobilenet_v1(g, f)
    for a, b in ((256, 512), (128, 256), (128, 256), (64, 128)):
        x = g.conv(x, a, 1, act="relu6")
        x = g.conv(x, b, 3, 2, act="relu6")
        f.append(x)
    locs, confs = [], []
    for i, x in enumerate(f):
        a = 3 if i == 0 else 6
        for lst, c in ((locs, 4), (confs, 91)):
            y = g.tr(g.conv(x, a * c, 1, bn=False), [0, 2, 3, 1])
            n = y.s[1] * y.s[2] * a
            lst.append(g.reshape(y, [1, -1, c], [1, n, c]))
    g.output(g.cat(locs, 1), "boxes")
    g.output(g.act(g.cat(confs, 1), "sigmoid"), "scores")


def mobilenet_v2(g, batch=1):
    x = g.input("input", [1, 3, 224, 224])
    x = g.conv(x, 32, 3, 2, act="relu6")
    for t, c, n, s in ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)):
        for i in range(n):
            r, st = x, s if i == 0 else 1
            y = x if t == 1 else g.conv(x, x.s[1] * t, 1, act="relu6")
            y = g.conv(g.dw(y, 3, st), c, 1)
            x = g.add(r, y) if st == 1 and r.s[1] == c else y
    x = g.conv(x, 1280, 1, act="relu6")
    x = g.flatten(g.gap(x))
    g.output(g.fc(x, 1000))


def mobilenet_v3(g, kind):
    H = {"small": "hswish", "large": "hswish_dec" if g.opset < 14 else "hswish_hs"}[kind]
    L = {
        "small": [
            (3, 16, 16, 1, "R", 2),
            (3, 72, 24, 0, "R", 2),
            (3, 88, 24, 0, "R", 1),
            (5, 96, 40, 1, "H", 2),
            (5, 240, 40, 1, "H", 1),
            (5, 240, 40, 1, "H", 1),
            (5, 120, 48, 1, "H", 1),
            (5, 144, 48, 1, "H", 1),
            (5, 288, 96, 1, "H", 2),
            (5, 576, 96, 1, "H", 1),
            (5, 576, 96, 1, "H", 1),
        ],
        "large": [
            (3, 16, 16, 0, "R", 1),
            (3, 64, 24, 0, "R", 2),
            (3, 72, 24, 0, "R", 1),
            (5, 72, 40, 1, "R", 2),
            (5, 120, 40, 1, "R", 1),
            (5, 120, 40, 1, "R", 1),
            (3, 240, 80, 0, "H", 2),
            (3, 200, 80, 0, "H", 1),
            (3, 184, 80, 0, "H", 1),
            (3, 184, 80, 0, "H", 1),
            (3, 480, 112, 1, "H", 1),
            (3, 672, 112, 1, "H", 1),
            (5, 672, 160, 1, "H", 2),
            (5, 960, 160, 1, "H", 1),
            (5, 960, 160, 1, "H", 1),
        ],
    }[kind]
    x = g.input("input", [1, 3, 224, 224])
    x = g.conv(x, 16, 3, 2, act=H)
    for k, e, c, se, a, s in L:
        r, a = x, "relu" if a == "R" else H
        y = x if e == x.s[1] else g.conv(x, e, 1, act=a)
        y = g.dw(y, k, s, act=a)
        if se:
            y = g.se(y, div8(e // 4))
        y = g.conv(y, c, 1)
        x = g.add(r, y) if s == 1 and r.s[1] == c else y
    x = g.conv(x, x.s[1] * 6, 1, act=H)
    x = g.flatten(g.gap(x))
    x = g.fc(x, 1024 if kind == "small" else 1280, H)
    g.output(g.fc(x, 1000))


def resnet18(g):
    x = g.input("input", [1, 3, 224, 224])
    x = g.pool(g.conv(x, 64, 7, 2, act="relu"), 3, 2, 1)
    for c, s in ((64, 1), (128, 2), (256, 2), (512, 2)):
        for i in range(2):
            st = s if i == 0 else 1
            y = g.conv(g.conv(x, c, 3, st, act="relu"), c, 3)
            if st != 1 or x.s[1] != c:
                x = g.conv(x, c, 1, st)
            x = g.act(g.add(y, x), "relu")
    g.output(g.fc(g.flatten(g.gap(x)), 1000))


def resnet50(g):
    x = g.input("input", [1, 3, 224, 224])
    x = g.pool(g.conv(x, 64, 7, 2, act="relu"), 3, 2, 1)
    for c, n, s in ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)):
        for i in range(n):
            st = s if i == 0 else 1
            y = g.conv(x, c, 1, act="relu")
            y = g.conv(y, c, 3, st, act="relu")
            y = g.conv(y, 4 * c, 1)
            if i == 0:
                x = g.conv(x, 4 * c, 1, st)
            x = g.act(g.add(y, x), "relu")
    g.output(g.fc(g.flatten(g.gap(x)), 1000))


def squeezenet11(g):
    x = g.input("input", [1, 3, 224, 224])
    x = g.conv(x, 64, 3, 2, p=0, act="relu", bn=False)

    def fire(x, s, e):
        x = g.conv(x, s, 1, act="relu", bn=False)
        return g.cat([g.conv(x, e, 1, act="relu", bn=False), g.conv(x, e, 3, act="relu", bn=False)])

    x = g.pool(x, 3, 2, 0, ceil=1)
    x = fire(fire(x, 16, 64), 16, 64)
    x = g.pool(x, 3, 2, 0, ceil=1)
    x = fire(fire(x, 32, 128), 32, 128)
    x = g.pool(x, 3, 2, 0, ceil=1)
    for s, e in ((48, 192), (48, 192), (64, 256), (64, 256)):
        x = fire(x, s, e)
    x = g.op("Dropout", [x], x.s, x.m2)
    x = g.conv(x, 1000, 1, act="relu", bn=False)
    g.output(g.softmax(g.flatten(g.gap(x)), 1))


def alexnet(g):
    x = g.input("input", [1, 3, 224, 224])

    def c(x, co, k, s, p):
        return g.conv(x, co, k, s, p=p, act="relu", bn=False)

    x = g.pool(c(x, 64, 11, 4, 2), 3, 2)
    x = g.pool(c(x, 192, 5, 1, 2), 3, 2)
    x = c(c(c(x, 384, 3, 1, 1), 256, 3, 1, 1), 256, 3, 1, 1)
    x = g.flatten(g.pool(x, 3, 2))
    g.output(g.fc(g.fc(g.fc(x, 4096, "relu"), 4096, "relu"), 1000))


def vgg16(g):
    x = g.input("input", [1, 3, 224, 224])
    for v in (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512, 0):
        x = g.conv(x, v, 3, act="relu", bn=False) if v else g.pool(x, 2, 2)
    x = g.flatten(x)
    g.output(g.fc(g.fc(g.fc(x, 4096, "relu"), 4096, "relu"), 1000))


def inception_v3(g):
    x = g.input("input", [1, 3, 299, 299])

    def C(x, co, k=1, s=1, p=None):
        return g.conv(x, co, k, s, p=0 if p is None else p, act="relu")

    x = C(x, 32, 3, 2)
    x = C(x, 32, 3)
    x = C(x, 64, 3, 1, 1)
    x = g.pool(x, 3, 2)
    x = C(x, 80, 1)
    x = C(x, 192, 3)
    x = g.pool(x, 3, 2)

    def ap(x):
        return g.pool(x, 3, 1, 1, "Avg", cip=1)

    for pf in (32, 64, 64):
        x = g.cat([C(x, 64), C(C(x, 48), 64, 5, 1, 2), C(C(C(x, 64), 96, 3, 1, 1), 96, 3, 1, 1), C(ap(x), pf)])
    x = g.cat([C(x, 384, 3, 2), C(C(C(x, 64), 96, 3, 1, 1), 96, 3, 2), g.pool(x, 3, 2)])
    for c7 in (128, 160, 160, 192):
        b = C(C(C(x, c7), c7, (1, 7), 1, (0, 3)), 192, (7, 1), 1, (3, 0))
        d = C(C(C(C(C(x, c7), c7, (7, 1), 1, (3, 0)), c7, (1, 7), 1, (0, 3)), c7, (7, 1), 1, (3, 0)), 192, (1, 7), 1, (0, 3))
        x = g.cat([C(x, 192), b, d, C(ap(x), 192)])
    b = C(C(x, 192), 320, 3, 2)
    d = C(C(C(C(x, 192), 192, (1, 7), 1, (0, 3)), 192, (7, 1), 1, (3, 0)), 192, 3, 2)
    x = g.cat([b, d, g.pool(x, 3, 2)])
    for _ in range(2):
        b = C(x, 384)
        b = g.cat([C(b, 384, (1, 3), 1, (0, 1)), C(b, 384, (3, 1), 1, (1, 0))])
        d = C(C(x, 448), 384, 3, 1, 1)
        d = g.cat([C(d, 384, (1, 3), 1, (0, 1)), C(d, 384, (3, 1), 1, (1, 0))])
        x = g.cat([C(x, 320), b, d, C(ap(x), 192)])
    g.output(g.fc(g.flatten(g.gap(x)), 1000))


def efficientnet(g, lite):
    a = "relu6" if lite else "swish"
    x = g.input("input", [1, 3, 224, 224])
    x = g.conv(x, 32, 3, 2, act=a)
    for t, c, n, s, k in (
        (1, 16, 1, 1, 3),
        (6, 24, 2, 2, 3),
        (6, 40, 2, 2, 5),
        (6, 80, 3, 2, 3),
        (6, 112, 3, 1, 5),
        (6, 192, 4, 2, 5),
        (6, 320, 1, 1, 3),
    ):
        for i in range(n):
            r, st, ci = x, s if i == 0 else 1, x.s[1]
            y = x if t == 1 else g.conv(x, ci * t, 1, act=a)
            y = g.dw(y, k, st, act=a)
            if not lite:
                y = g.se(y, max(1, ci // 4), "swish", "sigmoid", "ReduceMean")
            y = g.conv(y, c, 1)
            x = g.add(r, y) if st == 1 and ci == c else y
    x = g.conv(x, 1280, 1, act=a)
    g.output(g.fc(g.flatten(g.gap(x)), 1000))


def split2(g, x):
    h = x.s[1] // 2
    if g.opset >= 13:
        o = g.op("Split", [x, g.i64(h, h)], nout=2, axis=1)
    else:
        o = g.op("Split", [x], nout=2, axis=1, split=[h, h])
    s = [x.s[0], h, *x.s[2:]]
    return T(o[0], s, x.m2), T(o[1], s, x.m2)


def shufflenet_v2(g):
    x = g.input("input", [1, 3, 224, 224])
    x = g.pool(g.conv(x, 24, 3, 2, act="relu"), 3, 2, 1)

    def shuf(x):
        n, c, h, w = x.s
        y = g.reshape(x, [n, 2, c // 2, h, w])
        return g.reshape(g.tr(y, [0, 2, 1, 3, 4]), [n, c, h, w])

    for c, n in ((116, 4), (232, 8), (464, 4)):
        for i in range(n):
            if i == 0:
                a = g.conv(g.dw(x, 3, 2, act=None), c // 2, 1, act="relu")
                b = x
            else:
                a, b = split2(g, x)
            b = g.conv(b, c // 2, 1, act="relu")
            b = g.conv(g.dw(b, 3, 2 if i == 0 else 1, act=None), c // 2, 1, act="relu")
            x = shuf(g.cat([a, b]))
    x = g.conv(x, 1024, 1, act="relu")
    x = g.op("ReduceMean", [x], [1, 1024], 0.35 * x.m2, axes=[2, 3], keepdims=0)
    g.output(g.fc(x, 1000))


def yolov8n(g, size=640, nc=80):
    def C(x, co, k=3, s=1):
        return g.conv(x, co, k, s, act="silu")

    def c2f(x, co, n, short):
        x = C(x, co, 1)
        a, b = split2(g, x)
        ys = [a, b]
        for _ in range(n):
            y = C(C(b, b.s[1]), b.s[1])
            b = g.add(b, y) if short else y
            ys.append(b)
        return C(g.cat(ys), co, 1)

    def up(x):
        n, c, h, w = x.s
        if g.opset >= 13:
            ins = [x, "", g.w(np.array([1, 1, 2, 2], np.float32), "sc")]
        else:
            ins = [x, g.w(np.zeros(0, np.float32), "roi"), g.w(np.array([1, 1, 2, 2], np.float32), "sc")]
        return g.op(
            "Resize", ins, [n, c, h * 2, w * 2], x.m2, mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor"
        )

    x = g.input("images", [1, 3, size, size])
    x = C(C(x, 16, 3, 2), 32, 3, 2)
    x = c2f(x, 32, 1, True)
    p3 = c2f(C(x, 64, 3, 2), 64, 2, True)
    p4 = c2f(C(p3, 128, 3, 2), 128, 2, True)
    x = c2f(C(p4, 256, 3, 2), 256, 1, True)
    x = C(x, 128, 1)
    a = g.pool(x, 5, 1, 2)
    b = g.pool(a, 5, 1, 2)
    c = g.pool(b, 5, 1, 2)
    p5 = C(g.cat([x, a, b, c]), 256, 1)
    n4 = c2f(g.cat([up(p5), p4]), 128, 1, False)
    n3 = c2f(g.cat([up(n4), p3]), 64, 1, False)
    m4 = c2f(g.cat([C(n3, 64, 3, 2), n4]), 128, 1, False)
    m5 = c2f(g.cat([C(m4, 128, 3, 2), p5]), 256, 1, False)
    hs, tot = [], 0
    for f in (n3, m4, m5):
        r = g.conv(C(C(f, 64), 64), 64, 1, bn=False)
        k = g.conv(C(C(f, 80), 80), nc, 1, bn=False)
        h = g.cat([r, k])
        hw = h.s[2] * h.s[3]
        tot += hw
        hs.append(g.reshape(h, [1, 64 + nc, -1], [1, 64 + nc, hw]))
    x = g.cat(hs, 2)
    o = g.op("Split", [x, g.i64(64, nc)], nout=2, axis=1)
    box, cls = T(o[0], [1, 64, tot]), T(o[1], [1, nc, tot])
    d = g.tr(g.reshape(box, [1, 4, 16, tot]), [0, 2, 1, 3])
    d = g.softmax(d, 1)
    wd = g.w(np.arange(16, dtype=np.float32).reshape(1, 16, 1, 1))
    d = g.op("Conv", [d, wd], [1, 1, 4, tot], 10, kernel_shape=[1, 1])
    d = g.reshape(d, [1, 4, tot])
    anc, strd = [], []
    for s in (8, 16, 32):
        n = size // s
        yy, xx = np.meshgrid(np.arange(n) + 0.5, np.arange(n) + 0.5, indexing="ij")
        anc.append(np.stack([xx.ravel(), yy.ravel()]))
        strd.append(np.full((1, n * n), s))
    anc = g.w(np.concatenate(anc, 1).astype(np.float32)[None], "anchors")
    strd = g.w(np.concatenate(strd, 1).astype(np.float32), "strides")
    lt = g.op("Slice", [d, g.i64(0), g.i64(2), g.i64(1)], [1, 2, tot])
    rb = g.op("Slice", [d, g.i64(2), g.i64(4), g.i64(1)], [1, 2, tot])
    x1 = g.op("Sub", [anc, lt], [1, 2, tot])
    x2 = g.op("Add", [anc, rb], [1, 2, tot])
    c_ = g.op("Div", [g.op("Add", [x1, x2], [1, 2, tot]), g.f32(2)], [1, 2, tot])
    w_ = g.op("Sub", [x2, x1], [1, 2, tot])
    bx = g.op("Mul", [g.cat([c_, w_]), strd], [1, 4, tot])
    g.output(g.cat([bx, g.act(cls, "sigmoid")]), "output0")


# ------------------------------------------------------------------ non-CNN
def char_rnn(g, seq, H=512, V=96):
    tok = g.input("tokens", [seq, 1], TP.INT64)
    r = g.rng
    emb = g.w((r.standard_normal((V, H)) * 1.0).astype(np.float32), "emb")
    x = g.op("Gather", [emb, tok], [seq, 1, H], axis=0)
    hs, cs = [], []
    for l in range(2):
        h0 = g.input(f"h{l}", [1, 1, H])
        c0 = g.input(f"c{l}", [1, 1, H])
        k = 1 / math.sqrt(H)
        W, R = (g.w(r.uniform(-k, k, (1, 4 * H, H)).astype(np.float32)) for _ in range(2))
        B = g.w(r.uniform(-k, k, (1, 8 * H)).astype(np.float32), "b")
        o = g.op("LSTM", [x, W, R, B, "", h0, c0], nout=3, hidden_size=H)
        if g.opset >= 13:
            x = g.op("Squeeze", [o[0], g.i64(1)], [seq, 1, H])
        else:
            x = g.op("Squeeze", [o[0]], [seq, 1, H], axes=[1])
        hs.append(T(o[1], [1, 1, H]))
        cs.append(T(o[2], [1, 1, H]))
    Wo = g.w((r.standard_normal((H, V)) / math.sqrt(H)).astype(np.float32))
    y = g.op("MatMul", [x, Wo], [seq, 1, V])
    y = g.op("Add", [y, g.w((r.standard_normal(V) * 0.1).astype(np.float32), "b")], [seq, 1, V])
    g.output(y, "logits")
    for l in range(2):
        g.output(hs[l], f"h{l}_out")
        g.output(cs[l], f"c{l}_out")


def mlp(g):
    x = g.input("input", [1, 784])
    for d in (2048, 2048, 2048):
        x = g.fc(x, d, "relu")
    g.output(g.softmax(g.fc(x, 10), 1))


# ------------------------------------------------------------------ MiniLM-L6 (BERT encoder)
def minilm(g, B=1, S=128, dyn=False, H=384, heads=12, L=6, inter=1536, V=30522):
    """BERT encoder as torch exports it (MatMul+Add, Reshape/Transpose, Erf-GELU, mask via Cast/Sub/Mul) + mean pooling + L2 norm.
    dyn: symbolic batch/seq with Shape/Gather/Concat-driven reshapes.  opset<17: decomposed LayerNorm."""
    r = g.rng

    def rn(*s):
        return (r.standard_normal(s) * 0.05).astype(np.float32)

    W = {
        "embeddings.word_embeddings.weight": rn(V, H),
        "embeddings.position_embeddings.weight": rn(512, H),
        "embeddings.token_type_embeddings.weight": rn(2, H),
    }

    def ln(p):
        return W.update({p + ".weight": (1 + rn(H)), p + ".bias": rn(H)})

    ln("embeddings.LayerNorm")
    for l in range(L):
        p = f"encoder.layer.{l}."
        for q, (o, i) in {
            "attention.self.query": (H, H),
            "attention.self.key": (H, H),
            "attention.self.value": (H, H),
            "attention.output.dense": (H, H),
            "intermediate.dense": (inter, H),
            "output.dense": (H, inter),
        }.items():
            W[p + q + ".weight"], W[p + q + ".bias"] = rn(o, i), rn(o)
        ln(p + "attention.output.LayerNorm")
        ln(p + "output.LayerNorm")
    D = H // heads
    sh = ["batch", "seq"] if dyn else [B, S]
    ids = g.input("input_ids", sh, TP.INT64)
    msk = g.input("attention_mask", sh, TP.INT64)
    tt = g.input("token_type_ids", sh, TP.INT64)

    def ln(x, p):
        ga, be = g.w(W[p + ".weight"], "g"), g.w(W[p + ".bias"], "b")
        if g.opset >= 17:
            return g.op("LayerNormalization", [x, ga, be], axis=-1, epsilon=1e-12)
        m = g.op("ReduceMean", [x], axes=[-1])
        d = g.op("Sub", [x, m])
        v = g.op("ReduceMean", [g.op("Pow", [d, g.f32(2)])], axes=[-1])
        s = g.op("Sqrt", [g.op("Add", [v, g.f32(1e-12)])])
        return g.op("Add", [g.op("Mul", [g.op("Div", [d, s]), ga]), be])

    def lin(x, p):
        y = g.op("MatMul", [x, g.w(np.ascontiguousarray(W[p + ".weight"].T))])
        return g.op("Add", [g.w(W[p + ".bias"], "b"), y])

    if dyn:
        shp = g.op("Shape", [ids])
        b_ = g.op("Unsqueeze", [g.op("Gather", [shp, g.w(np.array(0, np.int64))], axis=0), g.i64(0)])
        s_ = g.op("Unsqueeze", [g.op("Gather", [shp, g.w(np.array(1, np.int64))], axis=0), g.i64(0)])
        pid = g.op("Slice", [g.w(np.arange(512, dtype=np.int64)[None]), g.i64(0), s_, g.i64(1)])
        split = g.op("Concat", [b_, s_, g.i64(heads), g.i64(D)], axis=0).n
        merge = g.op("Concat", [b_, s_, g.i64(H)], axis=0).n
    else:
        pid = g.w(np.arange(S, dtype=np.int64)[None])
        split, merge = g.i64(B, S, heads, D), g.i64(B, S, H)
    e = g.op("Gather", [g.w(W["embeddings.word_embeddings.weight"]), ids])
    e = g.op("Add", [e, g.op("Gather", [g.w(W["embeddings.token_type_embeddings.weight"]), tt])])
    e = g.op("Add", [e, g.op("Gather", [g.w(W["embeddings.position_embeddings.weight"]), pid])])
    x = ln(e, "embeddings.LayerNorm")
    m = g.op("Unsqueeze", [g.op("Unsqueeze", [msk, g.i64(1)]), g.i64(2)])
    m = g.op("Cast", [m], to=TP.FLOAT)
    m = g.op("Mul", [g.op("Sub", [g.f32(1), m]), g.f32(-10000.0)])
    for l in range(L):
        p = f"encoder.layer.{l}."
        q, k, v = (g.op("Reshape", [lin(x, p + f"attention.self.{n}"), split]) for n in ("query", "key", "value"))
        q, v = g.op("Transpose", [q], perm=[0, 2, 1, 3]), g.op("Transpose", [v], perm=[0, 2, 1, 3])
        k = g.op("Transpose", [k], perm=[0, 2, 3, 1])
        a = g.op("Div", [g.op("MatMul", [q, k]), g.f32(math.sqrt(D))])
        a = g.op("Softmax", [g.op("Add", [a, m])], axis=-1)
        c = g.op("Transpose", [g.op("MatMul", [a, v])], perm=[0, 2, 1, 3])
        c = g.op("Reshape", [c, merge])
        x = ln(g.op("Add", [lin(c, p + "attention.output.dense"), x]), p + "attention.output.LayerNorm")
        h = lin(x, p + "intermediate.dense")
        t = g.op("Add", [g.op("Erf", [g.op("Div", [h, g.f32(math.sqrt(2))])]), g.f32(1)])
        h = g.op("Mul", [g.op("Mul", [h, t]), g.f32(0.5)])
        x = ln(g.op("Add", [lin(h, p + "output.dense"), x]), p + "output.LayerNorm")
    x.s = [*sh, H]
    g.output(x, "last_hidden_state")
    x = T("last_hidden_state", [*sh, H])
    mm = g.op("Cast", [g.op("Unsqueeze", [msk, g.i64(-1)])], to=TP.FLOAT)
    num = g.op("ReduceSum", [g.op("Mul", [x, mm]), g.i64(1)], keepdims=0)
    den = g.op("Clip", [g.op("ReduceSum", [mm, g.i64(1)], keepdims=0), g.f32(1e-9)])
    y = g.op("Div", [num, den])
    if g.opset >= 18:
        nrm = g.op("ReduceL2", [y, g.i64(-1)], keepdims=1)
    else:
        nrm = g.op("ReduceL2", [y], axes=[-1], keepdims=1)
    g.output(g.op("Div", [y, nrm], [sh[0], H]), "sentence_embedding")


MODELS = {}


def reg(name, fn, opset=13, bn=False, rng=None, **kw):
    MODELS[name] = (fn, opset, bn, rng, kw)


reg("mobilenet_v1", mobilenet_v1, 9)
reg("mobilenet_v1_bn", mobilenet_v1, 9, True, "mobilenet_v1")
reg("mobilenet_v2", mobilenet_v2, 12)
reg("mobilenet_v2_bn", mobilenet_v2, 12, True, "mobilenet_v2")
reg("mobilenet_v3_small", mobilenet_v3, 14, kind="small")
reg("mobilenet_v3_large_bn", mobilenet_v3, 13, True, kind="large")
reg("resnet18", resnet18, 11)
reg("resnet18_bn", resnet18, 11, True, "resnet18")
reg("resnet50", resnet50, 13)
reg("resnet50_bn", resnet50, 13, True, "resnet50")
reg("squeezenet11", squeezenet11, 11)
reg("alexnet", alexnet, 9)
reg("vgg16", vgg16, 13)
reg("inception_v3_bn", inception_v3, 11, True)
reg("efficientnet_b0_bn", efficientnet, 13, True, lite=False)
reg("efficientnet_lite0", efficientnet, 11, lite=True)
reg("shufflenet_v2_bn", shufflenet_v2, 12, True)
reg("ssd_mobilenet_v1", ssd_mobilenet_v1, 11)
reg("yolov8n", yolov8n, 17)
reg("char_rnn_s1", char_rnn, 11, False, "char_rnn", seq=1)
reg("char_rnn_s50", char_rnn, 14, False, "char_rnn", seq=50)
reg("mlp", mlp, 13)
reg("minilm_l6_s128", minilm, 13, False, "minilm")
reg("minilm_l6_dyn", minilm, 17, False, "minilm", dyn=True)


def build(name: str, folder: Path) -> Path:
    """Writes the model <name>.onnx into the folder and returns its path."""
    make, opset, bn, rng, arguments = MODELS[name]
    graph = G(name, opset, bn, rng)
    make(graph, **arguments)
    return Path(graph.save(str(folder)))
