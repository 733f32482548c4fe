"""The arena planner: buffers alive at the same time never overlap, and the arena is not much larger than it must be."""

from hypothesis import given
from hypothesis import strategies as st

from asymo.plan.arena import ALIGNMENT, Lifetime, place

lifetimes = st.lists(
    st.builds(lambda n, first, length: Lifetime(n, first, first + length), st.integers(0, 5000), st.integers(0, 30), st.integers(0, 10)),
    max_size=40,
)


@given(lifetimes)
def test_no_two_living_buffers_overlap(lives: list[Lifetime]) -> None:
    total, offsets = place(lives)
    for i, a in enumerate(lives):
        assert offsets[i] % ALIGNMENT == 0
        assert 0 <= offsets[i] <= total - a.nbytes
        for j, b in enumerate(lives[:i]):
            alive_together = a.first <= b.last and b.first <= a.last
            if alive_together and a.nbytes and b.nbytes:
                assert offsets[i] + a.nbytes <= offsets[j] or offsets[j] + b.nbytes <= offsets[i]


@given(lifetimes)
def test_total_is_bounded(lives: list[Lifetime]) -> None:
    total, _ = place(lives)

    def padded(life: Lifetime) -> int:
        return -(-max(life.nbytes, 1) // ALIGNMENT) * ALIGNMENT

    peak = max((sum(padded(x) for x in lives if x.first <= t <= x.last) for t in range(41)), default=0)
    assert peak <= total <= sum(padded(x) for x in lives)


def test_a_chain_needs_two_buffers() -> None:
    chain = [Lifetime(1000, i, i + 1) for i in range(10)]
    assert place(chain)[0] == 2 * 1024
