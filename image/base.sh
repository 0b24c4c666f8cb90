#!/bin/sh
# Make a stand-in for the Debian base image where none can be pulled, from the mirror this machine itself uses.
set -eu
name=$1
command -v debootstrap >/dev/null 2>&1 || { echo "image: debootstrap is missing (apt-get install debootstrap)" >&2; exit 1; }
mirror=$(sed -n 's/^URIs: *//p' /etc/apt/sources.list.d/*.sources 2>/dev/null | head -n 1)
[ -n "$mirror" ] || mirror=$(sed -n 's/^deb \(\[[^]]*\] \)\{0,1\}\([^ ]*\) .*/\2/p' /etc/apt/sources.list | head -n 1)
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
debootstrap --variant=minbase --include=ca-certificates bookworm "$root" "$mirror" >&2
tar -C "$root" -c . | podman import -q - "$name"
