"""Where what outlives a process is kept."""

from __future__ import annotations

import os
from pathlib import Path

from asymo import knobs


def cache_folder() -> Path:
    """Asymo's folder in the user's cache."""
    return Path(knobs.XDG_CACHE_HOME.get() or Path.home() / ".cache") / "asymo"


def state_path() -> Path:
    """Where the ledger is kept: /run/asymo (root's, or made for a group as docs/energy.md says), else the user's cache folder. A recorded
    machine's (the knob ASYMO_ROOT) is kept with it."""
    run = Path(str(knobs.ROOT.get())) / "run/asymo"
    if knobs.ROOT.get() != "/":
        return run / "frequency.json"
    if os.access(run, os.W_OK) or (not run.exists() and os.geteuid() == 0 and os.access(run.parent, os.W_OK)):
        return run / "frequency.json"
    return cache_folder() / "frequency.json"
