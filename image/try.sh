#!/bin/sh
# Build the image and run tests/e2e against it: try.sh FLAVOR NAME. Without a container engine it does nothing.
set -eu
cd "$(dirname "$0")/.."
flavor=${1:-slim}
name=${2:-toolbox}
settings=$(image/engine.sh) || {
    [ $? = 3 ] || exit 1
    echo "image: e2e tests not run, this machine has no container engine" >&2
    exit 0
}
eval "$settings"
image/build.sh "$flavor" "$name"
TOOLBOX_ENGINE=$ENGINE TOOLBOX_IMAGE=$name:$flavor exec .venv/bin/python -m pytest -m e2e tests/e2e
