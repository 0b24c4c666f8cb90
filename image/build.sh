#!/bin/sh
# Build the image: build.sh FLAVOR NAME. Docker or Podman, whichever is there.
# BUILD_ARGS adds arguments to the build, for example certificates or a network of this machine.
set -eu
cd "$(dirname "$0")/.."
flavor=${1:-slim}
name=${2:-toolbox}
base=docker.io/library/debian:bookworm-slim

if command -v docker >/dev/null 2>&1 && docker info >/dev/null 2>&1; then
    # shellcheck disable=SC2086 # several arguments
    exec docker build --build-arg "FLAVOR=$flavor" ${BUILD_ARGS:-} -t "$name:$flavor" .
fi
if ! command -v podman >/dev/null 2>&1; then
    echo "image: neither a Docker engine nor podman is here (apt-get install podman buildah runc)" >&2
    exit 1
fi
if ! podman image exists "$base" && ! podman pull -q "$base" >/dev/null 2>&1; then
    image/base.sh "$base"
fi
# shellcheck disable=SC2086 # several arguments
exec podman build --pull=never --build-arg "FLAVOR=$flavor" ${BUILD_ARGS:-} -t "$name:$flavor" .
