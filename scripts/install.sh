#!/usr/bin/env bash
# Makes .venv and installs one file of pinned requirements into it; does nothing when that was
# done before. Usage: scripts/install.sh requirements.txt
set -euo pipefail
cd "$(dirname "$0")/.."

wanted=$1
venv=.venv

say() { printf 'chatvault: %s\n' "$*"; }
fail() { printf 'chatvault: %s\n' "$*" >&2; exit 1; }

fingerprint() { sha256sum "$@" 2>/dev/null | sha256sum | cut -c1-32 || cksum "$@" | cksum; }

is_new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

find_python() {
    local candidate
    for candidate in ${PYTHON:-} python3 python3.13 python3.12 python3.11; do
        if is_new_enough "$candidate"; then
            printf '%s' "$candidate"
            return
        fi
    done
    fail "Python 3.11 or newer is needed and $(python3 --version 2>/dev/null || echo none) was" \
        "found: install it, or name it: make run PYTHON=/path/to/python3.11"
}

stamp() { printf '%s/installed.%s' "$venv" "${1%.txt}"; }

is_installed() {
    [ "$(cat "$(stamp "$1")" 2>/dev/null)" = "$(fingerprint "$1")" ]
}

make_venv() {
    local python
    python=$(find_python)
    say "creating $venv with $("$python" --version)"
    "$python" -m venv "$venv" || fail "Python cannot make a virtual environment:" \
        "install its venv module (on Debian: apt-get install python3-venv) and see that" \
        "$PWD is writable."
}

install_packages() {
    say "installing $(grep -c '==' "$wanted") packages from $wanted (a minute or so the first time)"
    local pip=("$venv/bin/python" -m pip install --disable-pip-version-check --require-hashes)
    if "${pip[@]}" --quiet -r requirements-bootstrap.txt 2>/dev/null &&
        "$venv/bin/uv" pip install --python "$venv/bin/python" --require-hashes -r "$wanted"; then
        return
    fi
    say "the quick installer is not available here; going on with pip"
    "${pip[@]}" --progress-bar off -r "$wanted" ||
        fail "the packages could not be installed: see above; is the package index reachable?"
}

[ -w . ] || [ -x "$venv/bin/python" ] || fail "$PWD is not writable: $venv cannot be made here."
if [ "$wanted" = requirements.txt ] && is_installed requirements-dev.txt; then
    wanted=requirements-dev.txt # the larger set holds the smaller one
fi
if is_installed "$wanted"; then
    exit 0
fi
if ! { [ -x "$venv/bin/python" ] && is_new_enough "$venv/bin/python"; }; then
    rm -rf "$venv"
    make_venv
fi
install_packages
say "compiling"
"$venv/bin/python" scripts/warm.py 2>/dev/null || true # only spares the first start the compiling
fingerprint "$wanted" >"$(stamp "$wanted")"
say "installed"
