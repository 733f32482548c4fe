#!/bin/sh
# cppcheck over the C code, once as x86-64 sees it and once as aarch64 does. Fails on the first finding that is not suppressed.
set -eu
cd "$(dirname "$0")/../.."

for arch in __x86_64__ __aarch64__; do
    cppcheck --quiet --error-exitcode=1 --std=c11 --language=c --platform=unix64 -j "$(nproc)" \
        --enable=warning,performance,portability --inline-suppr --suppressions-list=tests/lint/cppcheck.suppress \
        -D__linux__ -D"$arch" -DASYMO_VERSION='"lint"' -I csrc csrc tests
done
