"""What docs/simulator.md shows: the simulator held against published measurements, and all devices with all policies."""
