#!/bin/sh
# Print the container engine that works here as shell assignments: eval "$(image/engine.sh)" sets ENGINE and, if the
# engine's defaults fail on this machine, CONTAINERS_CONF. Exit status 3: no engine is installed and none can be.
set -eu
cd "$(dirname "$0")/.."

has() { command -v "$1" >/dev/null 2>&1; }

if has docker && docker info >/dev/null 2>&1; then
    echo "ENGINE=docker; export ENGINE"
    exit 0
fi
if ! has podman && [ "$(id -u)" = 0 ] && has apt-get; then
    echo "image: installing podman" >&2
    { apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends \
        podman buildah runc debootstrap iptables netavark aardvark-dns; } >&2 || true
fi
if ! has podman; then
    echo "image: neither a Docker engine nor podman is installed (apt-get install podman buildah runc debootstrap)" >&2
    exit 3
fi
echo "ENGINE=podman; export ENGINE"
[ -z "${CONTAINERS_CONF:-}" ] || exit 0
# The defaults fail where ulimits cannot be raised, or where crun does not support the cgroup set-up: there use runc with
# lower ulimits. A working engine gets as far as the error that /nothing does not exist.
mkdir -p .cache/engine/root
if podman run --rm --rootfs "$PWD/.cache/engine/root" /nothing 2>&1 | grep -qiE 'not found|no such file'; then exit 0; fi
cat >.cache/engine/containers.conf <<'CONF'
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]
[engine]
runtime = "runc"
CONF
echo "CONTAINERS_CONF='$PWD/.cache/engine/containers.conf'; export CONTAINERS_CONF"
