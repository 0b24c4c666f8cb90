#!/bin/sh
# Build the image: build.sh FLAVOR NAME, with Docker or Podman, whichever is there. BUILD_ARGS adds arguments.
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
    echo "image: $base cannot be pulled, making a stand-in" >&2
    image/base.sh "$base"
fi
# The docker format keeps the health check, which the OCI format has no place for.
if [ "$(podman image inspect --format '{{index .Labels "stand-in"}}' "$base")" = debian ]; then
    build --format docker --pull=never --network=host
else
    build --format docker
fi
