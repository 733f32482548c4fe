"""The session: the interface of ONNX Runtime's users, feeds that do not fit, bound outputs, threads, profile, fork."""

from __future__ import annotations

import gc
import json
import os
import threading
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import asymo
from asymo.errors import AsymoError, InvalidArgumentError, InvalidInputError, UnsupportedError


def model(
    nodes: list[onnx.NodeProto], inputs: dict, outputs: dict, constants: dict[str, np.ndarray] | None = None, opset: int = 17
) -> bytes:
    """A model; inputs and outputs: name -> (element type, shape)."""
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info(n, *t) for n, t in inputs.items()],
        [helper.make_tensor_value_info(n, *t) for n, t in outputs.items()],
        [numpy_helper.from_array(a, n) for n, a in (constants or {}).items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8).SerializeToString()


F = TensorProto.FLOAT
RELU = model([helper.make_node("Relu", ["x"], ["y"])], {"x": (F, ["n", 3])}, {"y": (F, ["n", 3])})


def dense(rng: np.random.Generator, m: int = 33) -> tuple[bytes, np.ndarray, np.ndarray]:
    """relu(x w + b), its weights."""
    w, b = rng.standard_normal((m, 65), np.float32), rng.standard_normal(65, np.float32)
    nodes = [helper.make_node("Gemm", ["x", "w", "b"], ["h"]), helper.make_node("Relu", ["h"], ["y"])]
    return model(nodes, {"x": (F, ["n", m])}, {"y": (F, ["n", 65])}, {"w": w, "b": b}), w, b


def test_describes_itself() -> None:
    session = asymo.InferenceSession(RELU, providers=["CPUExecutionProvider"])
    (x,), (y,) = session.get_inputs(), session.get_outputs()
    assert (x.name, x.shape, x.type) == ("x", ["n", 3], "tensor(float)")
    assert (y.name, y.shape, y.type) == ("y", ["n", 3], "tensor(float)")
    assert session.get_modelmeta().graph_name == "test"
    assert session.host_ops == {}


def test_other_providers_are_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    asymo.InferenceSession(RELU, providers=["CPUExecutionProvider"])
    assert caplog.text == ""
    asymo.InferenceSession(RELU, providers=[("CUDAExecutionProvider", {"device_id": 0}), "CPUExecutionProvider"])
    assert "CUDAExecutionProvider is not available" in caplog.text


def test_run_names_and_shapes() -> None:
    session = asymo.load(RELU)
    for n in (1, 4, 1, 7):
        x = np.random.default_rng(n).standard_normal((n, 3), np.float32)
        for result in (session.run(None, {"x": x}), session.run(["y"], {"x": x}), [session(x)], [session(x=x)]):
            np.testing.assert_array_equal(result[0], np.maximum(x, 0))
    assert len(session.plans()) == 3


def test_many_shapes_keep_few_plans() -> None:
    session = asymo.load(RELU)
    for n in range(1, 40):
        session(np.ones((n, 3), np.float32))
    assert len(session.plans()) <= 8


@pytest.mark.parametrize(
    ("feed", "says"),
    [
        ({}, "missing: x"),
        ({"x": np.zeros((1, 3), np.float32), "z": np.zeros(1, np.float32)}, "unknown: z"),
        ({"x": np.zeros((1, 3))}, "float64, the model wants float32"),
        ({"x": np.zeros((1, 4), np.float32)}, r"shape \(1, 4\)"),
        ({"x": np.zeros(3, np.float32)}, r"shape \(3,\)"),
        ({"x": "text"}, "is a str"),
        ({"x": None}, "is a NoneType"),
    ],
)
def test_feeds_that_do_not_fit(feed: dict, says: str) -> None:
    session = asymo.load(RELU)
    with pytest.raises(InvalidInputError, match=says):
        session.run(None, feed)
    np.testing.assert_array_equal(session(np.ones((1, 3), np.float32)), np.ones((1, 3)))


