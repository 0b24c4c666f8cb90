"""Run a program as ``python3 -u -`` would, with its charts reported.

Only what every program needs is imported here: imports are most of what a fresh run adds to the
start of the interpreter.
"""

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType, TracebackType
    from typing import List, Optional, Sequence

NAME = "<stdin>"
# No exit status: those have 8 bits.
INTERRUPTED = 0x100
# The text of the program, for children that execute it again.
program: "List[str]" = []
_HERE = __file__.rpartition("/")[0] + "/"


def main(argv: "List[str]") -> None:
    """Run the program in descriptor ``argv[0]``, with rich output written to descriptor ``argv[1]``."""
    from . import hooks, sink

    with open(int(argv[0]), "rb") as file:
        code = file.read().decode("utf-8", "surrogatepass")
    output = int(argv[1])
    os.set_inheritable(output, False)
    sink.open_on(output)
    hooks.watch()
    status = execute(code, argv[2:])
    if status == INTERRUPTED:
        from . import end

        end.finish(status)
    if status:
        sys.exit(status)


def execute(text: str, arguments: "Sequence[str]") -> int:
    """Run a program as ``__main__``; return 1 or ``INTERRUPTED`` after an exception, raise ``SystemExit``."""
    # A byte order mark from the program's file. ``compile`` ignores encoding lines in text by itself.
    if text.startswith("\ufeff"):
        text = text[1:]
    program[:] = [text]
    module = new_main(arguments)
    try:
        # ``dont_inherit``: the compiler flags of this file must not apply to the program.
        exec(compile(text, NAME, "exec", dont_inherit=True), module.__dict__)
    except SystemExit:
        raise
    except BaseException as error:
        report(error, text)
        # Exactly this class: an interpreter does not end by the signal after a subclass.
        return INTERRUPTED if type(error) is KeyboardInterrupt else 1
    return 0


def execute_to_status(text: str, arguments: "Sequence[str]") -> int:
    """Run a program and return its exit status, 0 to 255 also for ``SystemExit``, or ``INTERRUPTED``."""
    try:
        return execute(text, arguments)
    except SystemExit as error:
        code = _code_of(error)
    if code is None:
        return 0
    if isinstance(code, int):
        # The interpreter reads a C long and takes one that does not fit for -1.
        return code & 0xFF if -sys.maxsize - 1 <= code <= sys.maxsize else 0xFF
    _print(code)
    return 1


def _code_of(error: SystemExit) -> "object":
    try:
        return error.code
    except Exception:
        return error


def _print(code: "object") -> None:
    try:
        line = "%s\n" % (code,)
        if sys.stderr is None:
            os.write(2, line.encode("utf-8", "backslashreplace"))
        else:
            sys.stderr.write(line)
    except Exception:
        return


def new_main(arguments: "Sequence[str]") -> "ModuleType":
    """Install a new ``__main__``, with the path and the arguments of a program read from standard input."""
    module = type(sys)("__main__")
    module.__dict__.update(__builtins__=sys.modules["builtins"], __file__=NAME, __cached__=None)
    sys.modules["__main__"] = module
    sys.argv[:] = ["-"] + list(arguments)
    if not getattr(sys.flags, "safe_path", False):
        sys.path.insert(0, "")
    return module


def report(error: BaseException, text: str) -> None:
    """Print a traceback with the user's frames only and with their source lines."""
    trace = _users(error.__traceback__)
    error = error.with_traceback(trace)
    sys.last_type, sys.last_value, sys.last_traceback = type(error), error, trace
    try:
        if sys.excepthook is not sys.__excepthook__:
            sys.excepthook(type(error), error, trace)
            return
        import linecache
        import traceback

        # Not ``splitlines``: only these three ends of lines count for the compiler.
        lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
        linecache.cache[NAME] = (len(text), None, [line + "\n" for line in lines], NAME)
        sys.stderr.write("".join(traceback.format_exception(type(error), error, trace)))
    except Exception:
        # No standard error any more, or an exception that cannot be printed: the interpreter handles both.
        sys.__excepthook__(type(error), error, trace)


def _users(trace: "Optional[TracebackType]") -> "Optional[TracebackType]":
    while trace is not None and trace.tb_frame.f_code.co_filename.startswith(_HERE):
        trace = trace.tb_next
    return trace
