#!/usr/bin/env bash
# Set up the environment if need be, then train: scripts/train.sh [overrides]
# For example: scripts/train.sh mining=ohem mining.keep=0.25 epochs=10
# Run folders and relative paths are relative to the current directory, as for `python -m trainer`.
set -euo pipefail
# shellcheck source=scripts/environment.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/environment.sh"
environment ""
exec python -m trainer "$@"
