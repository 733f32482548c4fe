"""python -m benchmarks.cost: milliseconds of CPU time in which the cost model chooses the cores of 100 steps, on four made-up machines."""

from __future__ import annotations

import time

from asymo.cost.model import CoreType, Work, choose

ROUNDS = 15
BIG = CoreType("big", 4, F=20e9, F1=22e9, B=20e9, B1=12e9, t=1e-7, l1_bytes=64 << 10, l2_bytes=512 << 10)
LITTLE = CoreType("little", 4, F=6e9, F1=6e9, B=8e9, B1=4e9, t=2e-7, l1_bytes=32 << 10, l2_bytes=128 << 10)
PRIME = CoreType("prime", 1, F=40e9, F1=40e9, B=20e9, B1=20e9, t=1e-7, l1_bytes=64 << 10, l2_bytes=1 << 20)
P = CoreType("P", 8, F=90e9, F1=110e9, B=40e9, B1=20e9, t=1e-7, l1_bytes=48 << 10, l2_bytes=2 << 20)
E = CoreType("E", 16, F=45e9, F1=50e9, B=30e9, B1=10e9, t=1e-7, l1_bytes=32 << 10, l2_bytes=4 << 20, l2_sharers=4)
MACHINES = {"4": [BIG], "4 + 4": [BIG, LITTLE], "1 + 4 + 4": [PRIME, BIG, LITTLE], "8 + 16": [P, E]}
STEPS = [
    Work("gemm", m, n, k, mr=8, nr=8)
    for m in (1, 49, 196, 784, 3136)
    for n in (16, 64, 256, 1000)
    for k in (9, 64, 576, 1152, 4608)
]  # fmt: skip


def main() -> None:
    for name, types in MACHINES.items():
        times = []
        for _ in range(ROUNDS):
            begin = time.process_time()
            for work in STEPS:
                choose(work, types, wake_s=1e-6, barrier_s=1e-6, memory_B=25e9)
            times.append(time.process_time() - begin)
        print(f"{name:10s} cores: {sorted(times)[ROUNDS // 2] * 1e3:6.1f} ms for {len(STEPS)} steps")


if __name__ == "__main__":
    main()