def test_unknown_output_and_policy() -> None:
    session = asymo.load(RELU)
    with pytest.raises(InvalidInputError, match="no output 'q'"):
        session.run(["q"], {"x": np.zeros((1, 3), np.float32)})
    with pytest.raises(InvalidArgumentError, match="policy"):
        asymo.load(RELU, policy="fast")
    with pytest.raises(InvalidArgumentError, match="cores"):
        asymo.load(RELU, cores="4095")


def test_any_strides_are_taken() -> None:
    x = np.random.default_rng(0).standard_normal((3, 14), np.float32)[:, ::2].T
    assert not x.flags.c_contiguous
    np.testing.assert_array_equal(asymo.load(RELU)(x), np.maximum(x, 0))


def test_empty_batch() -> None:
    assert asymo.load(RELU)(np.zeros((0, 3), np.float32)).shape == (0, 3)


def test_outputs_are_the_callers_own() -> None:
    """An output that is an input or a constant is a copy: writing to it changes neither."""
    nodes = [helper.make_node("Identity", ["x"], ["y"]), helper.make_node("Identity", ["c"], ["z"])]
    session = asymo.load(model(nodes, {"x": (F, [2])}, {"y": (F, [2]), "z": (F, [2])}, {"c": np.float32([5, 6])}))
    x = np.float32([1, 2])
    y, z = session.run(None, {"x": x})
    y[:], z[:] = 0, 0
    np.testing.assert_array_equal(x, [1, 2])
    np.testing.assert_array_equal(session.run(["z"], {"x": x})[0], [5, 6])


def test_a_bound_output_may_be_an_input() -> None:
    session = asymo.load(model([helper.make_node("Transpose", ["x"], ["y"])], {"x": (F, [67, 67])}, {"y": (F, [67, 67])}))
    x = np.random.default_rng(0).standard_normal((67, 67), np.float32)
    expected = x.T.copy()
    binding = session.io_binding()
    binding.bind_cpu_input("x", x)
    binding.bind_cpu_output("y", x)
    session.run_with_iobinding(binding)
    np.testing.assert_array_equal(x, expected)


@pytest.mark.parametrize("feed", [None, [np.zeros((1, 3), np.float32)]], ids=["nothing", "list"])
def test_what_is_no_feed(feed: Any) -> None:
    with pytest.raises(InvalidInputError, match="give a dict"):
        asymo.load(RELU).run(None, feed)


def test_more_arrays_than_inputs() -> None:
    x = np.zeros((1, 3), np.float32)
    with pytest.raises(InvalidInputError, match="2 arrays for 1 inputs"):
        asymo.load(RELU)(x, x)


def test_a_name_is_no_list_of_names() -> None:
    with pytest.raises(InvalidInputError, match="list of names"):
        asymo.load(RELU).run("y", {"x": np.zeros((1, 3), np.float32)})


@pytest.mark.parametrize("threads", ["4", 2.5, None, -1], ids=str)
def test_numbers_of_threads_that_are_none(threads: Any) -> None:
    options = asymo.SessionOptions()
    options.intra_op_num_threads = threads
    with pytest.raises(InvalidArgumentError, match="intra_op_num_threads"):
        asymo.InferenceSession(RELU, options)


def test_broadcast_over_more_axes_than_a_step_has() -> None:
    nodes = [helper.make_node("Add", ["a", "b"], ["y"])]
    with pytest.raises(UnsupportedError, match="10 axes"):
        asymo.load(model(nodes, {"a": (F, [1, 2] * 5), "b": (F, [2, 1] * 5)}, {"y": (F, [2] * 10)}))


