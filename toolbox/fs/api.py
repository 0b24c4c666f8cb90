"""The ``/files`` endpoints."""

from __future__ import annotations

from aiohttp import web

from toolbox.errors import BadRequest, Conflict, FileAccessDenied, FileMissing, InvalidBody, InvalidPath, StorageFull
from toolbox.fs.copying import Copies
from toolbox.fs.downloads import Downloads
from toolbox.fs.info import Info
from toolbox.fs.moving import Moves
from toolbox.fs.permissions import Permissions
from toolbox.fs.tree import Tree
from toolbox.fs.uploads import Uploads
from toolbox.fs.wire import (
    BulkDownloadRequest,
    BulkUploadResponse,
    CopyQuery,
    CopyResponse,
    DeleteQuery,
    FileInfo,
    FolderQuery,
    InfoQuery,
    ListQuery,
    MoveQuery,
    PathQuery,
    PermissionsQuery,
    UploadQuery,
    UploadResponse,
)
from toolbox.http.bodies import OCTETS, Bodies
from toolbox.http.endpoint import Request, endpoint

TAG = "file-system"
FORM = "multipart/form-data"
READ = (BadRequest, FileAccessDenied, FileMissing)


class FsApi:
    """Files and directories."""

    def __init__(
        self,
        *,
        tree: Tree,
        info: Info,
        permissions: Permissions,
        moves: Moves,
        copies: Copies,
        uploads: Uploads,
        downloads: Downloads,
        bodies: Bodies,
    ) -> None:
        self._tree = tree
        self._info = info
        self._permissions = permissions
        self._moves = moves
        self._copies = copies
        self._uploads = uploads
        self._downloads = downloads
        self._bodies = bodies

    @endpoint("GET", "/files", tag=TAG, errors=READ)
    async def list_files(self, query: ListQuery) -> list[FileInfo]:
        """List a directory, ``depth`` levels deep."""
        return await self._tree.list_dir(query.path, query.depth)

    @endpoint("GET", "/files/info", tag=TAG, errors=READ)
    async def get_file_info(self, query: InfoQuery) -> FileInfo:
        """Describe a file."""
        return await self._info.info(query.path, query.hash)

    @endpoint("POST", "/files/folder", tag=TAG, status=201, errors=(BadRequest, FileAccessDenied, StorageFull))
    async def create_folder(self, query: FolderQuery) -> None:
        """Create a directory and its parents."""
        await self._tree.make_folder(query.path, query.mode)

    @endpoint("DELETE", "/files", tag=TAG, status=204, errors=(*READ, Conflict))
    async def delete_file(self, query: DeleteQuery) -> None:
        """Remove a file, or a tree with ``recursive=true``."""
        await self._moves.delete(query.path, recursive=bool(query.recursive))

    @endpoint("POST", "/files/move", tag=TAG, errors=(*READ, Conflict, StorageFull))
    async def move_file(self, query: MoveQuery) -> None:
        """Move a file or tree; an existing destination is never replaced."""
        await self._moves.move(query.source, query.destination)

    @endpoint("POST", "/files/copy", tag=TAG, errors=(*READ, Conflict, StorageFull))
    async def copy_file(self, query: CopyQuery) -> CopyResponse:
        """Copy a file or tree with its modes, times, owners and links."""
        return await self._copies.copy(query.source, query.destination, overwrite=bool(query.overwrite))

    @endpoint("POST", "/files/permissions", tag=TAG, errors=READ)
    async def set_file_permissions(self, query: PermissionsQuery) -> None:
        """Change mode, owner and group."""
        await self._permissions.change(query.path, query.mode, query.owner, query.group)

    @endpoint("GET", "/files/download", tag=TAG, errors=READ, signed=True, head=True, media=OCTETS)
    async def download_file(self, query: PathQuery, request: Request) -> web.StreamResponse:
        """Download a file, whole or in ranges."""
        return await self._bodies.send_file(request, await self._downloads.open(query.path))

    @endpoint("POST", "/files/bulk-download", tag=TAG, errors=(InvalidBody,), media=FORM)
    async def download_files(self, request: Request, body: BulkDownloadRequest) -> web.StreamResponse:
        """Download files as parts of a form; a file that cannot be read becomes a part named ``error``."""
        return await self._bodies.send_form(request, self._downloads.parts(body.paths, body.raw_paths))

    @endpoint("POST", "/files/upload", tag=TAG, errors=(BadRequest, FileAccessDenied, StorageFull), body_media=FORM)
    async def upload_file(self, query: UploadQuery, request: Request) -> None:
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
    async def upload_file_v2(self, query: UploadQuery, request: Request) -> UploadResponse:
        """Upload a file and tell where it went."""
        return await self._receive(query, request)

    async def _receive(self, query: UploadQuery, request: web.BaseRequest) -> UploadResponse:
        upload = self._uploads.single(query.path, request.content_length)
        return await self._bodies.receive_file(request, upload)

    @endpoint("POST", "/files/bulk-upload", tag=TAG, errors=(BadRequest, StorageFull), body_media=FORM)
    async def upload_files(self, request: Request) -> BulkUploadResponse:
        """Upload files as ``files[i].path`` and ``files[i].file`` parts of a form."""
        return await self._bodies.receive_form(request, self._uploads.bulk())
