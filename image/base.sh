#!/bin/sh
# Build a substitute for the Debian base image, for machines that reach Debian's packages but no image registry.
# It gets this machine's package sources and CA certificates, so that a build inside reaches the same hosts.
set -eu
name=$1
if ! command -v debootstrap >/dev/null 2>&1; then
    echo "image: debootstrap is missing (apt-get install debootstrap)" >&2
    exit 1
fi
mirror=$(sed -n 's/^URIs: *//p' /etc/apt/sources.list.d/*.sources 2>/dev/null | head -n 1)
[ -n "$mirror" ] || mirror=$(sed -n 's/^deb \(\[[^]]*\] \)\{0,1\}\([^ ]*\) .*/\2/p' /etc/apt/sources.list | head -n 1)
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
debootstrap --variant=minbase --include=ca-certificates bookworm "$root" "$mirror" >&2
rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/* "$root"/etc/apt/sources.list
cp -r /etc/apt/sources.list* "$root/etc/apt/"
# One file per certificate: an upgrade of ca-certificates rebuilds the bundle from these files.
cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
awk -v into="$root/usr/local/share/ca-certificates" '/BEGIN CERT/ { n++ } { print >(into "/machine-" n ".crt") }' \
    /etc/ssl/certs/ca-certificates.crt
tar -C "$root" -c . | podman import -q --change LABEL=stand-in=debian - "$name"