def test_bound_outputs_receive_the_results() -> None:
    rng = np.random.default_rng(3)
    data, w, b = dense(rng)
    session = asymo.load(data)
    binding = session.io_binding()
    x, y = rng.standard_normal((5, 33), np.float32), np.full((5, 65), np.nan, np.float32)
    binding.bind_cpu_input("x", x)
    binding.bind_cpu_output("y", y)
    session.run_with_iobinding(binding)
    np.testing.assert_allclose(y, np.maximum(x @ w + b, 0), rtol=1e-4, atol=1e-4)
    assert binding.copy_outputs_to_cpu()[0] is y
    binding.bind_cpu_output("y", np.empty((4, 65), np.float32))
    with pytest.raises(InvalidInputError, match="bound to it"):
        session.run_with_iobinding(binding)


def test_run_from_several_threads() -> None:
    rng = np.random.default_rng(4)
    data, w, b = dense(rng)
    session = asymo.load(data, threads=2)
    failures: list[str] = []

    def work(seed: int) -> None:
        mine = np.random.default_rng(seed)
        for _ in range(40):
            x = mine.standard_normal((int(mine.integers(1, 6)), 33), np.float32)
            if not np.allclose(session(x), np.maximum(x @ w + b, 0), rtol=1e-4, atol=1e-4):
                failures.append(f"thread {seed}")

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_two_sessions_share_or_split_the_cores() -> None:
    data, w, b = dense(np.random.default_rng(5))
    x = np.ones((9, 33), np.float32)
    expected = np.maximum(x @ w + b, 0)
    cpus = sorted(os.sched_getaffinity(0))
    for first, second in ((None, None), (str(cpus[0]), str(cpus[-1]))):
        a, c = asymo.load(data, cores=first), asymo.load(data, cores=second)
        np.testing.assert_allclose(a(x), expected, rtol=1e-4, atol=1e-4)
        np.testing.assert_array_equal(a(x), c(x))


def test_the_callers_mask_is_left_alone() -> None:
    before = os.sched_getaffinity(0)
    asymo.load(RELU, cores=str(min(before)))(np.ones((2, 3), np.float32))
    assert os.sched_getaffinity(0) == before


def test_profile_is_a_chrome_trace(tmp_path: Path) -> None:
    data, *_ = dense(np.random.default_rng(6))
    options = asymo.SessionOptions(enable_profiling=True, profile_file_prefix=str(tmp_path / "trace"))
    session = asymo.InferenceSession(data, options)
    session(np.ones((5, 33), np.float32))
    session(np.ones((5, 33), np.float32))
    events = json.loads(Path(session.end_profiling()).read_text())["traceEvents"]
    spans = [e for e in events if e["ph"] == "X"]
    steps = len(session.plans()[0].steps)
    assert len(spans) >= 2 * steps
    assert all(e["dur"] >= 0 and e["ts"] >= 0 and e["args"]["op_name"] for e in spans)
    with pytest.raises(InvalidArgumentError, match="enable_profiling"):
        asymo.load(RELU).end_profiling()


def test_host_steps_are_named(caplog: pytest.LogCaptureFixture) -> None:
    """NonZero's output shape depends on its elements: the graph is planned in pieces around it."""
    nodes = [
        helper.make_node("Relu", ["x"], ["r"]),
        helper.make_node("NonZero", ["r"], ["i"], name="where"),
        helper.make_node("Transpose", ["i"], ["t"]),
        helper.make_node("GatherND", ["r", "t"], ["g"]),
        helper.make_node("Add", ["g", "one"], ["y"]),
    ]
    data = model(nodes, {"x": (F, [2, 3])}, {"y": (F, ["k"])}, {"one": np.float32([1])})
    session = asymo.load(data)
    assert "where" in session.host_ops
    assert session.host_ops["where"] == "NonZero"
    assert "NonZero" in caplog.text
    for seed in range(5):
        x = np.random.default_rng(seed).standard_normal((2, 3), np.float32)
        np.testing.assert_array_equal(session(x), x[x > 0] + 1)


