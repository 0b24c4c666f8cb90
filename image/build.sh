#!/bin/sh
# Build the image: build.sh FLAVOR NAME, with Docker or else Podman. BUILD_ARGS adds build arguments.
set -eu
cd "$(dirname "$0")/.."
flavor=${1:-slim}
name=${2:-toolbox}
base=docker.io/library/debian:bookworm-slim
settings=$(image/engine.sh)
eval "$settings"

# shellcheck disable=SC2086 # several arguments
build() { $ENGINE build --build-arg "FLAVOR=$flavor" "$@" ${BUILD_ARGS:-} -t "$name:$flavor" .; }

if [ "$ENGINE" = docker ]; then
    build
    exit
fi
if ! podman image exists "$base" && ! podman pull -q "$base" >/dev/null 2>&1; then
    echo "image: $base cannot be pulled, building a substitute" >&2
    image/base.sh "$base"
fi
# The docker format keeps HEALTHCHECK; the OCI format has no field for it.
if [ "$(podman image inspect --format '{{index .Labels "stand-in"}}' "$base")" = debian ]; then
    build --format docker --pull=never --network=host
else
    build --format docker
fi
