"""Byte ranges and conditional requests (RFC 9110)."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Sequence
from email.utils import formatdate

import msgspec
from aiohttp import web

from toolbox.errors import RangeNotSatisfiable

# With more ranges than a media player requests the whole file is sent.
MAX_RANGES = 32
# Two writes within the granularity of file times leave the same one, so a fresh time does not identify the content.
_FRESH_NS = 2_000_000_000
_RANGE = re.compile(r"(\d*)-(\d*)")


class Version(msgspec.Struct, frozen=True):
    """Validators of a file's content: entity tag and modification time (Unix seconds)."""

    etag: str
    weak: bool
    modified: int

    @property
    def headers(self) -> dict[str, str]:
        """Return the validator headers."""
        tag = f'"{self.etag}"'
        return {
            "ETag": f"W/{tag}" if self.weak else tag,
            "Last-Modified": formatdate(self.modified, usegmt=True),
            "Accept-Ranges": "bytes",
        }


class Answer(msgspec.Struct, frozen=True):
    """Status and spans (offset, length) to send; no spans: no body."""

    status: int
    spans: Sequence[tuple[int, int]] = ()


def version(status: os.stat_result) -> Version:
    """Derive validators from a status; the tag is weak while the modification time is fresh."""
    weak = time.time_ns() - status.st_mtime_ns < _FRESH_NS
    tag = f"{status.st_mtime_ns:x}-{status.st_size:x}-{status.st_ino:x}"
    return Version(tag, weak, int(status.st_mtime_ns // 1_000_000_000))


def answer(request: web.BaseRequest, current: Version, size: int) -> Answer:
    """Choose 200, 206, 304, or raise 412 or 416."""
    if _precondition_failed(request, current):
        raise web.HTTPPreconditionFailed(text="file has changed: precondition failed")
    if _unchanged(request, current):
        return Answer(304)
    whole = Answer(200, ((0, size),))
    if "Range" not in request.headers or not _same_version(request, current):
        return whole
    spans = parse(request.headers["Range"], size)
    if spans is None or sum(length for _, length in spans) > size:
        return whole
    if not spans:
        raise RangeNotSatisfiable(f"range is outside the file of {size} bytes: {request.headers['Range']}")
    return Answer(206, tuple(spans))


def _precondition_failed(request: web.BaseRequest, current: Version) -> bool:
    wanted = request.if_match
    if wanted is not None:
        return not any(tag.value == "*" or (tag.value == current.etag and not tag.is_weak) for tag in wanted)
    limit = request.if_unmodified_since
    return limit is not None and current.modified > limit.timestamp()


def _unchanged(request: web.BaseRequest, current: Version) -> bool:
    known = request.if_none_match
    if known is not None:
        return any(tag.value in ("*", current.etag) for tag in known)
    since = request.if_modified_since
    return since is not None and current.modified <= since.timestamp()


def _same_version(request: web.BaseRequest, current: Version) -> bool:
    """Tell whether If-Range, if given, matches the current content."""
    condition = request.headers.get("If-Range", "").strip()
    if not condition:
        return True
    if condition.startswith(('"', "W/")):
        return condition == f'"{current.etag}"' and not current.weak
    since = request.if_range
    return since is not None and int(since.timestamp()) == current.modified


def parse(header: str, size: int) -> list[tuple[int, int]] | None:
    """Parse a Range header into satisfiable spans; None for an invalid one, which RFC 9110 says to ignore."""
    unit, equals, rest = header.partition("=")
    parts = [part.strip() for part in rest.split(",") if part.strip()]
    if unit.strip().lower() != "bytes" or not equals or not 0 < len(parts) <= MAX_RANGES:
        return None
    spans = []
    for part in parts:
        match = _RANGE.fullmatch(part)
        if match is None or not (match[1] or match[2]) or len(part) > 40:
            return None
        first, last = match[1], match[2]
        if first and last and int(last) < int(first):
            return None
        span = _span(first, last, size)
        if span is not None:
            spans.append(span)
    return spans


def _span(first: str, last: str, size: int) -> tuple[int, int] | None:
    if not first:
        length = min(int(last), size)
        return (size - length, length) if length else None
    start = int(first)
    end = min(int(last), size - 1) if last else size - 1
    return (start, end - start + 1) if start < size else None


def content_range(span: tuple[int, int], size: int) -> str:
    """Format a Content-Range header."""
    offset, length = span
    return f"bytes {offset}-{offset + length - 1}/{size}"