def test_shapes_that_depend_on_elements() -> None:
    """Reshape's target is fed: no host step, and a new target means a new plan."""
    nodes = [helper.make_node("Relu", ["x"], ["r"]), helper.make_node("Reshape", ["r", "s"], ["q"]), helper.make_node("Neg", ["q"], ["y"])]
    session = asymo.load(model(nodes, {"x": (F, [2, 6]), "s": (TensorProto.INT64, [2])}, {"y": (F, ["a", "b"])}))
    x = np.random.default_rng(0).standard_normal((2, 6), np.float32)
    for shape in ([3, 4], [4, 3], [-1, 2], [3, 4]):
        np.testing.assert_array_equal(session(x, np.array(shape)), -np.maximum(x, 0).reshape(shape))
    assert session.host_ops == {}


@pytest.mark.parametrize("taken", [True, False])
def test_if_on_a_fed_condition(taken: bool) -> None:
    def branch(op: str) -> onnx.GraphProto:
        out = helper.make_tensor_value_info(f"{op}_out", F, None)
        return helper.make_graph([helper.make_node(op, ["r"], [f"{op}_out"])], op, [], [out])

    nodes = [
        helper.make_node("Abs", ["x"], ["r"]),
        helper.make_node("If", ["c"], ["y"], then_branch=branch("Neg"), else_branch=branch("Sqrt")),
    ]
    session = asymo.load(model(nodes, {"x": (F, [3]), "c": (TensorProto.BOOL, [])}, {"y": (F, [3])}))
    x = np.float32([1, -4, 9])
    np.testing.assert_allclose(session(x, np.array(taken)), -np.abs(x) if taken else np.sqrt(np.abs(x)), rtol=1e-6)
    assert session.host_ops == {}


def test_steady_runs_allocate_their_outputs_only() -> None:
    data, *_ = dense(np.random.default_rng(8))
    session = asymo.load(data, threads=2)
    x = np.ones((2000, 33), np.float32)
    session(x)
    session(x)
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    y = session(x)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert y.nbytes <= peak - before <= y.nbytes + 4096


def test_fork_gives_a_clear_answer() -> None:
    """A session made before fork works in the child or says what to do; it does not hang."""
    data, w, b = dense(np.random.default_rng(7), 33)
    session = asymo.load(data, threads=2)
    x = np.ones((64, 33), np.float32)
    session(x)
    child = os.fork()
    if child == 0:
        try:
            session(x)
            os._exit(0)
        except AsymoError as error:
            os._exit(0 if "fork" in str(error) else 3)
        except BaseException:
            os._exit(4)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    np.testing.assert_allclose(session(x), np.maximum(x @ w + b, 0), rtol=1e-4, atol=1e-4)


def test_stats_tell_what_each_worker_did() -> None:
    data, *_ = dense(np.random.default_rng(9))
    session = asymo.load(data)
    session(np.ones((3000, 33), np.float32))
    stats = session.stats()
    assert [w.cpu for w in stats.workers] == session.placement
    assert {w.type for w in stats.workers} <= {"all", "big", "little"} | {f"mid{i}" for i in ("", 1, 2)}
    assert sum(w.units for w in stats.workers) > 0
    assert sum(w.share for w in stats.workers) == pytest.approx(1)
    assert all(0 <= w.utilisation <= 1 for w in stats.workers)
    assert stats.workers[0].busy_ns > 0
    assert stats.replans == 0
    assert "utilisation" in str(stats)
    assert len(str(stats).splitlines()) == len(stats.workers) + 2
    session.reset_stats()
    assert all(w.units == w.busy_ns == 0 for w in session.stats().workers)


# ---- the rest of ONNX Runtime's interface


def test_options_by_onnx_runtimes_names(caplog: pytest.LogCaptureFixture) -> None:
    options = asymo.SessionOptions()
    options.graph_optimization_level = asymo.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.execution_mode = asymo.ExecutionMode.ORT_SEQUENTIAL
    session = asymo.InferenceSession(RELU, options, providers=asymo.get_available_providers())
    assert caplog.text == ""
    assert session.get_session_options() is options
    assert set(session.get_provider_options()) == set(session.get_providers()) == set(asymo.get_available_providers())
    assert session.get_overridable_initializers() == []
    assert asymo.get_device() == "CPU"


