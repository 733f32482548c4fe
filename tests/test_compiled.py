"""`.asymo` files: the same bits as the ONNX path, without `onnx` and `psutil`, in place, for other instruction sets and other shapes."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from _models import example_model, model, node
from onnx import TensorProto, helper

import asymo
from asymo import _core, ops
from asymo.bench import compile_cli
from asymo.cost.devices import from_profile
from asymo.device import profile
from asymo.errors import InvalidArgumentError, ModelError, UnsupportedError
from asymo.plan import layout
from asymo.runtime import digest
from asymo.runtime.compile import compile_model
from asymo.runtime.compiled import CompiledModel
from asymo.runtime.stage import Stage
from benchmarks import models

OPERATORS = sorted(name for domain, name in ops.registered() if domain == "")
SOME = ("mobilenet_v2_bn", "mobilenet_v3_small", "squeezenet11", "char_rnn_s50", "mlp", "shufflenet_v2_bn")


def compile_for(source: str | bytes | Path, target: Path, isa: str | None = None, **options: object) -> Path:
    """Compiles for two workers of this machine, or for an instruction set."""
    compile_model(source, target, compile_cli.machines(None, isa, None, 2), **options)  # type: ignore[arg-type]
    return target


def run(source: str | bytes | Path, feeds: dict[str, np.ndarray], threads: int = 2) -> list[bytes]:
    return [np.ascontiguousarray(a).tobytes() for a in asymo.load(source, threads=threads).run(None, feeds)]


def chain(rng: np.random.Generator) -> tuple[bytes, dict[str, np.ndarray]]:
    """A convolution for Winograd, a depthwise one, a matrix product and a few small constants, over images of any size."""

    def f(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape).astype(np.float32)

    nodes = [
        node("Conv", ["x", "w1", "b1"], ["h1"], pads=[1, 1, 1, 1]),
        node("Relu", ["h1"], ["h2"]),
        node("Conv", ["h2", "w2"], ["h3"], pads=[1, 1, 1, 1], group=32),
        node("GlobalAveragePool", ["h3"], ["h4"]),
        node("Flatten", ["h4"], ["h5"]),
        node("Gemm", ["h5", "w3", "b3"], ["y"]),
    ]
    constants = {"w1": f(32, 16, 3, 3), "b1": f(32), "w2": f(32, 1, 3, 3), "w3": f(32, 37), "b3": f(37)}
    proto = model(nodes, {"x": f(1, 16, 20, 20)}, ["y"], constants)
    for i, name in enumerate(("n", "", "h", "w")):
        if name:
            proto.graph.input[0].type.tensor_type.shape.dim[i].dim_param = name
    return proto.SerializeToString(), {"x": f(1, 16, 20, 20)}


# ---- the same bits


@pytest.mark.parametrize("name", OPERATORS)
def test_same_bits_for_every_example(name: str, tmp_path: Path) -> None:
    for index, example in enumerate(ops.registered()["", name].examples()):
        proto, feeds = example_model(name, example)
        blob = proto.SerializeToString()
        try:
            file = compile_for(blob, tmp_path / f"{index}.asymo")
        except UnsupportedError:
            assert asymo.load(blob).host_ops, f"{name} example {index} needs no host"
            continue
        want = run(blob, feeds)
        assert run(file, feeds) == want, f"{name} example {index} {example.attrs}"
        assert run(file, feeds, threads=1) == want, f"{name} example {index} {example.attrs}, planned anew for one worker"


@pytest.mark.models
@pytest.mark.parametrize("name", [pytest.param(n, marks=() if n in SOME else pytest.mark.slow) for n in models.FIXED + models.REAL])
def test_same_bits_for_models(name: str, tmp_path: Path) -> None:
    feeds = models.inputs(name)
    file = compile_for(models.path(name), tmp_path / "m.asymo", shapes=[{k: v.shape for k, v in feeds.items()}])
    want = run(models.path(name), feeds)
    for threads in (2, 1):
        assert run(file, feeds, threads) == want


@pytest.mark.models
@pytest.mark.parametrize("name", models.light())
def test_same_bits_for_light_models(name: str, tmp_path: Path) -> None:
    path = models.light()[name]
    feeds = {i.name: np.ones(list(i.shape), np.float32) for i in asymo.load(path).get_inputs()}
    assert run(compile_for(path, tmp_path / "m.asymo"), feeds) == run(path, feeds)


@pytest.mark.parametrize("other", _core.isas())
def test_for_other_instruction_sets(other: str, tmp_path: Path, rng: np.random.Generator) -> None:
    blob, feeds = chain(rng)
    cell, cell_feeds = example_model("GRU", list(ops.registered()["", "GRU"].examples())[-1])
    want, want_cell = run(blob, feeds), run(cell.SerializeToString(), cell_feeds)
    file = compile_for(blob, tmp_path / "a.asymo", other, shapes=[{"x": feeds["x"].shape}])
    rnn = compile_for(cell.SerializeToString(), tmp_path / "b.asymo", other)
    before = _core.isa_name()
    try:
        _core.select_isa(other)
        for threads in (1, 2):
            assert run(file, feeds, threads) == want
            assert run(rnn, cell_feeds, threads) == want_cell
        native = compile_for(blob, tmp_path / "c.asymo", shapes=[{"x": feeds["x"].shape}])
        assert packed(native) == packed(file), "weights packed on another instruction set differ"
    finally:
        _core.select_isa(before)


def packed(file: Path) -> list[bytes]:
    opened = CompiledModel(file)
    assert opened.graph is not None
    return [array.tobytes() for _, _, array in opened.cache.entries() if array.nbytes > 256]


def test_panels_hold_each_element_where_the_kernels_look_for_it() -> None:
    for nr in (8, 16, 32):
        for k, n in ((1, 1), (5, 7), (3, 33), (0, 4), (17, 64)):
            b = np.arange(1, k * n + 1, dtype=np.float32).reshape(k, n)
            flat = layout.pack_panels(b, nr)
            assert flat.size == -(-n // nr) * nr * k
            for i in range(k):
                for j in range(n):
                    assert flat[j // nr * nr * k + i * nr + j % nr] == b[i, j]
            assert flat.sum() == b.sum()
            np.testing.assert_array_equal(layout.unpack_panels(flat, k, n, nr), b)


def test_several_instruction_sets_in_one_file(tmp_path: Path, rng: np.random.Generator) -> None:
    blob, feeds = chain(rng)
    file = compile_for(blob, tmp_path / "m.asymo", ",".join(["neon", *_core.isas()]))
    want, before = run(blob, feeds), _core.isa_name()
    try:
        for isa in _core.isas():
            _core.select_isa(isa)
            assert run(file, feeds) == want
    finally:
        _core.select_isa(before)


# ---- plans


@pytest.fixture
def no_planning(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("something is planned")

    monkeypatch.setattr(Stage, "__init__", refuse)


def test_plans_of_the_compiled_shapes_are_there(tmp_path: Path, rng: np.random.Generator, no_planning: None) -> None:
    blob, _ = chain(rng)
    file = compile_for(blob, tmp_path / "m.asymo", shapes=[{"x": (1, 16, 20, 20)}, {"x": (2, 16, 9, 31)}])
    session = asymo.load(file, threads=2)
    for shape in ((1, 16, 20, 20), (2, 16, 9, 31)):
        assert session(np.ones(shape, np.float32)).shape == (shape[0], 37)
    with pytest.raises(AssertionError, match="planned"):
        session(np.ones((1, 16, 8, 8), np.float32))


def test_weights_are_used_where_they_lie_in_the_file(tmp_path: Path, rng: np.random.Generator) -> None:
    blob, feeds = chain(rng)
    file = compile_for(blob, tmp_path / "m.asymo", shapes=[{"x": feeds["x"].shape}])
    opened = CompiledModel(file)
    (machine,) = compile_cli.machines(None, None, None, 2)
    plan = opened.ready_plan([feeds["x"].shape], machine)
    assert plan is not None
    whole = np.frombuffer(opened.archive._memory, np.uint8)
    for array in plan.constants:
        assert np.shares_memory(array, whole)
        assert not array.flags.writeable
        assert _core.address(array) % 64 == 0


def test_new_shapes_and_other_cores(tmp_path: Path, rng: np.random.Generator) -> None:
    blob, _ = chain(rng)
    file = compile_for(blob, tmp_path / "m.asymo", shapes=[{"x": (1, 16, 20, 20)}])
    session, onnx_session = asymo.load(file, threads=2), asymo.load(blob, threads=2)
    for shape in ((3, 16, 20, 20), (1, 16, 3, 3), (1, 16, 20, 20), (2, 16, 31, 7)):
        x = rng.standard_normal(shape).astype(np.float32)
        assert session(x).tobytes() == onnx_session(x).tobytes()


def test_weights_that_were_dropped(tmp_path: Path, rng: np.random.Generator) -> None:
    blob, _ = chain(rng)
    shapes = [{"x": (1, 16, 20, 20)}]
    kept = compile_for(blob, tmp_path / "kept.asymo", shapes=shapes, weights="keep")
    slim = compile_for(blob, tmp_path / "slim.asymo", shapes=shapes, weights="drop")
    assert slim.stat().st_size < kept.stat().st_size - 4 * 32 * 16 * 9 // 2
    session, onnx_session = asymo.load(slim), asymo.load(blob)
    x = rng.standard_normal((1, 16, 24, 24)).astype(np.float32)  # Winograd as well: the packed weights serve
    assert session(x).tobytes() == onnx_session(x).tobytes()
    with pytest.raises(ModelError, match=r"slim\.asymo.*compile the model again for these input shapes, or with --weights keep"):
        session(rng.standard_normal((1, 16, 1, 1)).astype(np.float32))
    assert session(x).tobytes() == onnx_session(x).tobytes()


def test_for_a_phone(tmp_path: Path, rng: np.random.Generator) -> None:
    blob, feeds = chain(rng)
    phone = from_profile(profile.load("rk3588"))
    assert compile_model(blob, tmp_path / "m.asymo", [phone], [{"x": feeds["x"].shape}]).plans == 1
    before = _core.isa_name()
    try:
        _core.select_isa("portable")  # its panels are NEON's: the file can be read here
        opened = CompiledModel(tmp_path / "m.asymo")
        plan = opened.ready_plan([feeds["x"].shape], phone)
        assert plan is not None
        assert plan.machine is not None
        assert [t.cores for t in plan.machine.types] == [t.cores for t in phone.types]
        assert opened.ready_plan([feeds["x"].shape], *compile_cli.machines(None, None, None, 1)) is None
        assert run(tmp_path / "m.asymo", feeds) == run(blob, feeds)
    finally:
        _core.select_isa(before)


# ---- what is refused


def test_foreign_panels(tmp_path: Path, rng: np.random.Generator) -> None:
    blob, _ = chain(rng)
    file = compile_for(blob, tmp_path / "m.asymo", "neon")
    before = _core.isa_name()
    try:
        for isa in _core.isas():
            _core.select_isa(isa)
            if _core.gemm_geometry()[1] == _core.geometry_of("neon")[1]:
                asymo.load(file)
                continue
            with pytest.raises(UnsupportedError, match=rf"m\.asymo.*compiled for neon.*uses {isa}.*--isa {isa}"):
                asymo.load(file)
    finally:
        _core.select_isa(before)


HOSTED = helper.make_model(
    helper.make_graph(
        [helper.make_node("Det", ["x"], ["d"], name="the determinant"), helper.make_node("Relu", ["d"], ["y"])],
        "hosted",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 3, 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [2])],
    ),
    opset_imports=[helper.make_opsetid("", 21)],
    ir_version=10,
).SerializeToString()


def test_host_steps(tmp_path: Path, rng: np.random.Generator) -> None:
    with pytest.raises(UnsupportedError, match=r"'the determinant' \(Det.*--allow-host"):
        compile_for(HOSTED, tmp_path / "m.asymo")
    file = compile_for(HOSTED, tmp_path / "m.asymo", allow_host=True)
    feeds = {"x": rng.standard_normal((2, 3, 3)).astype(np.float32)}
    assert run(file, feeds) == run(HOSTED, feeds)
    done = without(["onnx"], "import asymo, sys\nasymo.load(sys.argv[1])", str(file))
    assert done.returncode == 1
    assert "'the determinant' (Det, output 'd') has no kernel" in done.stderr
    assert "install onnx" in done.stderr


def test_a_host_step_inside_a_branch_is_found(tmp_path: Path) -> None:
    def branch(op: str) -> onnx.GraphProto:
        return helper.make_graph([helper.make_node(op, ["x"], ["b"])], op, [], [helper.make_value_info("b", onnx.TypeProto())])

    nodes = [helper.make_node("If", ["c"], ["y"], then_branch=branch("Relu"), else_branch=branch("Det"))]
    proto = model(nodes, {"c": np.array(True), "x": np.ones((2, 2), np.float32)}, ["y"], {})
    with pytest.raises(UnsupportedError, match="Det"):
        compile_for(proto.SerializeToString(), tmp_path / "m.asymo")


def test_models_in_pieces_are_planned_where_they_run(tmp_path: Path, rng: np.random.Generator) -> None:
    w = rng.standard_normal((5, 4)).astype(np.float32)
    nodes = [node("Reshape", ["x", "s"], ["r"]), node("MatMul", ["r", "w"], ["y"])]
    feeds = {"x": rng.standard_normal((4, 5)).astype(np.float32), "s": np.array([2, 2, 5])}
    blob = model(nodes, feeds, ["y"], {"w": w}).SerializeToString()
    file = compile_for(blob, tmp_path / "m.asymo")
    assert run(file, feeds) == run(blob, feeds)


# ---- with nothing but numpy and cffi


def without(packages: list[str], code: str, *args: str) -> subprocess.CompletedProcess[str]:
    """Runs code in a Python that cannot import some packages."""
    block = f"""
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {packages!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Block())
"""
    return subprocess.run([sys.executable, "-c", block + code, *args], capture_output=True, text=True, check=False)


RUN = """
import numpy as np
import asymo
session = asymo.load(sys.argv[1])
for shape in ((1, 16, 20, 20), (2, 16, 11, 5)):
    np.save(sys.argv[2] + str(shape[0]), session(np.full(shape, 0.25, np.float32)))
