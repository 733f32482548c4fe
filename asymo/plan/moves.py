"""Which moves are not needed: a part of a concatenation is written where it belongs, channels that are cut out are read where they are.

    push   whoever makes the source of a move writes it into the target, rows apart, and whoever else reads the source reads it there
    pull   whoever reads the target of a move reads the source

A value is written before it is read and never again, so steps may change places of memory, not their order. Both need every step that
touches the tensor to follow its rows (plan/views.py); where one cannot, the move stays.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence

from asymo.plan.horizon import targets
from asymo.plan.plan import Args
from asymo.plan.strides import collapse
from asymo.plan.tensor import Buffer, Draft, Move, Tensor
from asymo.plan.views import apart

Place = tuple[Args, list[Tensor | None]]
"""A step's arguments and operands."""


def elide(drafts: Sequence[Draft], moves: Iterable[Move], outputs: Container[Buffer]) -> list[Draft]:
    """The steps that are left, changed in place. outputs: buffers that are the caller's arrays, which stay what they are."""
    walk = _Walk(drafts, outputs)
    left = [move for move in moves if move.steps and not walk.push(move)]
    for move in left:
        if len(move.steps) == 1:
            walk.pull(move.steps[0])
    return [draft for draft in drafts if draft not in walk.gone]


class _Walk:
    def __init__(self, drafts: Sequence[Draft], outputs: Container[Buffer]) -> None:
        self.outputs = outputs
        self.gone: set[Draft] = set()
        self.users: dict[Buffer, list[Draft]] = {}
        for draft in drafts:
            self._enter(draft)

    def _enter(self, draft: Draft) -> None:
        for buffer in {t.buffer for t in draft.operands if t is not None}:
            self.users.setdefault(buffer, []).append(draft)

    def push(self, move: Move) -> bool:
        source, target = move.source, move.target
        rows = _rows(move.shape, move.src, move.dst)
        if rows is None or not self._is_whole(source, rows[0]) or source.buffer is target.buffer:
            return False
        _, row, src_pitch, dst_pitch = rows
        if src_pitch != row or any(step.operands[0] is not None and step.operands[0].buffer is not source.buffer for step in move.steps):
            return False
        return self._relocate(source.buffer, target, row, dst_pitch, move.steps)

    def pull(self, step: Draft) -> bool:
        source, target = step.operands
        assert source is not None
        assert target is not None
        shape, src, dst = (step.args[name] for name in ("shape", "src_stride", "dst_stride"))
        rows = _rows(shape, src, dst)  # type: ignore[arg-type]
        if rows is None or not self._is_whole(target, rows[0]) or source.buffer is target.buffer:
            return False
        _, row, src_pitch, dst_pitch = rows
        if dst_pitch != row or any(self._writes(user, target.buffer) for user in self.users[target.buffer] if user is not step):
            return False
        return self._relocate(target.buffer, source, row, src_pitch, [step])

    def _is_whole(self, tensor: Tensor, count: int) -> bool:
        """Whether these elements are all of a buffer that has no place yet."""
        buffer = tensor.buffer
        free = buffer.is_writable and buffer not in self.outputs
        return free and tensor.offset_bytes == 0 and buffer.nbytes == count * tensor.dtype.itemsize

    @staticmethod
    def _writes(draft: Draft, buffer: Buffer) -> bool:
        written = (draft.operands[i] for i in targets(draft.kind, draft.args, len(draft.operands)) if i < len(draft.operands))
        return any(t is not None and t.buffer is buffer for t in written)

    def _relocate(self, buffer: Buffer, place: Tensor, row: int, pitch: int, moving: Sequence[Draft]) -> bool:
        """Lets the rows of a buffer be rows of `place` that lie `pitch` apart; the steps that moved them go."""
        staying = [user for user in self.users[buffer] if user not in moving]
        changes = [_relocated(user, buffer, place, row, pitch) for user in staying]
        if None in changes:
            return False
        for user, change in zip(staying, changes, strict=True):
            assert change is not None
            user.args, user.operands = change
            if user not in self.users.setdefault(place.buffer, []):
                self.users[place.buffer].append(user)
        self.users[buffer] = []
        self.users[place.buffer] = [user for user in self.users[place.buffer] if user not in moving]
        self.gone.update(moving)
        return True


def _rows(shape: Sequence[int], src: Sequence[int], dst: Sequence[int]) -> tuple[int, int, int, int] | None:
    """(elements, elements of a row, distance of the rows in the source, in the target) of a move of rows."""
    shape, src, dst = collapse(shape, src, dst)
    if len(shape) == 1 and (src, dst) == ((1,), (1,)):
        return shape[0], shape[0], shape[0], shape[0]
    if len(shape) == 2 and src[1] == dst[1] == 1 and min(src[0], dst[0]) >= shape[1]:
        return shape[0] * shape[1], shape[1], src[0], dst[0]
    return None


def _relocated(draft: Draft, buffer: Buffer, place: Tensor, row: int, pitch: int) -> Place | None:
    """What becomes of a step that touches the buffer; None when it cannot follow."""
    args, operands = draft.args, list(draft.operands)
    for i, tensor in enumerate(draft.operands):
        if tensor is None or tensor.buffer is not buffer:
            continue
        if row != pitch and draft.kind == "pool" and i == 1 and draft.operands[2] is not None:
            return None  # the indices have the strides of Y
        size = place.dtype.itemsize
        if tensor.dtype.itemsize != size:
            return None
        line, column = divmod(tensor.offset_bytes // size, row)
        followed = apart(draft.kind, args, i, column, row, pitch)
        if followed is None:
            return None
        args, operands[i] = followed, place.at(line * pitch + column)
    return args, operands
