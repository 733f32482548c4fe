"""What unequal cores cost each runtime, on a machine whose cores are equal: one of two x86 cores is slowed down. docs/asymmetry.md has the
method and the tables.

    slow.py          the slow core: a real-time hog in C, calibrated; the probe of the placement of virtual CPUs
    efficiency.py    arithmetic and tables; pure
    rounds.py        runtimes in processes of their own, visited in turn, only while the placement is good
    uniform.py       our own six scheduling policies on a uniformly slower core
    sliced.py        all runtimes on a core that others use in time slices
    interference.py  another process comes and goes in the middle of a stream of runs
    dispatch.py      the cost of an empty step
"""
