#!/usr/bin/env bash
# full.sh (make arm-full): a new arm64 Debian, and in it the README's own commands: everything is compiled by its own gcc, under qemu.
#
#   tests/arm/full.sh [STEP...]     root | demo | sdist | test; all four when none is named
#
# root    debootstrap into .cache/arm64 (kept: 7 minutes the first time, nothing later)
# demo    a copy of what git knows of this tree, then `make demo`
# sdist   the source distribution, made there, installed by pip into an environment of its own, and the demo from that
# test    quick_tests there (the whole of `make test` would take hours under qemu)
#
# Needs root rights (chroot, binfmt_misc), Debian's debootstrap and qemu-user-static. What it mounts or registers on this machine goes
# away with it; the mounts of the tree live in a mount namespace of their own.
set -euo pipefail
cd "$(dirname "$0")/../.."
tree=$PWD/.cache/arm64
suite=bookworm
packages=python3-venv,python3-dev,gcc,libc6-dev,libffi-dev,make,ca-certificates,ccache
quick_tests=$(printf 'tests/%s ' test_{topology,share,session,reader,infer,compiled_hostile,gemm,winograd,conv,dwconv,separable,eltwise}.py \
    test_{pool,reduce,softmax,norm,rnn,backend_nodes}.py device/test_{profiles,power,uclamp}.py)

say() { printf '== %s (%s s)\n' "$*" "$SECONDS"; }
die() { printf 'arm-full: %s\n' "$*" >&2; exit 2; }

[ "$(id -u)" = 0 ] || die "needs root rights: chroot and binfmt_misc"
command -v debootstrap qemu-aarch64-static >/dev/null || die "apt install debootstrap qemu-user-static"

# aarch64 programs start qemu by themselves, inside the tree, too (F: the kernel keeps the emulator open).
formats=/proc/sys/fs/binfmt_misc
undo=()
trap 'for ((i = ${#undo[@]} - 1; i >= 0; i--)); do eval "${undo[i]}"; done' EXIT
if [ ! -e $formats/register ]; then
    mount -t binfmt_misc binfmt_misc $formats
    undo+=("umount $formats")
fi
if [ ! -e $formats/qemu-aarch64 ]; then
    head='\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00'
    mask='\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff'
    printf '%s' ":qemu-aarch64:M::$head:$mask:$(command -v qemu-aarch64-static):F" >$formats/register
    undo+=("echo -1 > $formats/qemu-aarch64")
fi

inside() { # a command in the project's folder of the tree. ccache: what demo compiled, sdist need not compile again
    # shellcheck disable=SC2016  # expanded by the inner shell
    PATH=/usr/lib/ccache:/usr/sbin:/usr/bin:/sbin:/bin CCACHE_NOHASHDIR=1 unshare -m bash -c '
        for folder in proc sys dev; do mount --bind /$folder "$1/$folder"; done
        exec chroot "$1" /bin/sh -c "cd /opt/asymo && $2"' - "$tree" "$*"
}

root() {
    if [ ! -e "$tree/.ready" ]; then
        rm -rf "$tree"
        debootstrap --arch=arm64 --foreign --variant=minbase --include=$packages $suite "$tree"
        DEBIAN_FRONTEND=noninteractive chroot "$tree" /debootstrap/debootstrap --second-stage
        cp -L /etc/ssl/certs/ca-certificates.crt "$tree/etc/ssl/certs/"
        touch "$tree/.ready"
    fi
    cp -L /etc/resolv.conf "$tree/etc/resolv.conf"
}

demo() {
    rm -rf "$tree/opt/asymo"
    mkdir -p "$tree/opt/asymo"
    git ls-files -z | tar --null -T - -c | tar -x -C "$tree/opt/asymo"
    inside make demo
}

sdist() {
    inside ".venv/bin/python setup.py -q sdist"
    inside "rm -rf /opt/plain && python3 -m venv /opt/plain && /opt/plain/bin/pip install -q dist/asymo-*.tar.gz"
    inside "cd / && /opt/plain/bin/pip list && /opt/plain/bin/asymo-bench"
}

test() { inside ".venv/bin/python -m pytest -q -n 2 -m 'not slow and not models' $quick_tests"; }

for step in "${@:-root demo sdist test}"; do
    for name in $step; do
        say "$name"
        $name
    done
done
say "done"
