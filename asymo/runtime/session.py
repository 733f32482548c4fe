"""Sessions: the API that ONNX Runtime users know, over stages."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from time import monotonic
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

import numpy as np

from asymo import log
from asymo.collector import age, held
from asymo.errors import InvalidArgumentError, InvalidInputError, TerminatedError
from asymo.graph.ir import TensorType
from asymo.onnx.reader import ModelMeta, NodeArg
from asymo.plan.plan import Plan
from asymo.runtime import late
from asymo.runtime.crew import Crew, everyone
from asymo.runtime.iobinding import IOBinding, OrtValue
from asymo.runtime.options import PROVIDERS, RunOptions, SessionOptions, with_sizes
from asymo.runtime.stage import Arena, Env, Segment, Stage, Tools, bind
from asymo.runtime.team import Team, look_ahead, wish

if TYPE_CHECKING:
    from asymo.device.frequency import Outcome
    from asymo.plan.frequency import Choice, Policy
    from asymo.runtime.stats import SessionStats


STAGES = 8
"""Plans kept per session, one for each set of input shapes (least recently used go first)."""


_sessions: WeakSet[InferenceSession] = WeakSet()


def _in_child() -> None:
    """After fork(): another thread, which is not here, may have held a session's lock."""
    for session in _sessions:
        session._lock = threading.Lock()
        session._team.forked()


os.register_at_fork(after_in_child=_in_child)


