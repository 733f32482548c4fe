"""Core designs by MIDR implementer and part number: one list, read by the topology, the captures and the trees of the tests."""

from __future__ import annotations

from asymo.record import NamedTuple


class Part(NamedTuple):
    """A core design.

    in_order: an in-order pipeline, None unknown. fma: fp32 multiply-adds per cycle, lanes counted, 0 unknown. l1d_kb, l2_kb: the sizes
    that most chips give it (licensees choose them), 0 unknown; used where sysfs tells no caches.
    """

    name: str
    in_order: bool | None = None
    fma: int = 0
    l1d_kb: int = 0
    l2_kb: int = 0


ARM, FUJITSU, HISILICON, NVIDIA, QUALCOMM, SAMSUNG, APPLE, AMPERE = 0x41, 0x46, 0x48, 0x4E, 0x51, 0x53, 0x61, 0xC0

PARTS: dict[tuple[int, int], Part] = {
    (ARM, 0xC07): Part("cortex-a7", True, 1, 32, 512),
    (ARM, 0xC09): Part("cortex-a9", False, 0, 32, 0),
    (ARM, 0xC0F): Part("cortex-a15", False, 4, 32, 2048),
    (ARM, 0xD03): Part("cortex-a53", True, 4, 32, 512),
    (ARM, 0xD04): Part("cortex-a35", True, 0, 32, 0),
    (ARM, 0xD05): Part("cortex-a55", True, 4, 32, 128),
    (ARM, 0xD07): Part("cortex-a57", False, 4, 32, 2048),
    (ARM, 0xD08): Part("cortex-a72", False, 4, 32, 1024),
    (ARM, 0xD09): Part("cortex-a73", False, 4, 64, 1024),
    (ARM, 0xD0A): Part("cortex-a75", False, 4, 64, 256),
    (ARM, 0xD0B): Part("cortex-a76", False, 8, 64, 256),
    (ARM, 0xD0C): Part("neoverse-n1", False, 8, 64, 1024),
    (ARM, 0xD0D): Part("cortex-a77", False, 8, 64, 256),
    (ARM, 0xD0E): Part("cortex-a76ae", False, 8, 64, 256),
    (ARM, 0xD40): Part("neoverse-v1", False, 16, 64, 1024),
    (ARM, 0xD41): Part("cortex-a78", False, 8, 64, 256),
    (ARM, 0xD42): Part("cortex-a78ae", False, 8, 64, 256),
    (ARM, 0xD44): Part("cortex-x1", False, 16, 64, 1024),
    (ARM, 0xD46): Part("cortex-a510", True, 4, 32, 0),
    (ARM, 0xD47): Part("cortex-a710", False, 8, 64, 512),
    (ARM, 0xD48): Part("cortex-x2", False, 16, 64, 1024),
    (ARM, 0xD49): Part("neoverse-n2", False, 8, 64, 1024),
    (ARM, 0xD4B): Part("cortex-a78c", False, 8, 64, 256),
    (ARM, 0xD4C): Part("cortex-x1c", False, 16, 64, 1024),
    (ARM, 0xD4D): Part("cortex-a715", False, 8, 64, 512),
    (ARM, 0xD4E): Part("cortex-x3", False, 16, 64, 1024),
    (ARM, 0xD4F): Part("neoverse-v2", False, 16, 64, 1024),
    (ARM, 0xD80): Part("cortex-a520", True, 4, 32, 0),
    (ARM, 0xD81): Part("cortex-a720", False, 8, 64, 512),
    (ARM, 0xD82): Part("cortex-x4", False, 16, 64, 2048),
    (ARM, 0xD85): Part("cortex-x925", False, 0, 64, 2048),
    (ARM, 0xD87): Part("cortex-a725", False, 8, 64, 512),
    (QUALCOMM, 0x001): Part("oryon", False, 16, 96, 12288),
    (QUALCOMM, 0x800): Part("kryo-2xx-gold", False, 4, 64, 2048),
    (QUALCOMM, 0x801): Part("kryo-2xx-silver", True, 4, 32, 1024),
    (QUALCOMM, 0x802): Part("cortex-a75r0", False, 4, 64, 256),
    (QUALCOMM, 0x803): Part("cortex-a55r0", True, 4, 32, 128),
    (QUALCOMM, 0x804): Part("cortex-a76", False, 8, 64, 256),
    (QUALCOMM, 0x805): Part("cortex-a55", True, 4, 32, 128),
    (HISILICON, 0xD01): Part("taishan-v110", False, 0, 64, 512),
    (HISILICON, 0xD40): Part("cortex-a76", False, 8, 64, 512),
    (FUJITSU, 0x001): Part("a64fx", False, 32, 64, 8192),
    (NVIDIA, 0x004): Part("carmel", False, 0, 64, 2048),
    (SAMSUNG, 0x001): Part("exynos-m1", False),
    (SAMSUNG, 0x002): Part("exynos-m3", False),
    (SAMSUNG, 0x003): Part("exynos-m4", False),
    (SAMSUNG, 0x004): Part("exynos-m5", False),
    (AMPERE, 0xAC3): Part("ampere-1", False, 8, 64, 2048),
    (APPLE, 0x022): Part("apple-icestorm", False, 8, 64, 4096),
    (APPLE, 0x023): Part("apple-firestorm", False, 16, 128, 12288),
    (APPLE, 0x024): Part("apple-icestorm", False, 8, 64, 4096),
    (APPLE, 0x025): Part("apple-firestorm", False, 16, 128, 12288),
    (APPLE, 0x028): Part("apple-icestorm", False, 8, 64, 4096),
    (APPLE, 0x029): Part("apple-firestorm", False, 16, 128, 12288),
    (APPLE, 0x032): Part("apple-blizzard", False, 8, 64, 4096),
    (APPLE, 0x033): Part("apple-avalanche", False, 16, 128, 16384),
    (APPLE, 0x034): Part("apple-blizzard", False, 8, 64, 4096),
    (APPLE, 0x035): Part("apple-avalanche", False, 16, 128, 16384),
    (APPLE, 0x038): Part("apple-blizzard", False, 8, 64, 4096),
    (APPLE, 0x039): Part("apple-avalanche", False, 16, 128, 16384),
}
"""The multiply-adds of A7, A53, A55, A72, A76, A77, A78, A520, A720 and Apple's were measured by cpufp, MegPeak and applecpu; A15, A57,
A73, A75, A510, A71x and the X cores are estimates from their pipes, and so are the rest."""

HYBRID: dict[str, Part] = {
    "cpu_core": Part("intel-core", False, 16),
    "cpu_atom": Part("intel-atom", False, 8),
    "cpu_lowpower": Part("intel-lowpower", False, 8),
}
"""Intel hybrid: the performance-monitoring unit below /sys/devices -> the design it stands for. Peaks are AVX2's: 2 x 256, 2 x 128 bit."""


def by_midr(midr: int) -> Part | None:
    """The design of a MIDR_EL1 value, None when the list has none."""
    return PARTS.get((midr >> 24 & 0xFF, midr >> 4 & 0xFFF))


def midr_of(name: str) -> int:
    """A MIDR_EL1 value of the design of that name (variant and revision 0), 0 when the list has none."""
    return next((implementer << 24 | 0xF << 16 | number << 4 for (implementer, number), p in PARTS.items() if p.name == name), 0)
