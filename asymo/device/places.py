"""Where what outlives a process is kept."""

from __future__ import annotations

import os

from asymo import knobs


def cache_folder() -> str:
    """Asymo's folder in the user's cache."""
    return os.path.join(knobs.XDG_CACHE_HOME.get() or os.path.expanduser("~/.cache"), "asymo")


def state_path() -> str:
    """Where the ledger is kept: /run/asymo (root's, or made for a group as docs/energy.md says), else the user's cache folder. A recorded
    machine's (the knob ASYMO_ROOT) is kept with it."""
    root = str(knobs.ROOT.get())
    run = os.path.join(root, "run")
    folder = os.path.join(run, "asymo")
    may_make = not os.path.exists(folder) and os.geteuid() == 0 and os.access(run, os.W_OK)
    if root != "/" or os.access(folder, os.W_OK) or may_make:
        return os.path.join(folder, "frequency.json")
    return os.path.join(cache_folder(), "frequency.json")
