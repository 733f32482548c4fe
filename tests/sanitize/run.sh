#!/usr/bin/env bash
# The kernel and operator tests on a core built with AddressSanitizer and UndefinedBehaviorSanitizer, in a copy of the tree.
# (The scheduler under ThreadSanitizer is tests/sched/test_stress.py, part of the ordinary tests.)
# Usage: tests/sanitize/run.sh [PYTHON]
set -euo pipefail
cd "$(dirname "$0")/../.."

python=$(realpath -s "${1:-.venv/bin/python}")
copy=.cache/sanitize
flags="-fsanitize=address,undefined"

mkdir -p $copy
cp -r asymo csrc tests setup.py pyproject.toml README.md $copy/
cd $copy
rm -f asymo/*.so
ASYMO_CFLAGS="-O1 -g $flags -fno-sanitize-recover=all" ASYMO_LDFLAGS=$flags "$python" setup.py -q build_ext --inplace

tests=$(grep -oE '^ASYMO_STEP[A-Z_]*\(\w+' csrc/exec/steps.inc | sed 's/.*(//' | while read -r kind; do ls tests/test_"$kind".py 2>/dev/null || true; done)
LD_PRELOAD="$(gcc -print-file-name=libasan.so) $(gcc -print-file-name=libubsan.so)" ASAN_OPTIONS=detect_leaks=0 PYTHONPATH=. \
    "$python" -m pytest -q -p no:cacheprovider $tests tests/test_ops.py
