"""multipart/form-data: a push parser on ``python-multipart``, and the part headers of responses."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar
from urllib.parse import quote

import msgspec

from toolbox import wire
from toolbox.errors import BadRequest

Data = bytes | bytearray | memoryview
T_co = TypeVar("T_co", covariant=True)
T = TypeVar("T")

# A part header contains the file name percent-encoded: up to 4 KiB of path, three bytes each.
_MAX_HEAD = 64 * 1024
_MAX_HEADERS = 32
_PARAMETER = re.compile(rb';\s*(name|filename)="((?:[^"\\]|\\.)*)"', re.IGNORECASE)
_BOUNDARY = re.compile(r'boundary=(?:"([^"]+)"|([^;,\s]+))', re.IGNORECASE)
_ATTR_CHARS = "!#$&+-.^_`|~"


class Receiver(Protocol[T_co]):
    """Consumer of a body; called in a thread."""

    def feed(self, data: Data) -> None:
        """Consume the next bytes, a buffer that is valid only during the call."""

    def finish(self) -> T_co:
        """Complete the work after the last byte."""
        ...

    def abort(self, error: BaseException) -> BaseException:
        """Undo the work; return the error to raise, usually the same."""
        ...


class PartReceiver(Receiver[T_co], Protocol[T_co]):
    """Consumer of the parts of a form, each with ``feed`` calls between ``begin`` and ``end``."""

    def begin(self, part: FormPart) -> None:
        """Start a part."""

    def end(self) -> None:
        """End a part."""


class FormPart(msgspec.Struct, frozen=True):
    """The header fields of a part."""

    name: str
    filename: str | None


def boundary_of(content_type: str) -> str:
    """Return the boundary of a multipart content type."""
    match = _BOUNDARY.search(content_type)
    if match is None:
        raise BadRequest("invalid multipart form: content-type names no boundary")
    return match[1] or match[2]


def is_form(content_type: str) -> bool:
    """Tell whether a body is a multipart form."""
    return content_type.strip().lower().startswith("multipart/form-data")


class FormReader(Generic[T]):
    """Parse a form incrementally and pass its parts to a receiver, independent of how the bytes are split."""

    def __init__(self, boundary: str, receiver: PartReceiver[T]) -> None:
        self._boundary = boundary
        self._receiver = receiver
        self._parser: Any = None
        self._field = bytearray()
        self._value = bytearray()
        self._part = FormPart("", None)
        self._ended = False

    def _load(self) -> Any:
        from python_multipart.multipart import MultipartParser

        calls: dict[str, Callable[..., None]] = {
            "on_part_begin": self._on_begin,
            "on_header_field": lambda data, start, end: self._field.extend(data[start:end]),
            "on_header_value": lambda data, start, end: self._value.extend(data[start:end]),
            "on_header_end": self._on_header,
            "on_headers_finished": lambda: self._receiver.begin(self._part),
            "on_part_data": lambda data, start, end: self._receiver.feed(memoryview(data)[start:end]),
            "on_part_end": self._receiver.end,
            "on_end": self._on_end,
        }
        return MultipartParser(
            self._boundary.encode("utf-8", "surrogateescape"),
            calls,  # type: ignore[arg-type]
            max_header_count=_MAX_HEADERS,
            max_header_size=_MAX_HEAD,
        )

    def _on_begin(self) -> None:
        self._part = FormPart("", None)

    def _on_header(self) -> None:
        if bytes(self._field).lower() == b"content-disposition":
            found = {key.lower(): _unescape(value) for key, value in _PARAMETER.findall(b";" + bytes(self._value))}
            self._part = FormPart(found.get(b"name", ""), found.get(b"filename"))
        self._field.clear()
        self._value.clear()

    def _on_end(self) -> None:
        self._ended = True

    def feed(self, data: Data) -> None:
        """Parse the next bytes."""
        from python_multipart.exceptions import MultipartParseError

        if self._parser is None:
            self._parser = self._load()
        try:
            # The parser calls ``find``, which memoryview lacks.
            self._parser.write(bytes(data) if isinstance(data, memoryview) else data)
        except MultipartParseError as error:
            raise BadRequest(f"invalid multipart form: {error}".lower()) from error

    def finish(self) -> T:
        """Complete the form; a body without closing boundary is truncated."""
        if not self._ended:
            raise BadRequest("invalid multipart form: body ends before the closing boundary")
        return self._receiver.finish()

    def abort(self, error: BaseException) -> BaseException:
        """Pass the failure on."""
        return self._receiver.abort(error)


def _unescape(value: bytes) -> str:
    return re.sub(rb"\\(.)", rb"\1", value).decode("utf-8", "surrogateescape")


class FileField(Generic[T]):
    """Pass on the first ``file`` field of a form; ignore others."""

    def __init__(self, receiver: Receiver[T]) -> None:
        self._receiver = receiver
        self._seen = False
        self._inside = False

    def begin(self, part: FormPart) -> None:
        """Start a part."""
        self._inside = part.name == "file" and not self._seen
        self._seen = self._seen or self._inside

    def feed(self, data: Data) -> None:
        """Pass on content of the file; ignore other fields."""
        if self._inside:
            self._receiver.feed(data)

    def end(self) -> None:
        """End a part."""
        self._inside = False

    def finish(self) -> T:
        """Complete the file."""
        if not self._seen:
            raise BadRequest("bad request: form has no part named file")
        return self._receiver.finish()

    def abort(self, error: BaseException) -> BaseException:
        """Pass the failure on."""
        return self._receiver.abort(error)


def disposition(kind: str, filename: str, *, name: str | None = None) -> str:
    """Build a Content-Disposition whose ``filename*`` decodes to ``filename`` byte for byte.

    ``filename`` is first, ASCII and not empty: browsers use the first match, and the Python SDK fails on anything else.
    """
    kept = re.sub(r"[\r\n\0]", "", wire.text(filename))
    fallback = re.sub(r"[^\x20-\x7e]", "_", kept).replace("\\", "\\\\").replace('"', '\\"') or "_"
    exact = quote(filename.encode("utf-8", "surrogateescape"), safe=_ATTR_CHARS)
    field = f'; name="{name}"' if name else ""
    return f"{kind}{field}; filename=\"{fallback}\"; filename*=utf-8''{exact}"


class Delimiters:
    """The delimiters of a multipart response, in order."""

    def __init__(self) -> None:
        self.boundary = secrets.token_hex(16)
        self._before = ""

    def part(self, headers: dict[str, str]) -> bytes:
        """Build the delimiter and head of the next part."""
        lines = "".join(f"{key}: {value}\r\n" for key, value in headers.items())
        before, self._before = self._before, "\r\n"
        return f"{before}--{self.boundary}\r\n{lines}\r\n".encode("latin-1")

    def closing(self) -> bytes:
        """Build the closing delimiter, whose absence shows a client that the body is truncated."""
        return f"{self._before}--{self.boundary}--\r\n".encode("latin-1")
