"""Measures how fast the kernels are on every core type of this machine.

    machine = calibrate.measure(topology)            seconds: one core of each type, then all of it

asymo/cost/calibration.py keeps the result, and gives it to the planner.

Every probe (asymo/cost/probes.py) runs three times in a row, each time with its input just written by a step before it, as in a model:

    cold  memory the size of the last-level cache has been read since: the weights come from memory
    warm  memory the size of L2 has been read since: the weights come from the last-level cache
    hot   again at once: the weights are where they fit

All probes take turns, so that a slow moment of the machine spoils one sample of each; before and after each the cores compute a fixed
product (asymo/cost/pace.py), and samples count where it took its best time. The estimate is a low quantile of the samples; the spread is
theirs. `fit.rates` turns the times of a kernel class into seconds per feature.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from math import ceil
from typing import NamedTuple

import numpy as np

from asymo import _core
from asymo.cost import features, fit, pace, probes, speeds, steps
from asymo.cost.calibration import fingerprint
from asymo.cost.features import Gaps, Touched
from asymo.cost.probes import Probe
from asymo.cost.speeds import Machine, Rates, TypeSpeeds
from asymo.device.topology import Topology

__all__ = ["describe", "measure"]

SECONDS, QUICK_SECONDS = 16.0, 1.0
"""What a calibration may take, and its quick form."""

SPREAD = 0.03
"""Rounds go on until the samples of the typical probe of every class spread no more than this, or the time is up."""

UNKNOWN_SPREAD = 0.1
"""Reported at least, where there was no time for MIN_ROUNDS."""

MIN_ROUNDS, MAX_ROUNDS, QUANTILE = 5, 60, 0.25
TOUCHED_B = 4e9
"""Bytes a second that a model touches: 12 MB in 1.6 ms (MobileNetV3-small) to 50 MB in 18 ms (ResNet-18, one core of a Zen 4)."""

HALF_WAY = 1.25
"""Times its size are touched when half of a cache's bytes are no longer there (features.misses)."""

EVICT_LIMIT = 64 << 20
"""Bytes touched to empty the last-level cache, at most."""

SMALL = 0.25
"""Outputs of less than this part of what empties L2 have been in use shortly before, as in a model, even where weights come from memory."""

BLOCK = 256
"""Floats that a core writes before the next one does."""

BEST = 0.05
"""Quantile of all paces that is taken for the best one: samples count at it (pace.calm)."""

GROUP_BYTES = 12 << 20
"""Weights of the probes that share an emptying of the last-level cache."""

STREAMS_MB, STREAM_VISITS = (2, 4, 8, 12, 16, 24, 32, 48, 64), 4
"""Sizes of streams that look for the last-level cache, and how often each has its turn."""

Progress = Callable[[float], None]


# ---- measuring


class Sample(NamedTuple):
    """One probe in one state: its class, counts, and of every round its core-seconds and the pace around it."""

    name: str
    counts: tuple[float, ...]
    seconds: list[float]
    paces: list[float]

    def calm(self, best: float) -> Sample:
        """What counts of it."""
        rounds = pace.calm(self.paces, best)
        return self._replace(seconds=[self.seconds[i] for i in rounds], paces=[self.paces[i] for i in rounds])


