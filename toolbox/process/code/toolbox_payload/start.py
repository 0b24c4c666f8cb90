"""Begin a run, ``start.py CODE_FD CHARTS_FD ARGUMENT...``, or a server of runs, ``start.py --serve FD``."""

import sys

# This folder was put on the path because the script is in it; the user's programs must not see it.
_here = __file__.rpartition("/")[0]
if sys.path and sys.path[0] == _here:
    del sys.path[0]
sys.path.insert(0, _here.rpartition("/")[0])
if sys.argv[1] == "--serve":
    from toolbox_payload.server import main  # pyright: ignore[reportMissingImports]
else:
    from toolbox_payload.run import main  # pyright: ignore[reportMissingImports]
del sys.path[0]

main(sys.argv[1:])
