"""Shared by all wire types: the base struct, the JSON codec, timestamps, and text that may contain invalid UTF-8.

Subclasses must repeat ``kw_only``, which msgspec structs do not inherit: ``class X(Wire, kw_only=True)``.
"""

from __future__ import annotations

import datetime as dt
import functools
import re
from typing import Annotated, Any, ClassVar, cast

import msgspec

_SURROGATE = re.compile("[\ud800-\udfff]")


class Wire(msgspec.Struct, rename="camel", omit_defaults=True, kw_only=True):
    """Base of requests, responses and queries: camelCase keys, fields with their default value omitted."""

    # Names (wire spelling) of fields left out for Go SDKs before 0.188, which refuse unknown fields.
    additive: ClassVar[frozenset[str]] = frozenset()


# A required, non-empty field. It has a default, so that not the decoder but the service reports it as missing, in the
# wording that clients expect. ``http/openapi.py`` turns the mark into ``required``.
NEEDED = "x-needed"
Needed = Annotated[str, msgspec.Meta(extra_json_schema={NEEDED: True})]


class Flag:
    """A query boolean that is true only for the exact text ``true``; anything else is false.

    Declare it as ``Flag | None = None``: msgspec cannot put a default of a custom type into a schema.
    """

    __slots__ = ("_value",)

    def __init__(self, value: object) -> None:
        self._value = value is True or value == "true"

    def __bool__(self) -> bool:
        return self._value

    def __repr__(self) -> str:
        return f"Flag({self._value})"


def text(value: str) -> str:
    """Replace surrogates, which stand for bytes that are not UTF-8 (``surrogateescape``), by U+FFFD."""
    return value if value.isascii() else _SURROGATE.sub("\ufffd", value)


def now() -> str:
    """Return the current time as RFC 3339 UTC with three fractional digits."""
    return timestamp(dt.datetime.now(dt.UTC))


def timestamp(moment: dt.datetime) -> str:
    """Format an aware time as RFC 3339 UTC; Python 3.10 clients parse only 0, 3 or 6 digits."""
    return moment.astimezone(dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _dec_hook(kind: type, value: Any) -> Any:
    if kind is Flag:
        return Flag(value)
    raise NotImplementedError(f"no decoder for {kind!r}")


def decode(data: bytes, kind: type[Any]) -> Any:
    """Decode and validate JSON; raise ``msgspec.MsgspecError``, ``UnicodeDecodeError`` or ``RecursionError``."""
    return decoder(cast("Any", kind)).decode(data)


@functools.cache
def decoder(kind: Any) -> msgspec.json.Decoder[Any]:
    """Return the decoder of a type, which is built once."""
    return msgspec.json.Decoder(kind, dec_hook=_dec_hook)


def convert(value: object, kind: type[Any]) -> Any:
    """Validate text values (query, path) against a struct; numbers and booleans are parsed."""
    return msgspec.convert(value, type=kind, strict=False, dec_hook=_dec_hook)


encode = msgspec.json.Encoder().encode


def to_plain(value: Any) -> Any:
    """Turn structs into dicts with their wire names."""
    return msgspec.to_builtins(value)
