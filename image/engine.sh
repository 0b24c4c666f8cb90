#!/bin/sh
# Say which container engine works here, as shell assignments: eval "$(image/engine.sh)" sets ENGINE and, where the
# engine's defaults do not work on this machine, CONTAINERS_CONF. Status 3: there is no engine and none can be had.
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
    echo "image: neither a Docker engine nor podman is here (apt-get install podman buildah runc debootstrap)" >&2
    exit 3
fi
echo "ENGINE=podman; export ENGINE"
[ -z "${CONTAINERS_CONF:-}" ] || exit 0
# Where limits cannot be raised, or crun does not know the cgroups, the defaults fail: then runc, with less. A working
# engine gets as far as not finding the program.
mkdir -p .cache/engine/root
if podman run --rm --rootfs "$PWD/.cache/engine/root" /nothing 2>&1 | grep -qiE 'not found|no such file'; then exit 0; fi
cat >.cache/engine/containers.conf <<'CONF'
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]
[engine]
runtime = "runc"
CONF
echo "CONTAINERS_CONF='$PWD/.cache/engine/containers.conf'; export CONTAINERS_CONF"
