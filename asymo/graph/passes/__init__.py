"""The passes over a graph, one a file, in the order they run.

LOAD passes run once when a model is read and need no shapes. PLAN passes run for every set of concrete input shapes, after inference: every
value has a concrete type. A pass module's docstring says what it requires, does and ensures; it has

    run(graph, cache) -> bool      True when it changed something
    ensures(graph) -> None         asserts its postcondition; tests call it (optional)

A weight that a pass computes comes from `cache.derive`, so that all plans of a session share it.
"""

from __future__ import annotations

from types import ModuleType

from asymo.graph.passes import (
    absorb_transposes,
    channel_shuffle,
    eliminate_dead,
    eliminate_identity,
    fold_affine,
    fold_constants,
    fuse_attention,
    fuse_epilogue,
    fuse_gelu,
    fuse_hardswish,
    fuse_layernorm,
    fuse_one_hot,
    fuse_scale,
    fuse_separable,
    fuse_silu,
    join_splits,
    layout,
    merge_eltwise,
    slice_batch,
    specialise,
)

LOAD: tuple[ModuleType, ...] = (
    fold_constants,
    eliminate_identity,
    fold_affine,
    eliminate_dead,
)

PLAN: tuple[ModuleType, ...] = (
    eliminate_identity,
    fold_affine,
    fuse_layernorm,
    fuse_gelu,
    fuse_hardswish,
    fuse_silu,
    channel_shuffle,
    fuse_attention,
    fuse_one_hot,
    join_splits,
    specialise,
    fuse_epilogue,
    layout,
    absorb_transposes,
    slice_batch,
    fuse_scale,
    fuse_separable,
    merge_eltwise,
    eliminate_dead,
)
