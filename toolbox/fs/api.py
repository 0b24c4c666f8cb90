"""The ``/files`` endpoints."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

import msgspec
from aiohttp import web

from toolbox.errors import (
    BadRequest,
    Conflict,
    FileAccessDenied,
    FileMissing,
    FileReadFailed,
    InvalidBody,
    InvalidPath,
    RangeNotSatisfiable,
    StorageFull,
    TooManyRequests,
)
from toolbox.fs import wire
from toolbox.fs.archive import Archives
from toolbox.fs.downloads import Downloads
from toolbox.fs.find import Find
from toolbox.fs.info import Info
from toolbox.fs.moving import Moves
from toolbox.fs.replacing import Replace
from toolbox.fs.search import Search
from toolbox.fs.tree import Tree
from toolbox.fs.uploads import Uploads
from toolbox.fs.watch import Watches
from toolbox.http.bodies import OCTETS, Bodies, send_stream
from toolbox.http.disconnect import until, while_connected
from toolbox.http.endpoint import Reply, Request, endpoint, websocket
from toolbox.http.streams import SSE, event_stream
from toolbox.http.websocket import WsSession
from toolbox.wire import encode

TAG = "file-system"
FORM = "multipart/form-data"
READ = (BadRequest, FileAccessDenied, FileMissing, FileReadFailed)


class FsApi(msgspec.Struct, frozen=True, kw_only=True):
    """Files and directories."""

    tree: Tree
    info: Info
    moves: Moves
    uploads: Uploads
    downloads: Downloads
    search: Search
    find: Find
    replace: Replace
    archives: Archives
    watches: Watches
    bodies: Bodies

    @endpoint("GET", "/files", tag=TAG, errors=READ)
    async def list_files(self, query: wire.ListQuery, request: Request) -> list[wire.FileInfo]:
        """List a directory, ``depth`` levels deep."""
        return await while_connected(request, self.tree.list_dir(query.path, query.depth))

    @endpoint("GET", "/files/info", tag=TAG, errors=READ)
    async def get_file_info(self, query: wire.InfoQuery, request: Request) -> wire.FileInfo:
        """Describe a file; ``hash=sha256,md5`` adds digests of its content."""
        return await while_connected(request, self.info.info(query.path, query.hash))

    @endpoint("POST", "/files/folder", tag=TAG, status=201, errors=(BadRequest, FileAccessDenied, StorageFull))
    async def create_folder(self, query: wire.FolderQuery) -> None:
        """Create a directory and its parents."""
        await self.tree.make_folder(query.path, query.mode)

    @endpoint("DELETE", "/files", tag=TAG, status=204, errors=(*READ, Conflict))
    async def delete_file(self, query: wire.DeleteQuery) -> None:
        """Remove a file, or a tree with ``recursive=true``."""
        await self.moves.delete(query.path, recursive=bool(query.recursive))

    @endpoint("POST", "/files/move", tag=TAG, errors=(*READ, Conflict, StorageFull))
    async def move_file(self, query: wire.MoveQuery) -> None:
        """Move a file or tree; an existing destination is never replaced."""
        await self.moves.move(query.source, query.destination)

    @endpoint("POST", "/files/copy", tag=TAG, errors=(*READ, Conflict, StorageFull))
    async def copy_file(self, query: wire.CopyQuery) -> wire.CopyResponse:
        """Copy a file or tree with its modes, times, owners and links."""
        return await self.moves.copy(query.source, query.destination, overwrite=bool(query.overwrite))

    @endpoint("POST", "/files/permissions", tag=TAG, errors=READ)
    async def set_file_permissions(self, query: wire.PermissionsQuery) -> None:
        """Change mode, owner and group."""
        await self.tree.set_permissions(query.path, query.mode, query.owner, query.group)

    @endpoint("GET", "/files/find", tag=TAG, errors=(BadRequest,))
    async def find_in_files(self, query: wire.FindQuery, request: Request) -> Reply[list[wire.Match]]:
        """Find lines that contain a text: literal and case-sensitive unless ``regex`` or ``ignoreCase`` is set."""
        matches, cut = await while_connected(request, self.find.find(query))
        return Reply(matches, headers={"X-Result-Truncated": "true"} if cut else {})

    @endpoint("GET", "/files/search", tag=TAG, errors=(BadRequest,))
    async def search_files(self, query: wire.SearchQuery, request: Request) -> wire.SearchResponse:
        """Find files and directories whose name matches a glob."""
        return await while_connected(request, self.search.search(query))

    @endpoint("POST", "/files/replace", tag=TAG, errors=(InvalidBody,))
    async def replace_in_files(self, body: wire.ReplaceRequest) -> list[wire.ReplaceResult]:
        """Replace a literal text in files; ``dryRun`` returns diffs instead."""
        return await self.replace.replace(body)

    @endpoint(
        "GET",
        "/files/download",
        tag=TAG,
        also=(206, 304),
        errors=(*READ, RangeNotSatisfiable),
        signed=True,
        head=True,
        media=OCTETS,
    )
    async def download_file(self, query: wire.PathQuery, request: Request) -> web.StreamResponse:
        """Download a file, whole or in ranges."""
        return await self.bodies.send_file(request, await self.downloads.open(query.path))

    @endpoint("POST", "/files/bulk-download", tag=TAG, errors=(InvalidBody,), media=FORM)
    async def download_files(self, request: Request, body: wire.BulkDownloadRequest) -> web.StreamResponse:
        """Download files as parts of a form; a file that cannot be read becomes a part named ``error``."""
        return await self.bodies.send_form(request, self.downloads.parts(body.paths, body.raw_paths))

    @endpoint("POST", "/files/upload", tag=TAG, errors=(BadRequest, FileAccessDenied, StorageFull), body_media=FORM)
    async def upload_file(self, query: wire.UploadQuery, request: Request) -> None:
        """Upload a file: the ``file`` field of a form, or the raw body."""
        await self._receive(query, request)

    @endpoint(
        "POST",
        "/files/upload-v2",
        tag=TAG,
        errors=(BadRequest, InvalidPath, FileAccessDenied, StorageFull),
        signed=True,
        body_media=FORM,
    )
    async def upload_file_v2(self, query: wire.UploadQuery, request: Request) -> wire.UploadResponse:
        """Upload a file and return its name and path."""
        return await self._receive(query, request)

    async def _receive(self, query: wire.UploadQuery, request: web.BaseRequest) -> wire.UploadResponse:
        upload = self.uploads.single(query.path, request.content_length)
        return await self.bodies.receive_file(request, upload)

    @endpoint("POST", "/files/bulk-upload", tag=TAG, errors=(BadRequest, StorageFull), body_media=FORM)
    async def upload_files(self, request: Request) -> wire.BulkUploadResponse:
        """Upload files as ``files[i].path`` and ``files[i].file`` parts of a form."""
        return await self.bodies.receive_form(request, self.uploads.bulk())

    @endpoint("GET", "/files/archive", tag=TAG, errors=READ, media=OCTETS)
    async def archive(self, query: wire.ArchiveQuery, request: Request) -> web.StreamResponse:
        """Download a tree as tar, tar.gz or zip, packed while it is sent."""
        name, stream = await self.archives.pack(query)
        return await send_stream(request, name, stream)

    @endpoint("POST", "/files/extract", tag=TAG, errors=(*READ, Conflict, StorageFull), body_media=OCTETS)
    async def extract(self, query: wire.ExtractQuery, request: Request) -> wire.ExtractResponse:
        """Unpack a tar or zip into a directory, all or nothing; members outside the directory are refused."""
        return await self.bodies.receive_file(request, self.uploads.archive(query))

    @endpoint("GET", "/files/watch", tag=TAG, errors=(*READ, StorageFull, TooManyRequests), media=SSE, quiet=True)
    async def watch_events(
        self, query: wire.WatchQuery, headers: wire.WatchHeaders, request: Request
    ) -> web.StreamResponse:
        """Watch a directory or file as server-sent events; Last-Event-ID or ``cursor`` resumes."""
        return await while_connected(request, self._send_events(query, headers.last_event_id, request))

    async def _send_events(
        self, query: wire.WatchQuery, last: str | None, request: web.BaseRequest
    ) -> web.StreamResponse:
        async with (
            contextlib.aclosing(await self.watches.watch(query, last or query.cursor)) as events,
            event_stream(request) as out,
        ):
            async for event in events:
                await out.send(event.type, event, event_id=event.id)
        return out.response

    @websocket("/files/watch", tag=TAG, errors=(*READ, StorageFull, TooManyRequests))
    async def watch(self, query: wire.WatchQuery, ws: WsSession) -> None:
        """Watch a directory or file; each change is one JSON text frame."""
        async with contextlib.aclosing(await self.watches.watch(query, query.cursor)) as events:
            await until(ws.gone(), _send_frames(ws, events))


async def _send_frames(ws: WsSession, events: AsyncIterator[wire.WatchEvent]) -> None:
    async for event in events:
        await ws.send_text(encode(event).decode())
