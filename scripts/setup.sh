#!/bin/sh
# Set up to run (setup.sh run) or to test (setup.sh test): virtual environment, locked packages, system packages.
# Idempotent: what is complete has a stamp, so the second run is quick and needs no network.
set -eu
cd "$(dirname "$0")/.."
mode=${1:-run}
venv=.venv
lock=requirements/$mode.lock
say() { echo "setup: $*" >&2; }

as_root() { [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; }

# install PROGRAM PACKAGE WHAT-FOR: with apt as root, else say what is missing and what will not work without it.
install() {
    command -v "$1" >/dev/null 2>&1 && return 0
    if as_root; then
        [ -n "${apt_updated:-}" ] || { apt-get update -q >&2 && apt_updated=1; }
        say "installing $2"
        DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $2 >&2 && return 0
    fi
    say "$1 is missing, without it: $3 (apt-get install $2)"
    return 1
}

good_python() { "$1" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

find_python() {
    for name in ${PYTHON:-} python3 python3.13 python3.12 python3.11 python3.14; do
        command -v "$name" >/dev/null 2>&1 && good_python "$name" && { command -v "$name"; return 0; }
    done
    return 1
}

system_packages() {
    install bash bash "sessions and terminals have a plain shell" || true
    install git git "the git endpoints do not work" || true
    install curl "curl ca-certificates" "the README's examples cannot be tried" || true
    [ "$mode" = test ] || return 0
    install ps procps "some tests are skipped" || true
}

stamp=$venv/.complete-$mode-$(cat "$lock" pyproject.toml "$0" | sha256sum | cut -c1-16)
if [ ! -f "$stamp" ]; then
    system_packages
    if ! python=$(find_python); then
        as_root && { apt-get update -q >&2; apt-get install -y -q --no-install-recommends python3 python3-venv >&2; }
        python=$(find_python) || { say "Python 3.11 or newer with venv is missing (apt-get install python3 python3-venv)"; exit 1; }
    fi
    [ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
    "$venv/bin/python" -m pip --version >/dev/null 2>&1 || "$venv/bin/python" -m ensurepip -q
    say "installing the locked packages ($lock)"
    "$venv/bin/python" -m pip install -q --disable-pip-version-check --require-hashes -r "$lock"
    "$venv/bin/python" -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
    rm -f "$venv"/.complete-"$mode"-*
    touch "$stamp"
fi
