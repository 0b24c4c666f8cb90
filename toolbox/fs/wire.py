"""The requests and responses of ``/files``."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from toolbox.wire import Flag, Needed, Wire

Count = Annotated[int, Meta(ge=1, le=1_000_000_000)]


class FileInfo(Wire, kw_only=True):
    """One file as the SDKs know it; ``owner`` and ``group`` are decimal numbers as text."""

    additive = frozenset(
        {
            "modifiedAt",
            "path",
            "type",
            "isSymlink",
            "symlinkTarget",
            "symlinkBroken",
            "ownerName",
            "groupName",
            "rawName",
            "rawPath",
            "hashes",
        }
    )

    name: str
    is_dir: bool
    size: int
    mod_time: str
    mode: str
    permissions: str
    owner: str
    group: str
    modified_at: str | None = None
    path: str | None = None
    type: str | None = None
    is_symlink: bool = False
    symlink_target: str | None = None
    symlink_broken: bool = False
    owner_name: str | None = None
    group_name: str | None = None
    raw_name: str | None = None
    raw_path: str | None = None
    hashes: dict[str, str] | None = None


class PathQuery(Wire, kw_only=True):
    """A required path."""

    path: Needed = ""


class ListQuery(Wire, kw_only=True):
    """The directory to list, and the number of levels."""

    path: str | None = None
    depth: str | None = None


class InfoQuery(PathQuery, kw_only=True):
    """A file to describe; ``hash`` names digests to compute (``sha256,md5``)."""

    hash: str | None = None


class FolderQuery(PathQuery, kw_only=True):
    """A directory to create with an octal mode."""

    mode: str | None = None


class DeleteQuery(PathQuery, kw_only=True):
    """A file or, with ``recursive=true``, a tree to remove."""

    recursive: Flag | None = None


class MoveQuery(Wire, kw_only=True):
    """Source and destination."""

    source: Needed = ""
    destination: Needed = ""


class CopyQuery(MoveQuery, kw_only=True):
    """Source and destination; ``overwrite=true`` replaces an existing file."""

    overwrite: Flag | None = None


class CopyResponse(Wire, kw_only=True):
    """Numbers of the copy; ``skipped`` lists entries that cannot be copied, such as sockets."""

    files: int
    bytes: int
    skipped: list[str] = []


class PermissionsQuery(PathQuery, kw_only=True):
    """Values to change; an empty one is left unchanged."""

    mode: str | None = None
    owner: str | None = None
    group: str | None = None


class SearchQuery(PathQuery, kw_only=True):
    """A name pattern below a root, with filters."""

    pattern: Needed = ""
    type: Literal["file", "dir", "symlink", ""] | None = None
    exclude: list[str] | None = None
    ignore_case: Flag | None = None
    min_size: int | None = None
    max_size: int | None = None
    modified_after: str | None = None
    modified_before: str | None = None
    max_results: Count | None = None


class SearchResponse(Wire, kw_only=True):
    """Paths found; ``rawFiles`` are the percent-encoded bytes of those that are not UTF-8."""

    additive = frozenset({"rawFiles", "truncated"})

    files: list[str]
    raw_files: list[str] | None = None
    truncated: bool = False


class FindQuery(PathQuery, kw_only=True):
    """A text to find below a root; literal and case-sensitive by default."""

    pattern: Needed = ""
    regex: Flag | None = None
    ignore_case: Flag | None = None
    include: list[str] | None = None
    exclude: list[str] | None = None
    context: Annotated[int, Meta(ge=0, le=100)] = 0
    max_results: Count | None = None
    max_file_size: Count | None = None
    gitignore: Flag | None = None


class Match(Wire, kw_only=True):
    """One matching line; ``before`` and ``after`` are its context."""

    additive = frozenset({"rawFile", "truncated", "before", "after"})

    file: str
    line: int
    content: str
    raw_file: str | None = None
    truncated: bool = False
    before: list[str] | None = None
    after: list[str] | None = None


class Matches(list[Match]):
    """Matches in order; a long list is encoded off the loop."""

    def wire_size(self) -> int:
        """Estimate the size of the JSON."""
        return sum(100 + len(match.content) for match in self)


class Listing(list[FileInfo]):
    """Entries in order; a long list is encoded off the loop."""

    def wire_size(self) -> int:
        """Estimate the size of the JSON."""
        return 400 * len(self)


class ReplaceRequest(Wire, kw_only=True):
    """Files to change; ``rawFiles`` are percent-encoded paths, for names JSON cannot carry."""

    files: list[str]
    pattern: Annotated[str, Meta(min_length=1)]
    new_value: str
    dry_run: bool | None = None
    raw_files: list[str] | None = None


class ReplaceResult(Wire, kw_only=True):
    """The result of one file."""

    additive = frozenset({"replacements", "diff", "rawFile"})

    file: str
    success: bool
    error: str | None = None
    replacements: int | None = None
    diff: str | None = None
    raw_file: str | None = None


class BulkDownloadRequest(Wire, kw_only=True):
    """Files to send; ``rawPaths`` are percent-encoded paths, for names JSON cannot carry."""

    paths: list[str] = []
    raw_paths: list[str] | None = None


class UploadQuery(PathQuery, kw_only=True):
    """The destination of an upload."""


class UploadResponse(Wire, kw_only=True):
    """The written file; ``path`` exactly as the client sent it."""

    name: str
    path: str
    type: str


class Uploaded(Wire, kw_only=True):
    """One file of a bulk upload."""

    path: str
    bytes: int


class BulkUploadResponse(Wire, kw_only=True):
    """The files that were written."""

    files: list[Uploaded]


class ArchiveQuery(PathQuery, kw_only=True):
    """A tree to pack."""

    format: Literal["tar", "tar.gz", "zip"] = "tar.gz"
    exclude: list[str] | None = None


class ExtractQuery(PathQuery, kw_only=True):
    """The destination; without ``format`` the format is detected by the content."""

    format: Literal["tar", "tar.gz", "zip"] | None = None
    overwrite: Flag | None = None


class ExtractResponse(Wire, kw_only=True):
    """Numbers of the extraction."""

    files: int
    bytes: int


class WatchQuery(PathQuery, kw_only=True):
    """The path to watch; ``cursor`` resumes after the event with that id."""

    recursive: str | None = None
    include: list[str] | None = None
    exclude: list[str] | None = None
    debounce: Annotated[int, Meta(ge=10, le=10_000)] = 50
    cursor: str | None = None


class WatchHeaders(Wire, kw_only=True, rename={"last_event_id": "Last-Event-ID"}):
    """The last event that a reconnecting ``EventSource`` received."""

    last_event_id: str | None = None


class WatchEvent(Wire, kw_only=True):
    """One change; after OVERFLOW, which means that changes were lost, list the directory again."""

    id: str
    type: Literal["READY", "CREATE", "WRITE", "DELETE", "OVERFLOW"]
    path: str
    name: str
    is_dir: bool
    timestamp: str
    raw_path: str | None = None
