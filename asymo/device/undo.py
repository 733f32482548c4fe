"""Runs something when the process ends: at exit, and on the signals that end it, before whoever handled them earlier."""

from __future__ import annotations

import atexit
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Undo:
    """Runs `action` at exit and on SIGNALS while it is armed. A forked child's copy does nothing.

    A signal calls the action and then what was installed before; where that was the default, the process ends by the signal as it would
    have. A signal that was ignored stays ignored. Python lets only the main thread install handlers: armed elsewhere, exit alone counts.
    """

    def __init__(self, action: Callable[[], None]) -> None:
        self._action = action
        self._process = 0
        self._earlier: dict[int, Callable[[int, FrameType | None], object] | int] = {}
        self._lock = threading.RLock()
        self._busy = 0
        self._waiting: list[int] = []

    def arm(self) -> None:
        if self._process == os.getpid():
            return
        self._process = os.getpid()
        atexit.register(self._run)
        if threading.current_thread() is not threading.main_thread():
            return
        for number in SIGNALS:
            earlier = signal.getsignal(number)
            if earlier is not None and earlier not in (signal.SIG_IGN, self._handle):
                self._earlier[number] = earlier
                signal.signal(number, self._handle)

    def disarm(self) -> None:
        """Puts the earlier handlers back, except where somebody has installed another on top."""
        atexit.unregister(self._run)
        self._process = 0
        if threading.current_thread() is threading.main_thread():
            for number, earlier in self._earlier.items():
                if signal.getsignal(number) == self._handle:
                    signal.signal(number, earlier)
            self._earlier.clear()

    @contextmanager
    def uninterrupted(self) -> Iterator[None]:
        """Signals that come meanwhile are handled at the end: what is half done here must not be undone half."""
        with self._lock:
            self._busy = threading.get_ident()
            try:
                yield
            finally:
                self._busy = 0
        while self._waiting and threading.current_thread() is threading.main_thread():
            self._handle(self._waiting.pop(0), None)

    def _run(self) -> None:
        if self._process == os.getpid():
            self._action()

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._busy == threading.get_ident():
            self._waiting.append(number)
            return
        earlier = self._earlier.get(number, signal.SIG_DFL)
        self._run()
        if callable(earlier):
            earlier(number, frame)
        else:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
