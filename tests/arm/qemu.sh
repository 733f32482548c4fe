#!/usr/bin/env bash
# qemu.sh: a qemu-aarch64 that knows cortex-a55 (8.2 and newer). Where the system's is older and apt has Debian's backports, a newer one
# goes to .cache/qemu, beside nothing else of the system. Without one, tests/arm leaves cortex-a55 out and says so.
set -euo pipefail
cd "$(dirname "$0")/../.."
folder=$PWD/.cache/qemu
[ -x "$folder/qemu-aarch64" ] && exit 0
qemu-aarch64 -cpu help 2>/dev/null | grep -qw cortex-a55 && exit 0
command -v apt-get dpkg-deb >/dev/null || exit 0

. /etc/os-release
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep -v security | head -n 1)
state=$(mktemp -d)
trap 'rm -rf "$state"' EXIT
mkdir -p "$state"/{lists/partial,cache/archives/partial,preferences}
: >"$state/status"
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror ${VERSION_CODENAME}-backports main" >"$state/sources.list"
own=(-o APT::Sandbox::User= -o "Dir::State=$state" -o "Dir::State::status=$state/status" -o "Dir::Cache=$state/cache"
    -o "Dir::Etc::sourcelist=$state/sources.list" -o Dir::Etc::sourceparts=- -o "Dir::Etc::preferencesparts=$state/preferences" -o Debug::NoLocking=1)
(
    cd "$state"
    apt-get "${own[@]}" -qq update && apt-get "${own[@]}" -qq download qemu-user && dpkg-deb -x ./*.deb tree
) || { echo "no newer qemu: cortex-a55 is left out"; exit 0; }
mkdir -p "$folder"
cp "$state/tree/usr/bin/qemu-aarch64" "$folder/"
"$folder/qemu-aarch64" --version | head -n 1