class InferenceSession:
    """A model, ready to run.

    Args:
        path_or_bytes: an ONNX file, an `.asymo` file (`asymo compile`), or the bytes of one.
        sess_options: see `SessionOptions`.
        providers, provider_options: accepted as ONNX Runtime takes them; everything runs on the CPU, and another provider is warned of.
        cores: "all" (default), "big", "little", a list such as "0-3,6", or CPU ids. Sessions on disjoint sets run side by side.
        policy: "latency" (default: all cores, clocks as they are), "energy", "balanced" (least energy x time), `Deadline(ms)` or
            `Power(watts)`: cores and clocks are chosen by a model of time and energy at the first plan (docs/energy.md). Clocks are set
            where this is allowed, and put back by `close`, at the end of the session and of the process; else cores alone are chosen, and
            a warning says what would have been set.

    Raises:
        ModelError: the model is broken; UnsupportedOperatorError: nobody implements one of its operators.

    `run` may be called from several threads; calls of one session are done one after the other. Models with fixed input shapes are
    planned here, others at the first run of each set of shapes.
    """

    @held()
    def __init__(
        self,
        path_or_bytes: str | bytes | os.PathLike[str],
        sess_options: SessionOptions | None = None,
        providers: Sequence[Any] | None = None,
        provider_options: Sequence[Any] | None = None,
        *,
        cores: str | Sequence[int] | None = None,
        policy: Policy = "latency",
    ) -> None:
        self._clocks = late.clocks(policy)
        for provider in providers or ():
            name = provider if isinstance(provider, str) else provider[0]
            if name not in PROVIDERS:
                log.warning("provider %s is not available and is passed over; there are %s", name, ", ".join(PROVIDERS))
        late.recover_clocks()
        look_ahead()
        open_model = late.model_class(path_or_bytes)
        self._options = sess_options or SessionOptions()
        self._lock = threading.Lock()
        spin_ns = None if self._options.may_spin else 0
        self._team = Team(wish(cores, self._options.intra_op_num_threads), spin_ns)
        self._model = open_model(path_or_bytes)
        sizes = self._options.free_dimensions
        self._meta = self._model.meta.with_sizes(sizes)
        self._tools = Tools(self._team.crew.machine, self._team.pool, self._model.cache, self._model.host_step, self._model.files, Arena())
        self._stages: OrderedDict[Any, Stage] = OrderedDict()
        self._wanted_types = tuple((name, with_sizes(type, sizes)) for name, type in self._model.inputs)
        self._input_names = tuple(name for name, _ in self._wanted_types)
        self._input_types = tuple(type for _, type in self._wanted_types)
        self._output_names = tuple(d.name for d in self._meta.outputs)
        self._passed_through = tuple(n for n in self._output_names if n in self._input_names)
        self._host_ops: dict[str, str] = {}
        self.profile = late.profile() if self._options.enable_profiling else None
        types = [t for t in self._input_types if t is not None and t.is_concrete]
        if len(types) == len(self._input_types):
            self._stages[tuple(t.dims for t in types)] = self._plan(types)
        _sessions.add(self)

    # ---- what it is

    def get_inputs(self) -> list[NodeArg]:
        return list(self._meta.inputs)

    def get_outputs(self) -> list[NodeArg]:
        return list(self._meta.outputs)

    def get_modelmeta(self) -> ModelMeta:
        return self._meta

    def get_providers(self) -> list[str]:
        return list(PROVIDERS)

    def get_provider_options(self) -> dict[str, dict[str, str]]:
        return {name: {} for name in PROVIDERS}

    def get_session_options(self) -> SessionOptions:
        return self._options

    def get_overridable_initializers(self) -> list[NodeArg]:
        """None: initialisers are constants here."""
        return []

    @property
    def host_ops(self) -> dict[str, str]:
        """Nodes that ran, or will run, on the host so far: node name -> operator. Empty for a fully native model."""
        return dict(self._host_ops)

    @property
    def placement(self) -> list[int]:
        """The CPU of each worker, -1 where it is not pinned."""
        return self._team.pool.placement()

    @property
    def choice(self) -> Choice | None:
        """The cores and clocks that the policy has chosen, and the time and energy that its model predicts; None before the first plan, and
        for policy "latency"."""
        return self._clocks.choice if self._clocks is not None else None

    @property
    def clocks(self) -> tuple[Outcome, ...]:
        """What became of each clock that the policy wanted set; () where nothing was tried."""
        return self._clocks.outcomes if self._clocks is not None else ()

    def close(self) -> None:
        """Puts back the clocks that the policy has set. The session still runs."""
        if self._clocks is not None:
            self._clocks.close()

    def stats(self) -> SessionStats:
        """What each worker has done: where it is pinned, its core type, times, chunks, steals. Prints as a table. Costs runs nothing."""
        return self._team.stats()

    def reset_stats(self) -> None:
        """Sets the counters of `stats` to 0, for every session on the same cores. Waits for a run that is under way."""
        self._team.pool.reset_stats()

    def plans(self) -> list[Plan]:
        """The plans made so far, one for each native segment, most recent shapes last."""
        return [segment.plan for segment in self._segments()]

    def _segments(self) -> list[Segment]:
        stages = list(self._stages.values())
        for stage in stages:  # it grows as it is walked
            stages += stage.successors
        return [stage.segment for stage in stages]

    # ---- running

    def run(
        self, output_names: Sequence[str] | None, input_feed: Mapping[str, np.ndarray], run_options: RunOptions | None = None
    ) -> list[Any]:
        """Runs the model.

        Args:
            output_names: names of the wanted outputs in the wanted order, None for all.
            input_feed: input name -> array of the declared dtype. C-contiguous arrays are read in place, others are copied.

        Returns: one array per output (for sequence outputs a list of arrays).
        Raises InvalidInputError for a feed that does not fit the model, TerminatedError where run_options say so.
        """
        if run_options is not None:
            self._go(run_options)
        with self._lock:
            if (began := monotonic()) >= self._team.due:
                self._look_around()
            arrays = self._checked(input_feed)
            stage = self._stage(arrays)
            if stage.is_whole and self.profile is None:
                results = stage.segment(arrays)
            else:
                env = self._walk(stage, arrays, {})
                results = [env[name] for name in self._output_names]
            if self._clocks is not None and (change := self._clocks.ran(monotonic() - began)) is not None:
                self._confine(change)
                self._stages.clear()
        if output_names is None:
            return results
        if isinstance(output_names, str):
            raise InvalidInputError(f"output_names={output_names!r}: give a list of names")
        unknown = [name for name in output_names if name not in self._output_names]
        if unknown:
            raise InvalidInputError(f"the model has no output {unknown[0]!r}; it has {', '.join(self._output_names)}")
        return [results[self._output_names.index(name)] for name in output_names]

    def __call__(self, *arrays: np.ndarray, **named: np.ndarray) -> Any:
        """session(x) or session(name=x): the inputs in order or by name; one output alone, several as a list."""
        if len(arrays) > len(self._input_names):
            raise InvalidInputError(f"{len(arrays)} arrays for {len(self._input_names)} inputs")
        results = self.run(None, {**dict(zip(self._input_names, arrays, strict=False)), **named})
        return results[0] if len(results) == 1 else results

    def run_with_iobinding(self, iobinding: IOBinding, run_options: RunOptions | None = None) -> None:
        """Runs on bound arrays; outputs are written into the bound arrays where there are any.
        Inputs that share memory with a bound output are copied first."""
        if run_options is not None:
            self._go(run_options)
        with self._lock:
            if monotonic() >= self._team.due:
                self._look_around()
            arrays = self._checked(iobinding.inputs)
            targets = iobinding.targets.values()
            arrays = [a.copy() if isinstance(a, np.ndarray) and any(np.may_share_memory(a, t) for t in targets) else a for a in arrays]
            results = self._walk(self._stage(arrays), arrays, iobinding.targets)
        iobinding.store(results)

    def _look_around(self) -> None:
        """Plans anew at the next shapes if other workers have taken over: the machine is not what it was."""
        if self._team.changed((segment.plan, segment.learned()) for segment in self._segments()):
            if self._clocks is not None:
                self._clocks.choice = None
                self._team.confine(everyone)
            self._tools = self._tools._replace(machine=self._team.crew.machine, pool=self._team.pool)
            self._stages.clear()

    def run_async(
        self,
        output_names: Sequence[str] | None,
        input_feed: Mapping[str, np.ndarray],
        callback: Callable[[list[Any], Any, str], Any],
        user_data: Any,
        run_options: RunOptions | None = None,
    ) -> None:
        """Runs the model in a thread of its own, which then calls callback(results, user_data, error): the error's text is empty after a
        run that went well, and results are empty after one that did not."""

        def work() -> None:
            try:
                results, error = self.run(output_names, input_feed, run_options), ""
            except Exception as reason:  # the callback is the only one to tell
                results, error = [], str(reason)
            callback(results, user_data, error)

        threading.Thread(target=work, name="asymo run_async").start()

    @staticmethod
    def _go(run_options: RunOptions) -> None:
        if run_options.terminate:
            raise TerminatedError("RunOptions.terminate is set: the run was not begun; set it to False, or make other RunOptions")

    def io_binding(self) -> IOBinding:
        return IOBinding(self._output_names)

    def run_with_ort_values(
        self, output_names: Sequence[str] | None, input_dict_ort_values: Mapping[str, OrtValue], run_options: RunOptions | None = None
    ) -> list[OrtValue]:
        results = self.run(output_names, {name: value.numpy() for name, value in input_dict_ort_values.items()}, run_options)
        return [OrtValue(r) for r in results]

    def _checked(self, feed: Mapping[str, Any]) -> list[Any]:
        """The feed as C-contiguous arrays of the declared dtypes, in the order of the inputs."""
        names = self._input_names
        if feed.__class__ is not dict and not isinstance(feed, Mapping):
            raise InvalidInputError(f"the feed is a {feed.__class__.__name__}; give a dict of input names and arrays")
        if len(feed) != len(names):
            return self._checked(dict(zip(names, self._match_names(feed), strict=True)))
        arrays = []
        try:
            for name, type in self._wanted_types:
                array = feed[name]
                if type is not None and (
                    array.__class__ is not np.ndarray
                    or (array.dtype is not type.dtype and array.dtype != type.dtype)
                    or not array.flags.c_contiguous
                ):
                    array = self._as_array(name, array, type)
                arrays.append(array)
        except KeyError:
            self._match_names(feed)
            raise
        return arrays

    def _stage(self, arrays: list[Any]) -> Stage:
        """The first stage for these shapes."""
        key = tuple([getattr(a, "shape", None) for a in arrays])
        stage = self._stages.get(key)
        if stage is None:
            return self._new_stage(key, arrays)
        if len(self._stages) > 1:
            self._stages.move_to_end(key)
        return stage

    def _walk(self, stage: Stage | None, arrays: list[Any], targets: Mapping[str, np.ndarray]) -> Env:
        """Runs stage after stage. Returns the values by name; arrays in `targets` receive the outputs of their names."""
        wanted = self._output_names
        env: Env = dict(zip(self._input_names, arrays, strict=True))
        while stage is not None:
            for name, constant in stage.results.items():
                env[name] = constant.copy() if name in wanted else constant
            inputs = [env[name] for name in stage.inputs]
            segment = stage.segment
            if self.profile is not None:
                outputs = segment.timed(inputs, times := self.profile.begin(segment.plan, self._tools.pool.workers))
                self.profile.end(segment.plan, times, self.placement)
            else:
                outputs = segment.into(inputs, stage.outputs, targets)
            env.update(zip(stage.outputs, outputs, strict=True))
            if stage.has_rest:
                self._note_host_ops(stage)
            stage = stage.go_on(env, wanted)
        for name in self._passed_through:
            env[name] = env[name].copy()
        for name, target in targets.items():
            if env[name] is not target:
                self._store(name, env[name], target)
        return env

    def _plan(self, types: Sequence[TensorType]) -> Stage:
        stage = self._planned(types)
        if self._clocks is not None and self._clocks.choice is None and stage.segment.plan.steps:
            self._confine(self._clocks.settle(stage.segment.plan, self._team.crew))
            stage = self._planned(types)
        self._note_host_ops(stage)
        return stage

    def _confine(self, change: Callable[[Crew], Crew]) -> None:
        """Plans for other cores or clocks from now on."""
        self._team.confine(change)
        self._tools = self._tools._replace(machine=self._team.crew.machine, pool=self._team.pool)

    def _planned(self, types: Sequence[TensorType]) -> Stage:
        ready = self._model.ready_plan([t.dims for t in types if t is not None], self._tools.machine) if self._team.replans == 0 else None
        if ready is None:
            return Stage(bind(self._model.graph, types), self._tools)
        stage = Stage.of_plan(ready, self._tools)
        age()
        return stage

    @held()
    def _new_stage(self, key: tuple[Any, ...], arrays: list[Any]) -> Stage:
        types: list[Any] = []
        for name, array, type in zip(self._input_names, arrays, self._input_types, strict=True):
            if type is not None:
                self._check_shape(name, array.shape, type)
                type = TensorType(array.dtype, array.shape)
            types.append(type)
        stage = self._stages[key] = self._plan(types)
        if len(self._stages) > STAGES:
            self._stages.popitem(last=False)
        return stage

    def _note_host_ops(self, stage: Stage) -> None:
        for host_call in stage.host_calls:
            node = host_call.node
            name = node.name or next(v.name for v in node.outputs if v is not None)
            if name not in self._host_ops:
                self._host_ops[name] = node.op
                log.warning("%s has no native kernel for these types and runs on the host through onnx.reference", node.where)

    # ---- checking feeds

    def _match_names(self, feed: Mapping[str, Any]) -> list[Any]:
        missing = [n for n in self._input_names if n not in feed]
        extra = [n for n in feed if n not in self._input_names]
        fixed = [n for n in extra if n in self._meta.overridable]
        if fixed:
            raise InvalidInputError(
                f"input {fixed[0]!r} has an initialiser and is a constant here; take the initialiser out of the model to feed it"
            )
        if missing or extra:
            raise InvalidInputError(
                f"the model's inputs are {', '.join(self._input_names) or 'none'}"
                + (f"; missing: {', '.join(missing)}" if missing else "")
                + (f"; unknown: {', '.join(extra)}" if extra else "")
            )
        return [feed[n] for n in self._input_names]

    def _as_array(self, name: str, array: Any, type: TensorType) -> np.ndarray:
        if isinstance(array, OrtValue):
            array = array.numpy()
        if not isinstance(array, np.ndarray | np.generic | list | tuple | int | float):
            raise InvalidInputError(f"input {name!r} is a {array.__class__.__name__}; give a numpy array of {type.dtype}")
        x: np.ndarray = np.asarray(array) if isinstance(array, np.ndarray | np.generic) else np.asarray(array, type.dtype)
        if x.dtype != type.dtype:
            both_text = x.dtype.kind in "OUST" and type.dtype.kind in "OUST"
            if not both_text:
                raise InvalidInputError(f"input {name!r} is {x.dtype}, the model wants {type.dtype}: use .astype({type.dtype.name!r})")
        return x if x.flags.c_contiguous else np.ascontiguousarray(x).reshape(x.shape)

    def _check_shape(self, name: str, shape: tuple[int, ...], type: TensorType) -> None:
        declared = type.shape
        if declared is None:
            return
        if len(declared) != len(shape) or any(isinstance(d, int) and d != s for d, s in zip(declared, shape, strict=True)):
            raise InvalidInputError(f"input {name!r} has shape {shape}, the model wants {declared}")

    def _store(self, name: str, result: Any, target: np.ndarray) -> None:
        if not isinstance(result, np.ndarray) or result.shape != target.shape or result.dtype != target.dtype:
            what = f"{result.dtype}{result.shape}" if isinstance(result, np.ndarray) else result.__class__.__name__
            raise InvalidInputError(f"output {name!r} is {what}, the array bound to it is {target.dtype}{target.shape}")
        target[...] = result

    # ---- profile

    def end_profiling(self) -> str:
        """Writes what was recorded since the session was made as Chrome trace JSON and returns the file's path. Needs
        SessionOptions.enable_profiling. Opens in ui.perfetto.dev and chrome://tracing."""
        if self.profile is None:
            raise InvalidArgumentError("nothing was recorded: set SessionOptions.enable_profiling before the session is made")
        return self.profile.write(self._options.profile_file_prefix)


def load(
    path_or_bytes: str | bytes | os.PathLike[str],
    *,
    cores: str | Sequence[int] | None = None,
    policy: Policy = "latency",
    threads: int = 0,
) -> InferenceSession:
    """A session on a model: `asymo.load("model.onnx")(x)`. See `InferenceSession`."""
    return InferenceSession(path_or_bytes, SessionOptions(intra_op_num_threads=threads), cores=cores, policy=policy)
