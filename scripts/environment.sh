# shellcheck shell=bash
# Sourced by train.sh and test.sh, under `set -euo pipefail`. `environment [EXTRA]` activates a
# virtual environment, the current one or else .venv in the repository's root, and installs the
# package into it.

root=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)

find_python() {
    local python probe
    probe='import ensurepip, sys, venv; sys.exit(not (3, 11) <= sys.version_info < (3, 14))'
    for python in python3.11 python3.12 python3.13 python3; do
        # Run it rather than look it up: a version manager's shim can exist and still fail.
        if "$python" -c "$probe" >/dev/null 2>&1; then
            echo "$python"
            return
        fi
    done
    echo "no Python 3.11 to 3.13 with venv found; install one, e.g. apt-get install python3.11-venv" >&2
    return 1
}

environment() {
    local extra=${1:-} python wanted stamp
    if [[ -z ${VIRTUAL_ENV:-} || ! -x $VIRTUAL_ENV/bin/python ]]; then
        VIRTUAL_ENV=$root/.venv
        if [[ ! -x $VIRTUAL_ENV/bin/python ]]; then
            python=$(find_python)
            "$python" -m venv "$VIRTUAL_ENV"
        fi
    fi
    export VIRTUAL_ENV PATH="$VIRTUAL_ENV/bin:$PATH"

    # Includes the root: the editable install of another checkout would run that one's code.
    wanted=$({ echo "$root" && cat "$root/pyproject.toml" "$root/constraints.txt"; } |
        python -c 'import hashlib, sys; print(hashlib.sha256(sys.stdin.buffer.read()).hexdigest())')
    stamp=$VIRTUAL_ENV/.trainer-installed
    case $(cat "$stamp" 2>/dev/null) in
        "$wanted $extra" | "$wanted dev") return ;; # dev includes all of the plain install
    esac

    echo "installing into $VIRTUAL_ENV: takes minutes, and gigabytes for torch with CUDA" >&2
    rm -f "$stamp"
    # An environment made by uv, or one whose creation was interrupted, has no pip.
    python -m pip --version >/dev/null 2>&1 || python -m ensurepip >/dev/null
    (cd "$root" && python -m pip install --quiet --disable-pip-version-check \
        -c constraints.txt -e ".${extra:+[$extra]}")
    echo "$wanted $extra" >"$stamp"
}