class _Group:
    """A program of some probes: the last-level cache is emptied, all run cold; then each runs warm and hot."""

    def __init__(self, group: Sequence[Probe], rig: _Rig) -> None:
        self.samples: list[Sample] = []
        self._pool = rig.pool
        self._at: list[int] = []
        self._scratch = 0
        arrays = [o for probe in group for o in probe.operands if isinstance(o, np.ndarray)]
        program = self._program = _core.Program(22 * len(group) + 4)
        self._slots = _core.Slots(rig.FIXED + len(arrays))
        for slot, array in enumerate((rig.fed, rig.weights, rig.out, rig.evicted, rig.sink, rig.added, rig.product, *arrays)):
            self._slots[slot] = array
        refs, place, slot = [], {rig.WEIGHTS: 0, rig.OUT: 0}, rig.FIXED
        for probe in group:
            found, slot = self._refs(probe, rig, place, slot)
            refs.append(found)
        rig.add_eviction(program, rig.far_bytes)
        self._paces = [self._add_pace()]
        for probe, where in zip(group, refs, strict=True):
            if probe.added:
                self._write((rig.ADDED, 0), probe.added)
                rig.add_eviction(program, rig.near_bytes)
            output = self._output(probe, where)
            is_small = 4 * output[1] < SMALL * rig.near_bytes
            if is_small:
                self._write(*output)
            self._add(probe, where, rig, rig.far_bytes, 0 if is_small else rig.far_bytes)
        for probe, where in zip(group, refs, strict=True):
            program.add(probe.kind, probe.args, where)
            self._write(*self._output(probe, where))
            self._add(probe, where, rig, 0, 0)
            self._write(*self._output(probe, where))
            rig.add_eviction(program, rig.near_bytes)
            self._add(probe, where, rig, rig.near_bytes, rig.near_bytes)
        self._times = np.zeros((len(program), rig.pool.workers, 2), np.int64)

    @staticmethod
    def _refs(probe: Probe, rig: _Rig, place: dict[int, int], slot: int) -> tuple[list[tuple[int, int]], int]:
        """(operands of the probe, the first slot of the next one): weights and outputs of a group lie one after the other, from `place` on,
        which moves on. In its page an output lies as if it followed the input, as in an arena: rows that are half a page or whole pages
        long meet those of the input there."""
        refs = []
        place[rig.OUT] += (rig.gap + 4 * _fed(probe) - place[rig.OUT]) % rig.PAGE // 64 * 64
        for i, operand in enumerate(probe.operands):
            if operand is None:
                refs.append((-1, 0))
            elif isinstance(operand, np.ndarray):
                refs.append((slot, 0))
                slot += 1
            elif i == probe.fed:
                refs.append((rig.FED, 0))
            elif i == 3 and probe.added:
                refs.append((rig.ADDED, 0))
            else:
                region = rig.OUT if i in probe.written else rig.WEIGHTS
                refs.append((region, place[region]))
                place[region] += features.round_up(4 * operand, 64) + 64
        return refs, slot

    @staticmethod
    def _output(probe: Probe, refs: list[tuple[int, int]]) -> tuple[tuple[int, int], int]:
        """(where the output lies, its floats)."""
        index = probe.written[-1]
        floats = probe.operands[index]
        assert isinstance(floats, int)
        return refs[index], floats

    def _write(self, at: tuple[int, int], floats: int) -> None:
        """Writes `floats` there, blocks in turn from one core after the other: what a core finds is mostly in another one's cache, as in a
        model, where steps are cut in different ways."""
        n = self._pool.workers
        blocks = ceil(floats / (n * BLOCK))
        args = {
            "size_bytes": 4, "rank": 3, "shape": (n, blocks, BLOCK, 0, 0, 0, 0, 0), "src_stride": (0, 0, 1, 0, 0, 0, 0, 0),
            "dst_stride": (BLOCK, n * BLOCK, 1, 0, 0, 0, 0, 0), "unit_rows": 8,
        }  # fmt: skip
        self._program.add("copy", args, [(_Rig.WEIGHTS, 0), at])

    def _add(self, probe: Probe, refs: list[tuple[int, int]], rig: _Rig, run_bytes: int, output_bytes: int) -> None:
        """The probe, its input just written; `run_bytes` ago its weights were read, `output_bytes` ago its output's memory was used, and a
        residual has left L2 at most."""
        self._write((rig.FED, 0), _fed(probe))
        self._at.append(self._program.add(probe.kind, probe.args, refs))
        near = min(run_bytes, rig.near_bytes)
        touched = Touched((), ((1.0, float(output_bytes)),), ((1.0, float(near)),), self._scratched(probe, run_bytes, near))
        self.samples.append(Sample(*steps.vector(probe.kind, probe.args, rig.place(run_bytes, touched)), [], []))
        self._paces.append(self._add_pace())

    def _scratched(self, probe: Probe, run_bytes: int, near: int) -> Gaps:
        """How long ago the memory of a Winograd step's transformed tiles was used: `run_bytes` where no probe before it had so much, else
        `near`."""
        if probe.kind != "winograd":
            return ()
        size = features.winograd_scratch(probe.args)
        new = max(size - self._scratch, 0) / size
        self._scratch = max(size, self._scratch)
        return ((new, float(run_bytes)), (1 - new, float(near)))

    def _add_pace(self) -> int:
        return pace.add(self._program, _Rig.PRODUCT, self._pool.workers)

    def once(self) -> None:
        self._program.run(self._pool, self._slots, times_ns=self._times)
        paces = [pace.span(self._times[i]) for i in self._paces]
        for sample, index, *around in zip(self.samples, self._at, paces, paces[1:], strict=False):
            rows = self._times[index]
            sample.seconds.append(max(float((rows[:, 1] - rows[:, 0]).sum()), 1.0) * 1e-9)
            sample.paces.append(max(around))

    def forget(self) -> None:
        """Begins anew: the first round touches memory and code for the first time."""
        for sample in self.samples:
            sample.seconds.clear()
            sample.paces.clear()


