"""The demo: a chord is synthesised, Spotify's basic-pitch (in the package, 230 KB) hears its notes, and each core set is timed."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

import asymo
from asymo.bench.measure import measure
from asymo.bench.report import Progress, Row, table
from asymo.device import topology

MODEL = Path(__file__).parent / "data" / "basic_pitch.onnx"
SAMPLE_RATE, SAMPLES = 22050, 43844
LOWEST_KEY = 21
"""MIDI number of the first of the model's 88 keys."""
NOTES_OUTPUT = "StatefulPartitionedCall:1"
"""[1, frames, 88]: how sure the model is that a key sounds."""

CHORD = ("C4", "E4", "G4", "B4")
NAMES = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")


def midi(name: str) -> int:
    """ "A4" -> 69."""
    return NAMES.index(name[:-1]) + 12 * (int(name[-1]) + 1)


def note(number: int) -> str:
    """69 -> "A4"."""
    return f"{NAMES[number % 12]}{number // 12 - 1}"


def synthesise(names: tuple[str, ...]) -> np.ndarray:
    """Two seconds of plucked notes, each with five harmonics: float32 [1, 43844, 1] in -1 ... 1."""
    t = np.arange(SAMPLES) / SAMPLE_RATE
    wave = np.zeros(SAMPLES)
    for name in names:
        pitch = 440.0 * 2.0 ** ((midi(name) - 69) / 12)
        for harmonic in range(1, 6):
            wave += np.sin(2 * np.pi * pitch * harmonic * t) / harmonic**1.5 * np.exp(-1.5 * harmonic * t)
    wave *= np.minimum(t / 0.01, 1.0)
    return np.asarray(0.5 * wave / np.abs(wave).max(), np.float32).reshape(1, SAMPLES, 1)


def hear(session: asymo.InferenceSession, audio: np.ndarray) -> dict[str, float]:
    """The notes that sound, with the model's mean certainty while they do."""
    activation = session.run([NOTES_OUTPUT], {session.get_inputs()[0].name: audio})[0][0]
    strength = np.sort(activation, axis=0)[-40:].mean(axis=0)
    return {note(LOWEST_KEY + int(key)): float(strength[key]) for key in np.flatnonzero(strength > 0.5)}


def core_sets() -> dict[str, str]:
    """Name -> cores, for every set worth timing on this machine."""
    machine = topology.read()
    everything = [c.cpu for c in machine.cores]
    sets = {f"core {everything[0]}": str(everything[0])}
    if len(machine.types) > 1:
        sets["little"], sets["big"] = "little", "big"
    if len(everything) > 1:
        sets["all"] = "all"
    return sets


def main(form: str = "text") -> int:
    """Runs the demo; 0 when the model heard the chord."""
    audio = synthesise(CHORD)
    session = asymo.load(MODEL)
    heard = hear(session, audio)
    name = session.get_inputs()[0].name
    rows: list[Row] = []
    for label, cores in core_sets().items():
        session = asymo.load(MODEL, cores=cores)
        with Progress(f"timing {label}") as progress:
            samples = measure(partial(session.run, None, {name: audio}), seconds=1.5, progress=progress)
        rows.append(
            {
                "cores": label,
                "cpus": topology.format_cpu_list(topology.read().select(cores)),
                "median_ms": samples.median_ms,
                "p95_ms": samples.percentile_ms(95),
                "times real time": SAMPLES / SAMPLE_RATE / (samples.median_ms / 1e3),
            }
        )
    if form == "text":
        print(f"played  {' '.join(CHORD)}   (two seconds, synthesised)")
        print(f"heard   {' '.join(heard) or 'nothing'}   (certainty {', '.join(f'{v:.2f}' for v in heard.values())})")
        print()
    print(table(rows, form))
    return 0 if set(heard) == set(CHORD) else 1
