#!/usr/bin/env bash
# All checks, lint, format, types and tests: scripts/test.sh [pytest arguments]
# Paths among the arguments are relative to the repository's root.
set -euo pipefail
source "$(dirname -- "${BASH_SOURCE[0]}")/environment.sh"
environment dev
cd "$root"
# On a busy machine, two threads a process can be ten times slower than one for small models.
export OMP_NUM_THREADS=1 MKL_NUM_THREADS=1
python -m ruff check .
python -m ruff format --check .
python -m pyright
# A process for each core, each with one thread; --dist loadfile: what a file shares is made once.
exec python -m pytest -n auto --dist loadfile --no-loadscope-reorder "$@"
