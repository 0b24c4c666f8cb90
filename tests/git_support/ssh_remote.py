"""A remote over SSH: ``python ssh_remote.py FOLDER``; prints its port. One user key is accepted, in ``FOLDER/user``."""

from __future__ import annotations

import asyncio
import pathlib
import sys

import asyncssh


async def handle(process: asyncssh.SSHServerProcess[bytes]) -> None:
    """Run the program git asks for on its repository."""
    command = process.command or ""
    if not command.startswith(("git-upload-pack ", "git-receive-pack ")):
        process.exit(1)
        return
    program = await asyncio.create_subprocess_shell(
        command.replace("git-", "git ", 1),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert program.stderr is not None
    await process.redirect(stdin=program.stdin, stdout=program.stdout, send_eof=False)
    # Written before the exit status: redirected output may lose its end.
    words, status = await asyncio.gather(program.stderr.read(), program.wait())
    process.stderr.write(words)
    await process.stderr.drain()
    await process.stdout.drain()
    process.exit(status)


async def main(folder: pathlib.Path) -> None:
    """Serve until killed."""
    host, user = asyncssh.generate_private_key("ssh-ed25519"), asyncssh.generate_private_key("ssh-ed25519")
    for name, key in (("user", user), ("stranger", asyncssh.generate_private_key("ssh-ed25519"))):
        key.write_private_key(str(folder / name))
        (folder / name).chmod(0o600)
    user.write_public_key(str(folder / "authorized"))
    server = await asyncssh.listen(
        "127.0.0.1",
        0,
        server_host_keys=[host],
        authorized_client_keys=str(folder / "authorized"),
        process_factory=handle,
        encoding=None,
    )
    port = server.sockets[0].getsockname()[1]
    (folder / "known_hosts").write_text(f"[127.0.0.1]:{port} {host.export_public_key().decode()}", encoding="utf-8")
    print(port, flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(pathlib.Path(sys.argv[1])))
