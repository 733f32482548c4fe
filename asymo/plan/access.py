"""Which memory a step reads and writes."""

from __future__ import annotations

from asymo.record import NamedTuple


class Region(NamedTuple):
    """Bytes [begin, end) of a slot; with a pitch only [column, column + width) of every `pitch` bytes from begin on."""

    slot: int
    begin: int
    end: int
    pitch: int = 0
    column: int = 0
    width: int = 0

    def meets(self, other: Region) -> bool:
        if self.slot != other.slot or self.begin >= other.end or other.begin >= self.end:
            return False
        side_by_side = self.pitch and (self.pitch, self.begin) == (other.pitch, other.begin)
        return not side_by_side or (self.column < other.column + other.width and other.column < self.column + self.width)


class Access(NamedTuple):
    """What a step reads and writes of the memory that steps write: arena and outputs."""

    reads: tuple[Region, ...]
    writes: tuple[Region, ...]
