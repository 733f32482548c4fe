"""What the scheduler's own C programs (tests/sched/*.c) are linked with: all of it, and none of the kernels."""

SOURCES = (
    "csrc/sched/pool.c",
    "csrc/sched/loop.c",
    "csrc/sched/park_futex.c",
    "csrc/sched/pin_linux.c",
    "csrc/exec/program.c",
    "csrc/api.c",
    "csrc/common/status.c",
)
