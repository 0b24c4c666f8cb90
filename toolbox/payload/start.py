"""Start a run, ``start.py CODE_FD CHARTS_FD ARGUMENT...``, or a fork server, ``start.py --serve CONTROL_FD``."""

import sys

# Python puts the folder of the script on the path; the user's program must not import from it.
_here = __file__.rpartition("/")[0]
if sys.path and sys.path[0] == _here:
    del sys.path[0]
# A package name that no module of the user has; a normal import would need the parent folder on the path.
_package = type(sys)("toolbox_payload")
_package.__path__ = [_here]
sys.modules["toolbox_payload"] = _package
if sys.argv[1] == "--serve":
    from toolbox_payload.server import main  # pyright: ignore[reportMissingImports]
else:
    from toolbox_payload.run import main  # pyright: ignore[reportMissingImports]

main(sys.argv[1:])