def test_free_dimensions_are_given_sizes() -> None:
    options = asymo.SessionOptions()
    options.add_free_dimension_override_by_name("n", 5)
    session = asymo.InferenceSession(RELU, options)
    assert len(session.plans()) == 1, "planned when it was made"
    assert session.get_inputs()[0].shape == [5, 3]
    with pytest.raises(InvalidInputError, match="wants"):
        session.run(None, {"x": np.zeros((4, 3), np.float32)})
    with pytest.raises(InvalidArgumentError, match="'n'"):
        options.add_free_dimension_override_by_name("n", -1)


@pytest.mark.parametrize("source", [RELU, b"no model"])
def test_loading_leaves_the_collector_as_it_was(source: bytes) -> None:
    for is_on in (False, True):
        (gc.enable if is_on else gc.disable)()
        try:
            asymo.InferenceSession(source).run(None, {"x": np.zeros((4, 3), np.float32)})
        except asymo.ModelError:
            assert source != RELU
        assert gc.isenabled() is is_on


@pytest.mark.parametrize("form", ["run", "run_with_iobinding", "run_with_ort_values", "run_async"])
def test_terminated_runs_do_not_begin(form: str) -> None:
    session = asymo.InferenceSession(RELU)
    x = np.float32([[-1, 0, 2]])
    options = asymo.RunOptions()
    binding = session.io_binding()
    binding.bind_cpu_input("x", x)
    binding.bind_output("y")
    heard: list[tuple] = []
    answered = threading.Event()

    def answer(*args: Any) -> None:
        heard.append(args)
        answered.set()

    def run() -> Any:
        if form == "run":
            return session.run(None, {"x": x}, options)
        if form == "run_with_iobinding":
            session.run_with_iobinding(binding, options)
            return binding.copy_outputs_to_cpu()
        if form == "run_with_ort_values":
            return [v.numpy() for v in session.run_with_ort_values(None, {"x": asymo.OrtValue(x)}, options)]
        answered.clear()
        session.run_async(["y"], {"x": x}, answer, "mine", options)
        assert answered.wait(30)
        results, user_data, error = heard[-1]
        assert user_data == "mine"
        if error:
            raise asymo.TerminatedError(error)
        return results

    np.testing.assert_array_equal(run()[0], [[0, 0, 2]])
    options.terminate = True
    with pytest.raises(asymo.TerminatedError, match="terminate"):
        run()


def test_memory_of_others_is_bound_by_its_address() -> None:
    session = asymo.InferenceSession(RELU)
    x, y = np.float32([[-1, 0, 2], [3, -4, 5]]), np.full((2, 3), np.nan, np.float32)
    binding = session.io_binding()
    binding.bind_input("x", "cpu", 0, np.float32, x.shape, x.ctypes.data)
    binding.bind_output("y", "cpu", 0, np.float32, y.shape, y.ctypes.data)
    session.run_with_iobinding(binding)
    np.testing.assert_array_equal(y, [[0, 0, 2], [3, 0, 5]])
    assert binding.get_outputs()[0].data_ptr() == y.ctypes.data
    with pytest.raises(InvalidArgumentError, match=r"'y'.*shape"):
        binding.bind_output("y", buffer_ptr=y.ctypes.data)


def test_ort_values_tell_what_they_hold() -> None:
    x = np.float32([[1, 2]])
    value = asymo.OrtValue.from_dlpack(x)
    assert (value.data_type(), value.shape(), value.tensor_size_in_bytes()) == ("tensor(float)", [1, 2], 8)
    assert value.data_ptr() == x.ctypes.data
    value.update_inplace(np.float32([[3, 4]]))
    np.testing.assert_array_equal(x, [[3, 4]])
    with pytest.raises(InvalidArgumentError, match="cannot replace"):
        value.update_inplace(np.float32([3, 4]))
