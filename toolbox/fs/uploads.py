"""Receive files, one per request or many in a form. Receivers are blocking code and run in a worker thread."""

from __future__ import annotations

import os
import re

from toolbox.errors import BadRequest, InvalidPath, StorageFull, ToolboxError, from_os_error
from toolbox.fs.extract import Extraction
from toolbox.fs.info import base_name
from toolbox.fs.wire import BulkUploadResponse, ExtractQuery, Uploaded, UploadResponse
from toolbox.host.files import Draft
from toolbox.host.journal import Journal
from toolbox.host.paths import Workdir, encode, show

_FIELD = re.compile(r"files\[(\d{1,9})\]\.(path|file)")
_MAX_PATH = 64 * 1024
Data = bytes | bytearray | memoryview


class Uploads:
    """Create receivers for uploads."""

    def __init__(self, workdir: Workdir, journal: Journal) -> None:
        self._workdir = workdir
        self._journal = journal

    def single(self, path: str, expected: int | None) -> SingleUpload:
        """Return the receiver of one file; ``expected`` bytes are checked against the free space first."""
        return SingleUpload(path, self._workdir.resolve(path), self._journal, expected or 0)

    def bulk(self) -> BulkUpload:
        """Return the receiver of a form with many files."""
        return BulkUpload(self._workdir, self._journal)

    def archive(self, query: ExtractQuery) -> Extraction:
        """Return the receiver that unpacks an archive."""
        return Extraction(self._workdir.resolve(query.path), query, self._journal)


class SingleUpload:
    """One file; it replaces an existing one only when the upload is complete."""

    def __init__(self, sent: str, path: bytes, journal: Journal, expected: int) -> None:
        self._sent = sent
        self._path = path
        self._journal = journal
        self._expected = expected
        self._draft: Draft | None = None

    def _open(self) -> Draft:
        if self._draft is None:
            self._draft = Draft(self._path, self._journal, expected=self._expected)
        return self._draft

    def feed(self, data: Data) -> None:
        """Write the next bytes."""
        self._open().write(data)

    def finish(self) -> UploadResponse:
        """Commit the file; an empty body makes an empty file."""
        self._open().commit()
        return UploadResponse(name=show(base_name(self._path)), path=show(encode(self._sent)), type="file")

    def abort(self, error: BaseException) -> BaseException:
        """Discard the draft; an existing file is unchanged."""
        if self._draft is not None:
            self._draft.abort()
        return error


class BulkUpload:
    """Many files of one form: ``files[i].path`` names the destination of ``files[i].file``.

    After the failure of one file the others are still written; all failures are reported in one error.
    """

    def __init__(self, workdir: Workdir, journal: Journal) -> None:
        self._workdir = workdir
        self._journal = journal
        self._paths: dict[int, bytes] = {}
        self._used: set[int] = set()
        self._index = 0
        self._text: bytearray | None = None
        self._draft: Draft | None = None
        self._done: list[Uploaded] = []
        self._failures: list[tuple[str, ToolboxError]] = []

    def begin(self, part: object) -> None:
        """Start a part: a path or a file; other parts are ignored."""
        match = _FIELD.fullmatch(getattr(part, "name", ""))
        if match is None:
            return
        self._index = int(match[1])
        if match[2] == "path":
            self._text = bytearray()
        else:
            self._start_file()

    def _start_file(self) -> None:
        sent = self._paths.get(self._index)
        self._used.add(self._index)
        if sent is None:
            self._fail(f"file[{self._index}]: missing .path metadata", BadRequest(""))
            return
        if not sent:
            return  # end() has reported the empty path
        try:
            self._draft = Draft(self._target(sent), self._journal)
        except (OSError, ToolboxError) as error:
            self._fail(f"{show(sent)}: create", error)

    def _target(self, sent: bytes) -> bytes:
        if b"\0" in sent:
            raise InvalidPath("path contains a NUL byte")
        return os.path.join(self._workdir.root, sent)

    def feed(self, data: Data) -> None:
        """Take bytes of the current part; those of a failed file are discarded."""
        if self._text is not None:
            if len(self._text) + len(data) > _MAX_PATH:
                raise BadRequest(f"path[{self._index}]: over {_MAX_PATH} bytes")
            self._text += data
        elif self._draft is not None:
            try:
                self._draft.write(data)
            except OSError as error:
                self._drop("write", error)

    def end(self) -> None:
        """End the current part."""
        if self._text is not None:
            self._paths[self._index] = bytes(self._text)
            if not self._text:
                self._fail(f"path[{self._index}]: empty path", BadRequest(""))
            self._text = None
        elif self._draft is not None:
            try:
                size = self._draft.commit()
            except OSError as error:
                self._drop("close", error)
                return
            self._draft = None
            self._done.append(Uploaded(path=show(self._paths[self._index]), bytes=size))

    def finish(self) -> BulkUploadResponse:
        """Return the written files; raise one error for all failures, which lists the written files too."""
        for index in sorted(set(self._paths) - self._used):
            if self._paths[index]:
                self._fail(f"{show(self._paths[index])}: file[{index}] is missing", BadRequest(""))
        if self._failures:
            raise self._summary()
        return BulkUploadResponse(files=self._done)

    def abort(self, error: BaseException) -> BaseException:
        """Discard the current draft; return an error that lists the files written so far."""
        if self._draft is not None:
            self._draft.abort()
            self._draft = None
        if not isinstance(error, ToolboxError) or "files" in error.detail:
            return error
        self._failures.append((error.message, error))
        return self._summary()

    def _drop(self, step: str, error: OSError) -> None:
        if self._draft is not None:
            self._draft.abort()
        self._draft = None
        self._fail(f"{show(self._paths[self._index])}: {step}", error)

    def _fail(self, what: str, error: OSError | ToolboxError) -> None:
        known = error if isinstance(error, ToolboxError) else from_os_error(error)
        self._failures.append((f"{what}: {known.message}" if known.message else what, known))

    def _summary(self) -> ToolboxError:
        """Merge the failures: both SDKs read ``errors`` and the status, which is 400, or 507 if the disk was full."""
        texts = [text for text, _ in self._failures]
        detail = {"errors": texts, "files": self._done}
        failures = [error for _, error in self._failures]
        if any(isinstance(error, StorageFull) for error in failures):
            return StorageFull(", ".join(texts), detail=detail)
        if all(isinstance(error, InvalidPath) for error in failures):
            return InvalidPath(", ".join(texts), detail=detail)
        return BadRequest(", ".join(texts), detail=detail)
