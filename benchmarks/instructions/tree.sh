#!/usr/bin/env bash
# tree.sh FOLDER WHEEL...: an arm64 Debian tree with python3 and these wheels, for qemu-user. No root rights, no chroot, nothing emulated.
#
# apt fetches arm64 packages with state and cache of its own, dpkg-deb unpacks them, pip (of $PYTHON) fetches aarch64 wheels for
# the Python of that Debian. Needs Debian or a relative of it. Done once per FOLDER and set of wheels.
set -euo pipefail
mkdir -p "$1"
tree=$(cd "$1" && pwd)
shift
packages="python3-minimal libpython3-stdlib libffi8 libgomp1 libstdc++6 libgcc-s1 zlib1g"

if [ ! -e "$tree/.unpacked" ]; then
    command -v apt-get dpkg-deb >/dev/null || { echo "tree.sh needs apt-get and dpkg-deb" >&2; exit 2; }
    . /etc/os-release
    mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep -v security | head -n 1)
    state=$(mktemp -d)
    trap 'rm -rf "$state"' EXIT
    mkdir -p "$state"/{lists/partial,cache/archives/partial,preferences,dpkg}
    : >"$state/dpkg/status"
    echo "deb [arch=arm64 signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $VERSION_CODENAME main" >"$state/sources.list"
    own=(-o APT::Architecture=arm64 -o APT::Architectures=arm64 -o APT::Sandbox::User= -o APT::Install-Recommends=0 -o Debug::NoLocking=1
        -o "Dir::State=$state" -o "Dir::State::status=$state/dpkg/status" -o "Dir::Cache=$state/cache"
        -o "Dir::Etc::sourcelist=$state/sources.list" -o Dir::Etc::sourceparts=- -o "Dir::Etc::preferencesparts=$state/preferences")
    apt-get "${own[@]}" -qq update
    # shellcheck disable=SC2086  # a list of words
    apt-get "${own[@]}" -qq -y --download-only install $packages
    mkdir -p "$tree"/usr/{bin,sbin,lib}
    for folder in bin sbin lib; do [ -e "$tree/$folder" ] || ln -s "usr/$folder" "$tree/$folder"; done
    for package in "$state"/cache/archives/*.deb; do
        dpkg-deb --fsys-tarfile "$package" | tar -C "$tree" -x --keep-directory-symlink --exclude=./usr/share/{doc,man,locale}
    done
    # Links from the root would lead out of the tree.
    find "$tree" -xdev -type l -lname '/*' | while read -r link; do
        target=$(readlink "$link")
        [ ! -e "$tree$target" ] || ln -sfn "$(realpath -m --relative-to="$(dirname "$link")" "$tree$target")" "$link"
    done
    touch "$tree/.unpacked"
fi

# Programs that look for their CPU here would find the real machine's (QEMU before 8.1), and ONNX Runtime does not survive that.
mkdir -p "$tree/proc"
printf 'processor\t: 0\nFeatures\t: fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp
CPU implementer\t: 0x41\nCPU architecture: 8\nCPU variant\t: 0x4\nCPU part\t: 0xd0b\nCPU revision\t: 0\n\n' >"$tree/proc/cpuinfo"

wheels="$*"
if [ "$(cat "$tree/.wheels" 2>/dev/null)" != "$wheels" ]; then
    version=$(basename "$(ls -d "$tree"/usr/lib/python3.*)")
    platforms=()
    for glibc in 2_36 2_35 2_34 2_31 2_28 2_27 2_26 2_24 2_17; do platforms+=(--platform "manylinux_${glibc}_aarch64"); done
    "${PYTHON:-python3}" -m pip -q install --no-compile --upgrade --only-binary=:all: --implementation cp --python-version "${version#python}" \
        "${platforms[@]}" --platform manylinux2014_aarch64 --target "$tree/site" "$@"
    echo "$wheels" >"$tree/.wheels"
fi
