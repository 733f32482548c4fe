"""asymo.record.NamedTuple against the standard library's."""

from __future__ import annotations

import pickle
import typing

import pytest

from asymo import record


class Ours(record.NamedTuple):
    """A point."""

    x: int
    y: tuple[int, ...]
    label: str | None = None

    @property
    def first(self) -> int:
        return self.y[0]

    @classmethod
    def at(cls, x: int) -> Ours:
        return cls(x, (x,))


class Theirs(typing.NamedTuple):
    """A point."""

    x: int
    y: tuple[int, ...]
    label: str | None = None


def test_it_is_the_standard_librarys() -> None:
    ours, theirs = Ours(1, (2, 3)), Theirs(1, (2, 3))
    assert ours == theirs == (1, (2, 3), None)
    assert repr(ours) == repr(theirs).replace("Theirs", "Ours")
    assert ours._replace(label="a")._asdict() == theirs._replace(label="a")._asdict()
    for name in ("_fields", "_field_defaults", "__doc__", "__module__", "__match_args__"):
        assert getattr(Ours, name) == getattr(Theirs, name), name
    assert (ours.first, Ours.at(4)) == (2, (4, (4,), None))
    assert pickle.loads(pickle.dumps(ours)) == ours
    with pytest.raises(TypeError):
        Ours(1)  # type: ignore[call-arg]
    with pytest.raises(AttributeError):
        ours.x = 2  # type: ignore[misc]
    with pytest.raises(AttributeError):
        ours.z = 2  # type: ignore[attr-defined]
