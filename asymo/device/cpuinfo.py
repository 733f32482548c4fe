"""/proc/cpuinfo: who each core is and what it can do. Offline cores are not in it."""

from __future__ import annotations

from asymo.record import NamedTuple

FEATURES = {
    "neon": "neon", "asimd": "neon", "asimdhp": "fp16", "asimddp": "dotprod", "i8mm": "i8mm", "bf16": "bf16", "sve": "sve", "sve2": "sve2",
    "sme": "sme", "sse4_2": "sse4.2", "avx": "avx", "fma": "fma", "avx2": "avx2", "avx_vnni": "avx-vnni", "avx512f": "avx512",
    "avx512_vnni": "avx512-vnni", "avx512_bf16": "avx512-bf16", "amx_tile": "amx",
}  # fmt: skip
"""The kernel's name -> ours, for the features that matter to kernels of a neural network."""


class Identity(NamedTuple):
    """midr: MIDR_EL1, 0 unknown. model: what x86 says of itself, such as "AuthenticAMD 25/17". features: values of FEATURES."""

    midr: int = 0
    model: str = ""
    features: tuple[str, ...] = ()


def parse(text: str) -> dict[int, Identity]:
    """CPU id -> identity.

    Old Arm kernels print one description behind all the processors: that of whichever core ran the reader. It identifies nobody, so the
    MIDR stays unknown then.
    """
    found: dict[int, dict[str, str]] = {}
    common: dict[str, str] = {}
    fields = common
    for line in text.splitlines():
        key, _, value = (part.strip() for part in line.partition(":"))
        if key == "processor" and value.isdecimal():
            fields = found.setdefault(int(value), {})
        elif not key:
            fields = common
        else:
            fields[key] = value
    parts = sum("CPU part" in f for f in [*found.values(), common])
    shared = len(found) > 1 and parts == 1
    last = {} if not shared else next((f for f in found.values() if "CPU part" in f), common)
    identities = {cpu: _identity({**last, **f}) for cpu, f in found.items()}
    return {cpu: i._replace(midr=0) for cpu, i in identities.items()} if shared else identities


def _identity(fields: dict[str, str]) -> Identity:
    try:
        implementer, variant, number, revision = (int(fields[f"CPU {name}"], 0) for name in ("implementer", "variant", "part", "revision"))
        midr = implementer << 24 | (variant & 0xF) << 20 | 0xF << 16 | number << 4 | revision & 0xF
    except (KeyError, ValueError):
        midr = 0
    model = f"{fields.get('vendor_id', '')} {fields.get('cpu family', '?')}/{fields.get('model', '?')}" if "vendor_id" in fields else ""
    words = set((fields.get("flags") or fields.get("Features") or "").split())
    return Identity(midr, model, tuple(dict.fromkeys(ours for theirs, ours in FEATURES.items() if theirs in words)))
