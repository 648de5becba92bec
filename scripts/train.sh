#!/usr/bin/env bash
# Make the environment if need be, then train: scripts/train.sh [overrides]
# For example: scripts/train.sh mining=ohem mining.keep=0.25 epochs=10
# The run folder and relative paths are those of the current directory, as with `python -m trainer`.
set -euo pipefail
source "$(dirname -- "${BASH_SOURCE[0]}")/environment.sh"
environment
exec python -m trainer "$@"
