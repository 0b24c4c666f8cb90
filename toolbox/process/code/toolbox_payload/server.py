"""Keep an interpreter with everything imported, and fork each run from it."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import List


def main(argv: "List[str]") -> None:
    """Serve on descriptor ``argv[1]``."""
