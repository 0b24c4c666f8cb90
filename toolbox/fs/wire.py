"""What crosses the wire in the files area."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from toolbox.wire import Flag, Needed, Wire

Depth = Annotated[int, Meta(ge=1, le=1_000_000)]
Count = Annotated[int, Meta(ge=1, le=1_000_000_000)]


class FileInfo(Wire, kw_only=True):
    """One file as the SDKs know it; ``owner`` and ``group`` are numbers in text."""

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


class ListQuery(Wire, kw_only=True):
    """Which directory to list, and how deep."""

    path: str | None = None
    depth: str | None = None


class PathQuery(Wire, kw_only=True):
    """A required path."""

    path: Needed = ""


class InfoQuery(Wire, kw_only=True):
    """A file to describe; ``hash`` names digests to compute (``sha256,md5``)."""

    path: Needed = ""
    hash: str | None = None


class FolderQuery(Wire, kw_only=True):
    """A directory to create with an octal mode."""

    path: Needed = ""
    mode: str | None = None


class DeleteQuery(Wire, kw_only=True):
    """A file or, with ``recursive=true``, a tree to remove."""

    path: Needed = ""
    recursive: Flag | None = None


class MoveQuery(Wire, kw_only=True):
    """From where to where."""

    source: Needed = ""
    destination: Needed = ""


class CopyQuery(Wire, kw_only=True):
    """From where to where; ``overwrite=true`` replaces an existing file."""

    source: Needed = ""
    destination: Needed = ""
    overwrite: Flag | None = None


class CopyResponse(Wire, kw_only=True):
    """What was copied; ``skipped`` names entries that cannot be copied, such as sockets."""

    files: int
    bytes: int
    skipped: list[str] = []


class PermissionsQuery(Wire, kw_only=True):
    """What to change; empty means leave as it is."""

    path: Needed = ""
    mode: str | None = None
    owner: str | None = None
    group: str | None = None


class SearchQuery(Wire, kw_only=True):
    """A name pattern below a root; the rest narrows the result."""

    path: Needed = ""
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


class FindQuery(Wire, kw_only=True):
    """A text below a root: literal and case-sensitive unless asked otherwise."""

    path: Needed = ""
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
    """One line that matches."""

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
    """What became of one file."""

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


class UploadQuery(Wire, kw_only=True):
    """Where an upload goes."""

    path: Needed = ""


class UploadResponse(Wire, kw_only=True):
    """What was written, with the path exactly as it was sent."""

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


class ArchiveQuery(Wire, kw_only=True):
    """A tree to pack."""

    path: Needed = ""
    format: Literal["tar", "tar.gz", "zip"] = "tar.gz"
    exclude: list[str] | None = None


class ExtractQuery(Wire, kw_only=True):
    """Where to unpack; the format is recognised by the content unless it is named."""

    path: Needed = ""
    format: Literal["tar", "tar.gz", "zip"] | None = None
    overwrite: Flag | None = None


class ExtractResponse(Wire, kw_only=True):
    """What was unpacked."""

    files: int
    bytes: int


class WatchQuery(Wire, kw_only=True):
    """What to watch; ``cursor`` resumes after the event of that id."""

    path: Needed = ""
    recursive: str | None = None
    include: list[str] | None = None
    exclude: list[str] | None = None
    debounce: Annotated[int, Meta(ge=10, le=10_000)] = 50
    cursor: str | None = None


class WatchHeaders(Wire, kw_only=True, rename={"last_event_id": "Last-Event-ID"}):
    """Where a reconnecting event source stopped."""

    last_event_id: str | None = None


class WatchEvent(Wire, kw_only=True):
    """One change; OVERFLOW means changes were lost: list again."""

    id: str
    type: Literal["READY", "CREATE", "WRITE", "DELETE", "OVERFLOW"]
    path: str
    name: str
    is_dir: bool
    timestamp: str
    raw_path: str | None = None
