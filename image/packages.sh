#!/bin/sh
# Install the packages of one flavour of the image: packages.sh base|slim|full
set -eu
export DEBIAN_FRONTEND=noninteractive

# pip and npm bundle their own CA certificates; use the system's.
certificates=/etc/ssl/certs/ca-certificates.crt

apt() { apt-get update -q && apt-get install -y -q --no-install-recommends "$@"; }

case "$1" in
base)
    apt tini sudo bash zsh git git-lfs ripgrep curl ca-certificates procps openssh-client less unzip zip \
        python3 python3-pip python3-venv python-is-python3
    ;;
slim) ;;
full)
    apt xvfb xauth xfce4 xfce4-terminal dbus-x11 at-spi2-core libatspi2.0-0 x11vnc novnc websockify x11-xserver-utils \
        xdotool wmctrl libx11-6 libxrandr2 libxext6 libxrender1 libxfixes3 libxss1 libxtst6 libxi6 libxcb1 libxcb-shm0 \
        libxcb-shape0 libxcb-xfixes0 fonts-dejavu-core ffmpeg chromium
    python3 -m pip install --no-cache-dir --cert $certificates \
        numpy pandas matplotlib seaborn scikit-learn requests ipykernel "python-lsp-server[pyflakes]"
    npm install --global --cafile=$certificates --no-audit --no-fund typescript typescript-language-server tsx
    ;;
*)
    echo "packages.sh: unknown flavour $1: slim or full" >&2
    exit 2
    ;;
esac
