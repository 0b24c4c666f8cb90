"""Import the usual libraries into the fork server, and detect when that is out of date."""

import importlib
import os
import sys

from . import end

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, List, Optional, Set, Tuple

_STANDARD = (
    "argparse ast asyncio base64 bisect calendar collections.abc concurrent.futures configparser contextlib copy csv "
    "ctypes dataclasses datetime decimal difflib email.message enum fractions functools getpass glob gzip hashlib "
    "heapq html http.client importlib.metadata inspect io itertools json linecache "
    "locale logging math mimetypes operator "
    "pathlib pickle platform pprint queue random re secrets shlex shutil signal socket sqlite3 ssl statistics string "
    "struct subprocess tempfile textwrap threading time timeit traceback types typing unittest urllib.parse "
    "urllib.request uuid weakref xml.etree.ElementTree zipfile zlib"
).split()
_HEAVY = ("numpy", "pandas", "matplotlib", "matplotlib.pyplot")
# Below a tenth of free memory the imported libraries are given up in favour of programs.
_SHARE = 10


class State:
    """What was imported, and the files it depends on."""

    def __init__(self, startup: "Set[str]") -> None:
        loaded = {name.partition(".")[0] for name in sys.modules}
        # A module in the working directory shadows a library in a fresh interpreter, but not one imported already.
        self.shadowable = loaded - {name.partition(".")[0] for name in startup} - {"toolbox_payload"}
        sys.modules[end.MARK] = type(sys)(end.MARK)
        self.watched = [(path, _stamp(path)) for path in sorted(set(_watched()))]

    def refusal(self) -> bytes:
        """Return why no workers can be forked any more; empty if they can."""
        if not self.is_fresh():
            return b"stale"
        return b"memory" if self.memory_is_short() else b""

    def is_fresh(self) -> bool:
        """Tell whether a fresh interpreter would import the same files."""
        return all(_stamp(path) == stamp for path, stamp in self.watched)

    def is_shadowed(self) -> bool:
        """Tell whether a module in the working directory would shadow one that was imported here."""
        try:
            names = os.listdir(".")
        except OSError:
            return False
        return any(name.partition(".")[0] in self.shadowable for name in names)

    def memory_is_short(self) -> bool:
        """Tell whether the machine or the cgroup has little memory left."""
        return any(left * _SHARE < total for left, total in (_machine(), _group()) if total)


def load(plain: bool, start_again: "List[str]") -> State:
    """Import everything, with ``plain`` only the standard library; ``start_again`` is the command for that."""
    from . import hooks

    startup = set(sys.modules)
    hooks.watch()
    for name in _STANDARD:
        try:
            importlib.import_module(name)
        except Exception:
            continue
    if not plain:
        _load_heavy(start_again)
    _open_c_library()
    # An import may have computed it; each program computes it from its own environment.
    sys.modules["tempfile"].tempdir = None  # type: ignore[attr-defined]
    return State(startup)


def _open_c_library() -> None:
    try:
        import ctypes

        end.c_library.append(ctypes.CDLL(None))
    except Exception:
        return


def _load_heavy(start_again: "List[str]") -> None:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in _HEAVY:
            try:
                importlib.import_module(name)
            except ModuleNotFoundError as error:
                if error.name != name.partition(".")[0]:
                    os.execv(sys.executable, start_again)
                if name == "numpy":
                    return
            except BaseException:
                # A half-imported library cannot be unloaded: start again without.
                os.execv(sys.executable, start_again)
        if "matplotlib.pyplot" in sys.modules:
            _draw()


def _draw() -> None:
    """Draw once, which loads the fonts and the PNG writer; the figure is dropped."""
    try:
        figure_module = importlib.import_module("matplotlib.figure")
        agg = importlib.import_module("matplotlib.backends.backend_agg")
        figure = figure_module.Figure()
        agg.FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        axes.plot([0, 1], [0, 1], label="a")
        axes.set_title("a")
        axes.legend()
        importlib.import_module("toolbox_payload.figures").read(figure)
    except Exception:
        return


def _watched() -> "List[str]":
    """Return the files and folders whose change makes the imports out of date."""
    import site

    found = [sys.executable, os.path.join(sys.prefix, "pyvenv.cfg"), *filter(None, sys.path)]
    user = getattr(site, "getusersitepackages", None)
    if user is not None:
        found.append(user())
    for name in _HEAVY:
        module = sys.modules.get(name)
        found += list(getattr(module, "__path__", ()))
    matplotlib: Any = sys.modules.get("matplotlib")
    if matplotlib is not None:
        found += [
            matplotlib.matplotlib_fname(),
            os.path.join(matplotlib.get_configdir(), "matplotlibrc"),
            "matplotlibrc",
        ]
    return found


def _stamp(path: str) -> "Optional[Tuple[int, int, int]]":
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns


def _machine() -> "Tuple[int, int]":
    """Return the available and the total memory in KiB, zeros if unknown."""
    try:
        with open("/proc/meminfo") as file:
            lines = dict(line.split(":", 1) for line in file)
        return int(lines["MemAvailable"].split()[0]), int(lines["MemTotal"].split()[0])
    except (OSError, KeyError, ValueError):
        return 0, 0


def _group() -> "Tuple[int, int]":
    """Return the available memory and the limit of our cgroup in bytes, zeros if unknown."""
    folder = "/sys/fs/cgroup"
    try:
        with open("/proc/self/cgroup") as file:
            own = file.read().strip().rpartition(":")[2]
        for place in (folder + own.rstrip("/"), folder):
            if os.path.exists(place + "/memory.max"):
                return _group_at(place)
    except (OSError, ValueError):
        pass
    return 0, 0


def _group_at(folder: str) -> "Tuple[int, int]":
    with open(folder + "/memory.max") as file:
        limit = file.read().strip()
    if limit == "max":
        return 0, 0
    with open(folder + "/memory.current") as file:
        used = int(file.read())
    with open(folder + "/memory.stat") as file:
        cached = sum(int(line.split()[1]) for line in file if line.startswith("inactive_file "))
    return int(limit) - used + cached, int(limit)
