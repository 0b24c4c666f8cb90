"""Print every module of the daemon that has no bytecode; runs inside the image."""

import importlib.util
import pathlib
import sys

for root in (pathlib.Path(sys.prefix, "lib"), pathlib.Path(sys.base_prefix, "lib")):
    for path in root.rglob("*.py"):
        if not pathlib.Path(importlib.util.cache_from_source(str(path))).exists():
            try:
                compile(path.read_bytes(), str(path), "exec")
            except (SyntaxError, ValueError):
                continue  # templates and tests of other versions
            print(path)
