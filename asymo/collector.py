"""Python's garbage collector, held back while much is made that stays."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def held(all_stays: bool = False) -> Iterator[None]:
    """No garbage is looked for inside, unless another thread asks for it. Importing and loading make tens of thousands of objects, nearly
    all of which stay. The collector would go through the young ones again and again, and through all of the process when enough are there:
    4 ms for a small model and 20 ms for YOLOv8n (Zen 4, Python 3.11, 2026-11-23). Afterwards it goes through them once, unless all_stays:
    then they count as old at once. That would be wrong after planning, which leaves circles of nodes and values, to be found soon."""
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        if all_stays:
            age()
        gc.enable()


def age() -> None:
    """All that has been made counts as old from now on, unless somebody has frozen objects."""
    if not gc.get_freeze_count():
        gc.freeze()
        gc.unfreeze()  # what thaws is old
