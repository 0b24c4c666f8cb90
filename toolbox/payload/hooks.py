"""Patch a plotting library, or the part of ``multiprocessing`` that starts children, when it is imported.

Only then the modules with the patches are loaded.
"""

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any, Optional, Sequence

_WATCHED = {
    "matplotlib.axes._axes": ("capture", "axes_loaded"),
    "matplotlib.figure": ("capture", "figure_loaded"),
    "matplotlib.pyplot": ("capture", "pyplot_loaded"),
    "multiprocessing.spawn": ("children", "spawn_loaded"),
    "plotly.basedatatypes": ("capture", "plotly_loaded"),
    "plotly.io": ("capture", "plotly_io_loaded"),
}


class Finder:
    """Import finder that finds watched modules the usual way, and patches them once they are executed."""

    def find_spec(self, name: str, path: "Optional[Sequence[str]]" = None, target: "Any" = None) -> "Any":
        """Return the spec of a watched module with a wrapped loader, None for other modules."""
        if name not in _WATCHED:
            return None
        for finder in sys.meta_path:
            if finder is not self:
                spec: Any = finder.find_spec(name, path, target)
                if spec is not None and hasattr(spec.loader, "exec_module"):
                    spec.loader = Loader(spec.loader)
                    return spec
        return None


class Loader:
    """Wrap the loader of a module until the module is executed."""

    def __init__(self, loader: "Any") -> None:
        self._loader = loader

    def __getattr__(self, name: str) -> "Any":
        return getattr(self._loader, name)

    def exec_module(self, module: "ModuleType") -> None:
        """Execute the module, then patch it."""
        spec: Any = module.__spec__
        spec.loader = module.__loader__ = self._loader
        self._loader.exec_module(module)
        patch(module)


def patch(module: "ModuleType") -> None:
    """Patch a library that was just loaded; errors are dropped, because the program must run without charts too."""
    try:
        import importlib

        part, function = _WATCHED[module.__name__]
        getattr(importlib.import_module("." + part, __package__), function)(module)
    except Exception:
        return


def watch() -> None:
    """Watch imports; figures are drawn without a screen."""
    os.environ.setdefault("MPLBACKEND", "Agg")
    sys.meta_path.insert(0, Finder())