assert not {"onnx", "google", "psutil", "ml_dtypes"} & set(sys.modules)
"""


def test_runs_where_onnx_and_psutil_are_missing(tmp_path: Path, rng: np.random.Generator) -> None:
    blob, _ = chain(rng)
    file = compile_for(blob, tmp_path / "m.asymo", shapes=[{"x": (1, 16, 20, 20)}])
    done = without(["onnx", "google", "psutil", "ml_dtypes", "rich", "matplotlib"], RUN, str(file), str(tmp_path / "y"))
    assert done.returncode == 0, done.stderr
    session = asymo.load(blob)
    for shape in ((1, 16, 20, 20), (2, 16, 11, 5)):
        got = np.load(tmp_path / f"y{shape[0]}.npy")
        assert got.tobytes() == session(np.full(shape, 0.25, np.float32)).tobytes()


def test_a_file_that_was_written_to_is_not_planned_again(tmp_path: Path, rng: np.random.Generator) -> None:
    file = compile_for(chain(rng)[0], tmp_path / "m.asymo", shapes=[{"x": (1, 16, 20, 20)}])
    session = asymo.load(file, threads=2)
    x = np.ones((1, 16, 20, 20), np.float32)
    before = session(x).tobytes()
    with file.open("ab") as opened:
        opened.write(b"more")
    assert session(x).tobytes() == before
    with pytest.raises(ModelError, match=r"m\.asymo.*was written to"):
        session(x[:, :, :7])


# ---- the commands


def test_the_command(tmp_path: Path, rng: np.random.Generator, capsys: pytest.CaptureFixture[str]) -> None:
    blob, feeds = chain(rng)
    source, target = tmp_path / "m.onnx", tmp_path / "m.asymo"
    source.write_bytes(blob)
    assert compile_cli.main(["compile", str(source), "--shape", "x:1x16x20x20", "--shape", "x:2x16x8x8", "--threads", "2"]) == 0
    assert "2 plans" in capsys.readouterr().out
    assert run(target, feeds) == run(source, feeds)
    assert compile_cli.main(["check", str(target)]) == 0
    assert "sound" in capsys.readouterr().out
    with target.open("r+b") as file:
        file.seek(-70, 2)
        file.write(b"\xff")
    asymo.load(target)  # reads no weights yet
    assert compile_cli.main(["check", str(target)]) == 2
    assert "bytes have changed" in capsys.readouterr().err
    assert compile_cli.main(["compile", str(source), "--device", "rk3588", "--isa", "avx2"]) == 2
    assert compile_cli.main(["compile", str(source), "--isa", "z80"]) == 2
    assert compile_cli.main(["compile", str(tmp_path / "absent.onnx")]) == 2


@pytest.mark.parametrize(
    ("texts", "sets"),
    [
        ([], [{}]),
        (["x:1x2"], [{"x": (1, 2)}]),
        (["1x2"], [{"": (1, 2)}]),
        (["x:1", "y:2", "x:3"], [{"x": (1,), "y": (2,)}, {"x": (3,), "y": (2,)}]),
        (["a:b:1", "y:"], [{"a:b": (1,), "y": ()}]),
    ],
)
def test_shape_sets(texts: list[str], sets: list[dict[str, tuple[int, ...]]]) -> None:
    assert compile_cli.shape_sets(texts) == sets


@pytest.mark.parametrize("texts", [["x:1xa"], ["x:1", "x:2", "y:1", "y:2", "y:3"]])
def test_shape_sets_that_are_none(texts: list[str]) -> None:
    with pytest.raises(InvalidArgumentError, match="--shape"):
        compile_cli.shape_sets(texts)


# ---- metadata


def test_describes_itself_as_the_model_does(tmp_path: Path, rng: np.random.Generator) -> None:
    blob, _ = chain(rng)
    file = compile_for(blob, tmp_path / "m.asymo")
    for source in (file, file.read_bytes()):
        compiled, session = asymo.load(source), asymo.load(blob)
        assert compiled.get_inputs() == session.get_inputs()
        assert compiled.get_outputs() == session.get_outputs()
        assert compiled.get_modelmeta() == session.get_modelmeta()


def test_is_a_safetensors_file(tmp_path: Path, rng: np.random.Generator) -> None:
    """By the format's own rules: little-endian length, '{' first, texts only in the metadata, data without holes or overlap."""
    data = compile_for(chain(rng)[0], tmp_path / "m.asymo").read_bytes()
    n = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + n])
    assert data[8:9] == b"{"
    assert all(isinstance(v, str) for v in header.pop("__metadata__").values())
    sizes = {"U8": 1, "F32": 4, "I64": 8}
    at = 0
    for entry in sorted(header.values(), key=lambda e: e["data_offsets"]):
        begin, end = entry["data_offsets"]
        assert begin == at
        assert end - begin == int(np.prod(entry["shape"])) * sizes[entry["dtype"]]
        at = end
    assert 8 + n + at == len(data)


@pytest.mark.parametrize("size", [0, 1, 64, digest.MOST_BYTES, digest.MOST_BYTES + 1])
def test_digests_are_hashlib_s(size: int) -> None:
    data = np.random.default_rng(size).bytes(size)
    assert digest.sha256(data) == digest.sha256(np.frombuffer(data, np.uint8)) == hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("missing", [0, 1, 2])
def test_digests_need_no_private_module(missing: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digest, "MODULES", ("nothing",) * missing + ("hashlib",))
    assert digest.sha256(b"a") == hashlib.sha256(b"a").hexdigest()
