"""Begin a run, ``start.py CODE_FD CHARTS_FD ARGUMENT...``, or a fork server, ``start.py --serve FD``."""

import sys

# This folder is on the path because the script is in it; the user's programs must not see it.
_here = __file__.rpartition("/")[0]
if sys.path and sys.path[0] == _here:
    del sys.path[0]
# The package is imported under a name that no user's module has, without its folder's parent on the path.
_package = type(sys)("toolbox_payload")
_package.__path__ = [_here]
sys.modules["toolbox_payload"] = _package
if sys.argv[1] == "--serve":
    from toolbox_payload.server import main  # pyright: ignore[reportMissingImports]
else:
    from toolbox_payload.run import main  # pyright: ignore[reportMissingImports]

main(sys.argv[1:])
