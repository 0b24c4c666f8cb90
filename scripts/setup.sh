#!/bin/sh
# Set up to run (setup.sh run) or to test (setup.sh test): system packages, virtual environment, locked packages.
# Idempotent: a complete environment has a stamp file, so the second run is quick and needs no network.
set -eu
cd "$(dirname "$0")/.."
mode=${1:-run}
venv=.venv
lock=requirements/$mode.lock
stamp=$venv/.complete-$mode-$(cat "$lock" pyproject.toml scripts/setup.sh | sha256sum | cut -c1-16)

say() { echo "setup: $*" >&2; }

has() { command -v "$1" >/dev/null 2>&1; }

may_install() { [ "$(id -u)" = 0 ] && has apt-get; }

apt_install() {
    say "installing $*"
    [ -n "${apt_updated:-}" ] || apt-get update -q >&2 || return 1
    apt_updated=1
    DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@" >&2
}

# need PROGRAM "PACKAGES" EFFECT: install the packages if possible, else print what fails without PROGRAM.
need() {
    has "$1" && return 0
    # shellcheck disable=SC2086 # several packages
    if [ ! -f "$stamp" ] && may_install && apt_install $2; then return 0; fi
    say "$1 is missing, without it: $3 (apt-get install $2)"
}

system_packages() {
    need bash bash "sessions and terminals have a plain shell"
    need git git "the git endpoints do not work"
    need curl "curl ca-certificates" "the README's examples cannot be tried"
    [ "$mode" = test ] || return 0
    need git-lfs git-lfs "the tests of large files in git are skipped"
    need ssh openssh-client "the tests of git over SSH are skipped"
    need ps procps "the tests that look at processes from outside are skipped"
}

good_python() { "$1" -c 'import sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

find_python() {
    for name in ${PYTHON:-} python3 python3.14 python3.13 python3.12 python3.11; do
        if has "$name" && good_python "$name"; then command -v "$name"; return 0; fi
    done
    return 1
}

# Debian packages venv separately: without python3-venv there is no ensurepip. Then use uv or the system's pip.
make_venv() {
    python=$1
    if "$python" -c 'import ensurepip' 2>/dev/null; then "$python" -m venv --clear "$venv" && return 0; fi
    if may_install && apt_install python3-venv && "$python" -m venv --clear "$venv"; then return 0; fi
    if has uv && uv venv -q --seed --clear --python "$python" "$venv"; then return 0; fi
    if "$python" -m pip --python "$python" --version >/dev/null 2>&1; then
        "$python" -m venv --clear --without-pip "$venv"
        "$python" -m pip --python "$venv/bin/python" install -q --disable-pip-version-check pip && return 0
    fi
    rm -rf "$venv"
    say "$python cannot create a virtual environment with pip: apt-get install python3-venv, or install uv"
    return 1
}

environment() {
    if good_python "$venv/bin/python"; then
        "$venv/bin/python" -m pip --version >/dev/null 2>&1 || "$venv/bin/python" -m ensurepip >&2
        return 0
    fi
    if ! python=$(find_python); then
        may_install && apt_install python3 python3-venv
        python=$(find_python) || { say "Python 3.11 or newer is missing: apt-get install python3 python3-venv"; exit 1; }
    fi
    make_venv "$python"
}

pip_install() { "$venv/bin/python" -m pip install -q --disable-pip-version-check --no-warn-script-location "$@"; }

system_packages
[ ! -f "$stamp" ] || exit 0
# Lock: two runs at once (make run beside make test) would install into the same environment.
mkdir -p .cache
if has flock; then exec 9>.cache/setup.lock && flock 9; fi
environment
say "installing the locked packages ($lock)"
pip_install --require-hashes -r "$lock"
pip_install --no-deps --no-build-isolation -e .
rm -f "$venv"/.complete-"$mode"-*
touch "$stamp"
