#!/usr/bin/env bash
# Check everything: lint, format, types and all tests: scripts/test.sh
# Run a part of the tests, without the rest: scripts/test.sh tests/loss -k focal
# Arguments are pytest's; paths are relative to the repository's root.
set -euo pipefail
# shellcheck source=scripts/environment.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/environment.sh"
environment dev
cd "$root"
# On a busy machine, two threads per process can be ten times slower than one for small models.
export OMP_NUM_THREADS=1 MKL_NUM_THREADS=1
# Compile each module once, not in every process that the tests start.
unset PYTHONDONTWRITEBYTECODE
if (($#)); then
    exec python -m pytest "$@" # in one process: starting one per core takes longer than most parts
fi
python -m ruff check .
python -m ruff format --check .
python -m pyright
# One process per core, each with one thread; loadfile: a file's shared fixtures are made once.
exec python -m pytest -n auto --dist loadfile --no-loadscope-reorder