class _Rig:
    """The memory and the pool that probes run on."""

    FED, WEIGHTS, OUT, EVICTED, SINK, ADDED, PRODUCT, FIXED = 0, 1, 2, 3, 4, 5, 6, 7
    PAGE, ROW = 4096, 4096

    def __init__(
        self, cpus: Sequence[int], speeds_of: TypeSpeeds, l3_bytes: int, geometry: tuple[int, int], found: Sequence[Probe]
    ) -> None:
        """l3_bytes: the whole last-level cache, of which `speeds_of` knows what streams see of it."""
        self.pool = _core.Pool(list(cpus), spin_ns=1_000_000)
        self.product = pace.operands(self.pool.workers)
        n = len(cpus)
        l2 = speeds_of.l2_bytes * features.ceil_div(n, speeds_of.l2_sharers)
        self.near_bytes = 2 * l2
        self.far_bytes = min(max(2 * l3_bytes, 4 * l2), EVICT_LIMIT)
        self._speeds, self._geometry = speeds_of, geometry
        rng = np.random.default_rng(0)
        block = rng.standard_normal(1 << 16, np.float32)
        slack = BLOCK * self.pool.workers
        self.fed = _core.aligned_floats(max(map(_fed, found)) + slack)
        self.weights = np.resize(block, max(GROUP_BYTES // 4, max(map(_weights_of, found))) + 4096)
        self.out = _core.aligned_floats(len(self.weights) + self.PAGE // 4 * len(found) + slack)
        self.evicted = np.ones(max(self.far_bytes, self.near_bytes) // 4 + 2 * self.ROW, np.float32)  # zeros would all be one page
        self.sink = np.zeros(len(self.evicted) // self.ROW + 1, np.float32)
        self.added = _core.aligned_floats(max(1, *(probe.added for probe in found)) + slack)
        self.gap = (self.fed.ctypes.data - self.out.ctypes.data) % self.PAGE
        self.fed.fill(0.5)
        self.out.fill(0.5)

    def place(self, run_bytes: int, touched: Touched) -> features.Place:
        s, n = self._speeds, self.pool.workers
        return features.Place(*self._geometry, s.l1_bytes, s.l2_bytes // s.l2_sharers, s.l3_at(n), n, run_bytes, touched)

    def add_eviction(self, program: _core.Program, n_bytes: int) -> None:
        """Half of it is read and half written, as a model does."""
        half = max(n_bytes // 8 // self.ROW, 1)
        args = {
            "mode": 0, "outer": half, "reduce": self.ROW, "inner": 1, "outer_stride": self.ROW, "reduce_stride": 1, "unit_inner": 1,
        }  # fmt: skip
        program.add("reduce", args, [(self.EVICTED, 0), (self.SINK, 0)])
        at = 4 * half * self.ROW
        program.add("fill", {"size_bytes": 4, "count": half * self.ROW, "unit_size": 4096}, [(self.WEIGHTS, 0), (self.EVICTED, at)])

    def close(self) -> None:
        self.pool.close()


def probe_set(geometry: tuple[int, int], quick: bool = False) -> list[Probe]:
    """The probes of all classes; those of the quick form are a part."""
    mr, nr = geometry
    few = 3 if quick else 1
    found = [probes.gemm(m, n, k, act, cut, mr, nr) for m, n, k, act, cut in probes.GEMM[:: 2 if quick else 1] if m > mr]
    found += [probes.gemm(*shape, mr, nr, adds=True) for shape in probes.ADDING[::few]]
    found += [probes.gemm(m, n, k, act, 1 if n > 8 * nr else 0, mr, nr) for m, n, k, act in probes.GEMV[::few] if m <= mr]
    found += [probes.conv(*shape, mr, nr) for shape in probes.CONV[::few]]
    found += [probes.winograd(tile, *shape, nr) for tile, shapes in probes.WINOGRAD.items() for shape in shapes[::few]]
    found += [probes.winograd(*shape, nr, adds=True) for shape in probes.ADDING_WINOGRAD[::few]]
    found += [probes.dwconv(*shape) for shape in probes.DWCONV[::few]]
    found += [probes.separable(*shape, nr) for shape in probes.SEPARABLE[::few]]
    if quick:
        return found
    ops, typed_ops = _core.eltwise_ops(), _core.typed_ops()
    load, store = ops["load"], ops["store"]
    for size in (3000, 40_000, 400_000):
        found += [probes.eltwise(size, 1, [ops["neg"]], load, store), probes.eltwise(size, 2, [ops["add"], ops["mul"]], load, store)]
        found += [probes.eltwise(size, 2, [ops["add"], ops["mul"], ops["max"], ops["add"], ops["mul"]], load, store)]
        found += [probes.copy(size // 100, 100, False), probes.copy(size // 100, 100, True), probes.reduce(size // 100, 100, 1)]
        found += [probes.softmax(size // 100, 100), probes.norm(size // 384 + 1, 384), probes.lrn(size // 64, 64)]
        found += [probes.typed(size, typed_ops["add"], _core.constant("I64")), probes.gather(size // 200, 200)]
    found += [
        probes.copy(50_000, 3, True),
        probes.copy(5_000, 3, True),
        probes.copy(9, 9216, True),
        probes.copy(1024, 49, True),
        probes.copy(56 * 56, 24, False),
        probes.reduce(1, 49, 1024),
    ]
    found += [probes.reduce(49, 1000, 1), probes.softmax(12, 128 * 16), probes.softmax(1, 1000), probes.norm(8, 4096)]
    found += [probes.attention(*shape) for shape in ((12, 128, 128, 32), (8, 40, 40, 16), (4, 256, 256, 64), (12, 16, 512, 64))]
    found += [probes.pack(k, n, turned, nr) for k, n in ((32, 128), (512, 256)) for turned in (False, True)]
    found += [probes.pool(56, 64, 3, 2, 0), probes.pool(112, 32, 3, 2, 0), probes.pool(28, 192, 2, 2, 1), probes.pool(17, 256, 3, 1, 1)]
    found += [probes.pool(7, 512, 7, 1, 1), probes.lrn(55 * 55, 96), probes.gather(128, 384)]
    found += [probes.resample(1, 40, 40 * 64, 1), probes.resample(40, 40, 64, 1), probes.resample(40, 40, 64, 2)]
    found += [probes.rnn(cell, hidden, 8, _core.rnn_state_bytes(cell, 1, hidden)) for cell in (0, 1, 2) for hidden in (64, 128, 320)]
    return found


def _fed(probe: Probe) -> int:
    """Floats of a probe's fed operand."""
    floats = probe.operands[probe.fed]
    assert isinstance(floats, int)
    return floats


def _weights_of(probe: Probe) -> int:
    """Floats of a probe's operands but the fed one, rounded up."""
    return sum(o + 64 for i, o in enumerate(probe.operands) if isinstance(o, int) and i != probe.fed)


def _grouped(found: Sequence[Probe]) -> list[list[Probe]]:
    """The probes in groups of at most GROUP_BYTES of weights."""
    groups: list[list[Probe]] = []
    room = 0
    for probe in found:
        size = 4 * _weights_of(probe)
        if size > room:
            groups.append([])
            room = GROUP_BYTES
        groups[-1].append(probe)
        room -= size
    return groups


def measure(topology: Topology, quick: bool = False, seconds: float = 0.0, progress: Progress | None = None) -> Machine:
    """Calibrates the topology's used cores, type after type: one core, then all of it.

    seconds: how long it may take (0: 16, the quick form 1). progress: told which part is done, 0 to 1.
    """
    began = time.perf_counter()
    limit = seconds or (QUICK_SECONDS if quick else SECONDS)
    geometry = _core.gemm_geometry()[:2]
    start = speeds.from_topology(topology, _core.isa_name(), geometry)
    kinds = topology.types
    jobs = sum(2 if len(kind) > 1 and not quick else 1 for kind in kinds)
    done = 0

    def tell(part: float) -> None:
        if progress:
            progress(min((done + part) / (jobs + 0.2), 1.0))

    found = probe_set(geometry, quick)
    types, spreads, memory_B = [], [0.0], 0.0
    for kind, generic in zip(kinds, start.types, strict=True):
        cpus = [core.cpu for core in kind]
        known = generic._replace(l3_bytes=_last_level(generic, cpus[0], 1 if quick else STREAM_VISITS), l3_whole_bytes=generic.l3_bytes)
        alone, pace_alone, spread = _rates(cpus[:1], known, generic.l3_bytes, geometry, found, limit / (jobs + 0.2), tell)
        spreads.append(spread)
        done += 1
        busy, pace_busy = alone, pace_alone
        if len(cpus) > 1 and not quick:
            busy, pace_busy, spread = _rates(cpus, known, generic.l3_bytes, geometry, found, limit / (jobs + 0.2), tell)
            spreads.append(spread)
            done += 1
        memory_B += len(cpus) / max(dict(zip(features.CLASSES["gemv"], busy["gemv"], strict=True))["memory"], 1e-12)
        classes = {name: Rates(alone[name], busy[name]) for name in features.CLASSES}
        types.append(known._replace(classes=classes, claim_s=_step_start(cpus[0]), pace=(pace_alone, pace_busy)))
    wake, barrier = _wake_and_barrier([core.cpu for kind in kinds for core in kind])
    spread = max(spreads)
    calm = "" if spread <= SPREAD else f", the machine was not quiet enough for {SPREAD:.0%}"
    return Machine(
        tuple(types),
        wake,
        barrier,
        memory_B,
        "quick calibration" if quick else "calibration",
        _core.isa_name(),
        geometry,
        date=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        method=f"{len(found)} probes cold, warm and hot in turn, {QUANTILE} quantile, {time.perf_counter() - began:.1f} s{calm}",
        spread=round(spread, 4),
        fingerprint=fingerprint(topology),
    )


def _rates(
    cpus: Sequence[int],
    known: TypeSpeeds,
    l3_bytes: int,
    geometry: tuple[int, int],
    found: Sequence[Probe],
    seconds: float,
    tell: Progress,
) -> tuple[dict[str, tuple[float, ...]], float, float]:
    """(kernel class -> seconds per feature, the pace at which they hold, spread) with these cores at work together."""
    deadline = time.perf_counter() + seconds
    began = time.perf_counter()
    rig = _Rig(cpus, known, l3_bytes, geometry, found)
    groups = [_Group(group, rig) for group in _grouped(found)]
    for group in groups:
        group.once()
        group.forget()
    spread = 1.0
    counted: list[Sample] = []
    for count in range(1, MAX_ROUNDS + 1):
        for i, group in enumerate(groups):
            group.once()
            now = time.perf_counter()
            tell(max((now - began) / seconds, (count - 1 + (i + 1) / len(groups)) / MAX_ROUNDS))
            if now > deadline and count > 1:
                break
        late = time.perf_counter() > deadline
        if count >= MIN_ROUNDS or late:
            samples = [sample for group in groups for sample in group.samples]
            best = float(np.quantile(np.concatenate([sample.paces for sample in samples]), BEST))
            counted = [sample.calm(best) for sample in samples]
            spread = max(_spread([s for s in counted if s.name == name]) for name in features.CLASSES)
            if late or spread <= SPREAD:
                break
    rig.close()
    typical = float(np.median(np.concatenate([sample.paces for sample in counted])))
    return _fit(counted, known), typical, spread


def _spread(samples: Sequence[Sample]) -> float:
    """Half the distance between the quartiles over the median, of the typical sample; all there is with fewer than MIN_ROUNDS of it."""
    if not samples:
        return 0.0
    quartiles = [np.quantile(s.seconds, (0.25, 0.5, 0.75)) for s in samples]
    spread = float(np.median([(high - low) / 2 / middle for low, middle, high in quartiles]))
    return spread if np.median([len(s.seconds) for s in samples]) >= MIN_ROUNDS else max(spread, UNKNOWN_SPREAD)


def _fit(samples: Sequence[Sample], known: TypeSpeeds) -> dict[str, tuple[float, ...]]:
    """Seconds per feature of every class. A class without samples is as much faster or slower than generic as the GEMM is."""
    found: dict[str, tuple[float, ...]] = {}
    factor = 1.0
    for name in features.CLASSES:
        generic = np.array(known.classes[name].alone)
        mine = [s for s in samples if s.name == name]
        if not mine:
            found[name] = tuple(generic * factor)
            continue
        counts = np.array([s.counts for s in mine])
        seconds = np.array([np.quantile(s.seconds, QUANTILE) for s in mine])
        found[name] = tuple(float(x) for x in fit.rates(counts, seconds, generic))
        if name == "gemm":
            factor = float(np.median(seconds / (counts @ generic)))
    return found


def _last_level(generic: TypeSpeeds, cpu: int, visits: int) -> int:
    """The last-level cache that streams of weights show, which may be less than the chip's: others use it too. As much is written in
    between as is read, and no more bytes are touched a second, as models do: in the meantime neighbours fill the cache. All sizes take
    turns, `visits` times."""
    if not generic.l3_bytes:
        return 0
    pool = _core.Pool([cpu])
    columns = 256
    largest = min(2 * generic.l3_bytes, STREAMS_MB[-1] << 20)
    sizes = [size for mb in STREAMS_MB if generic.l2_bytes < (size := mb << 20) <= largest]
    weights = np.ones(max(sizes, default=1 << 20) // 8, np.float32)
    x, y, written = np.ones((1, len(weights) // columns), np.float32), np.zeros((1, columns), np.float32), np.ones_like(weights)
    slots = _core.Slots(4)
    slots[0], slots[1], slots[2], slots[3] = x, weights, y, written
    times = np.zeros((2, 1, 2), np.int64)
    samples: dict[int, list[float]] = {size: [] for size in sizes}
    for size in sizes * visits:
        k = size // 8 // columns
        with _core.Program(2) as program:
            args = {"m": 1, "n": columns, "k": k, "lda": k, "ldc": columns, "batch": (1, 1, 1)}
            program.add("gemm", args, [(0, 0), (1, 0), (-1, 0), (-1, 0), (-1, 0), (2, 0)], serial=True)
            program.add("fill", {"size_bytes": 4, "count": k * columns, "unit_size": 4096}, [(0, 0), (3, 0)], serial=True)
            for again in range(3):
                end = time.perf_counter() + size / TOUCHED_B
                program.run(pool, slots, times_ns=times)
                if again:
                    samples[size].append(pace.span(times[0]))
                while time.perf_counter() < end:
                    pass
    per_byte = [float(np.quantile(samples[size], QUANTILE)) / (size // 2) for size in sizes]
    pool.close()
    return _reach(sizes, per_byte, generic.l3_bytes)


def _reach(sizes: Sequence[int], per_byte: Sequence[float], listed: int) -> int:
    """The size of a cache from seconds per byte at growing sizes: where they have grown half-way for good is HALF_WAY of it. Between an
    eighth and all of what is listed."""
    if not sizes or per_byte[-1] < 1.2 * per_byte[0]:
        return listed
    middle = (per_byte[0] + per_byte[-1]) / 2
    last = max(i for i, value in enumerate(per_byte) if value <= middle)
    low, high = per_byte[last], per_byte[last + 1]
    reached = sizes[last] + (middle - low) / (high - low) * (sizes[last + 1] - sizes[last])
    return max(min(int(reached / HALF_WAY), listed), listed // 8)


TINY = 200
"""Steps of a program that measures what a step costs beside its work."""


def _tiny(pool: _core.Pool, serial: bool) -> float:
    """Seconds of a step that does next to nothing."""
    rows, line = 4 * pool.workers, 16
    with _core.Program(TINY) as program:
        pad = (0,) * 6
        args = {
            "size_bytes": 4, "rank": 2, "shape": (rows, line, *pad), "src_stride": (line, 1, *pad), "dst_stride": (line, 1, *pad),
            "unit_rows": 1,
        }  # fmt: skip
        for _ in range(TINY):
            program.add("copy", args, [(0, 0), (1, 0)], serial=serial)
        slots = _core.Slots(2)
        slots[0], slots[1] = np.zeros((2, rows, line), np.float32)
        samples = []
        for _ in range(9):
            began = time.perf_counter()
            program.run(pool, slots)
            samples.append(time.perf_counter() - began)
    return float(np.quantile(samples, QUANTILE)) / TINY


def _step_start(cpu: int) -> float:
    """Seconds to start a step and claim its units on this core."""
    pool = _core.Pool([cpu])
    found = _tiny(pool, serial=True)
    pool.close()
    return found


def _wake_and_barrier(cpus: Sequence[int]) -> tuple[float, float]:
    """(seconds until a sleeping worker runs, seconds of a step's barrier per worker beyond the first)."""
    if len(cpus) < 2:
        return speeds.WAKE_S, speeds.BARRIER_S
    pool = _core.Pool(list(cpus), spin_ns=10_000_000)
    together, alone = _tiny(pool, serial=False), _tiny(pool, serial=True)
    pool.close()
    pool = _core.Pool(list(cpus[:2]), spin_ns=0)
    target, pattern = np.zeros(1 << 20, np.float32), np.zeros(1, np.float32)
    waits = []
    with _core.Program(1) as program:
        program.add("fill", {"size_bytes": 4, "count": len(target), "unit_size": 4096}, [(0, 0), (1, 0)])
        slots = _core.Slots(2)
        slots[0], slots[1] = pattern, target
        for _ in range(30):
            times = np.zeros((1, 2, 2), np.int64)
            program.run(pool, slots, times_ns=times)
            if times[0, 1, 0]:
                waits.append(max(int(times[0, 1, 0] - times[0, 0, 0]), 0) * 1e-9)
            time.sleep(0.0005)
    pool.close()
    wake = float(np.median(waits)) if waits else speeds.WAKE_S
    return wake, max((together - alone) / (len(cpus) - 1), 1e-9)


def describe(machine: Machine) -> str:
    """A few lines: where the figures come from, and per type what a GEMM and a stream reach."""
    lines = [
        f"{machine.basis} of {machine.date or 'no date'}, {machine.isa}: {machine.method}",
        f"spread {machine.spread:.1%}; wake {machine.wake_s * 1e6:.3g} us, barrier {machine.barrier_s * 1e9:.3g} ns per worker, "
        f"memory {machine.memory_B / 1e9:.3g} GB/s",
    ]
    for each in machine.types:
        for label, index in (("one core", 0), ("all busy", 1)):

            def of(name: str, feature: str, each: TypeSpeeds = each, index: int = index) -> float:
                rates = each.classes[name]
                return (rates.alone, rates.busy)[index][features.CLASSES[name].index(feature)]

            peak = {name: 2e-9 / of(name, "macs") for name in ("gemm", "conv", "winograd4") if of(name, "macs")}
            stream = of("gemv", "memory")
            figures = ", ".join(f"{name} {value:.4g} GFLOP/s" for name, value in peak.items())
            lines.append(f"{each.cores} x {each.name}, {label}: {figures}; weights from memory {1e-9 / stream:.3g} GB/s" if stream else "")
    return "\n".join(line for line in lines if line)
