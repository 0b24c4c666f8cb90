"""Error codes for captured output of git 2.39.5."""

# ruff: noqa: E501, ISC004 - captured lines are as long as they are

from __future__ import annotations

import pytest

from toolbox import errors
from toolbox.git.classify import classify, classify_push, locked, missing_path, parse_push
from toolbox.git.engine.libgit2.meaning import meaning

CAPTURED = [
    # authentication
    (
        "Cloning into 'r'...\nfatal: could not read Username for 'http://127.0.0.1:1': terminal prompts disabled\n",
        "GitAuthFailed",
    ),
    (
        "Cloning into 'r'...\nremote: Invalid username or password.\n"
        "fatal: Authentication failed for 'http://127.0.0.1:1/x.git/'\n",
        "GitAuthFailed",
    ),
    (
        "git@127.0.0.1: Permission denied (publickey).\nfatal: Could not read from remote repository.\n\n"
        "Please make sure you have the correct access rights\nand the repository exists.\n",
        "GitAuthFailed",
    ),
    ("remote: HTTP Basic: Access denied\nfatal: unable to access 'x'\n", "GitAuthFailed"),
    # not permitted
    ("fatal: unable to access 'http://127.0.0.1:1/x.git/': The requested URL returned error: 403\n", "Forbidden"),
    ("remote: Permission to o/r.git denied to u.\nfatal: unable to access 'https://h/': x\n", "Forbidden"),
    ("remote: Write access to repository not granted.\nfatal: unable to access\n", "Forbidden"),
    # transport
    (
        "Cloning into 'r'...\nConnection to 127.0.0.1 closed by remote host.\nfatal: Could not read from remote repository.\n\n"
        "Please make sure you have the correct access rights\nand the repository exists.\n",
        "GitTransportFailed",
    ),
    *[
        (f"fatal: unable to access 'http://127.0.0.1:1/x.git/': {reason}\n", "GitTransportFailed")
        for reason in (
            "Could not resolve host: name.invalid",
            "Failed to connect to 127.0.0.1 port 1 after 0 ms: Couldn't connect to server",
            "Operation too slow. Less than 1000 bytes/sec transferred the last 1 seconds",
            "server certificate verification failed. CAfile: none CRLfile: none",
            "SSL certificate problem: self-signed certificate",
            "Recv failure: Connection reset by peer",
            "Empty reply from server",
            "gnutls_handshake() failed: The TLS connection was non-properly terminated.",
            "OpenSSL SSL_connect: SSL_ERROR_SYSCALL in connection to 127.0.0.1:1",
            "The requested URL returned error: 407",
            "The requested URL returned error: 429",
            "The requested URL returned error: 503",
            "Operation timed out after 300 milliseconds",
        )
    ],
    ("ssh: Could not resolve hostname name.invalid: Name or service not known\nfatal: x\n", "GitTransportFailed"),
    ("error: cannot run ssh: No such file or directory\nfatal: unable to fork\n", "GitTransportFailed"),
    ("ssh -F /dev/null: 1: ssh: not found\nfatal: Could not read from remote repository.\n", "GitTransportFailed"),
    ("Host key verification failed.\nfatal: Could not read from remote repository.\n", "GitTransportFailed"),
    ("kex_exchange_identification: Connection closed by remote host\n", "GitTransportFailed"),
    (
        "error: RPC failed; curl 18 transfer closed with 73 bytes remaining to read\n"
        "fatal: early EOF\nfatal: fetch-pack: invalid index-pack output\n",
        "GitTransportFailed",
    ),
    (
        "fatal: unable to connect to 127.0.0.1:\n127.0.0.1[0: 127.0.0.1]: errno=Connection refused\n",
        "GitTransportFailed",
    ),
    # repository
    ("Cloning into 'r'...\nfatal: repository 'http://127.0.0.1:1/x.git/' not found\n", "GitRepoNotFound"),
    ("remote: Repository not found.\nfatal: repository 'https://github.com/o/r/' not found\n", "GitRepoNotFound"),
    ("fatal: unable to access 'http://127.0.0.1:1/': The requested URL returned error: 410\n", "GitRepoNotFound"),
    (
        "fatal: '/nope' does not appear to be a git repository\nfatal: Could not read from remote repository.\n",
        "GitRepoNotFound",
    ),
    ("fatal: repository '/nope' does not exist\n", "GitRepoNotFound"),
    ("fatal: not a git repository: (NULL)\n", "GitRepoNotFound"),
    # branch or revision
    (
        "warning: Could not find remote branch nope to clone.\nfatal: Remote branch nope not found in upstream origin\n",
        "GitBranchNotFound",
    ),
    ("fatal: couldn't find remote ref refs/heads/nope\n", "GitBranchNotFound"),
    ("error: src refspec nope does not match any\nerror: failed to push some refs to 'x'\n", "GitBranchNotFound"),
    ("fatal: remote error: upload-pack: not our ref 1111111111111111111111111111111111111111\n", "GitBranchNotFound"),
    ("fatal: invalid reference: nope\n", "GitBranchNotFound"),
    ("fatal: You are not currently on a branch.\n", "GitBranchNotFound"),
    ("fatal: ambiguous argument 'nope': unknown revision or path not in the working tree.\n", "GitBranchNotFound"),
    ("fatal: could not resolve nope\n", "GitBranchNotFound"),
    ("fatal: reference is not a tree: 1111111111111111111111111111111111111111\n", "GitBranchNotFound"),
    ("fatal: Not a valid object name nope\n", "GitBranchNotFound"),
    # merge
    (
        "Auto-merging a\nCONFLICT (content): Merge conflict in a\nAutomatic merge failed; fix conflicts and then commit the result.\n",
        "GitMergeConflict",
    ),
    (
        "error: Committing is not possible because you have unmerged files.\nfatal: Exiting because of an unresolved conflict.\n",
        "GitMergeConflict",
    ),
    ("fatal: Cannot do a soft reset in the middle of a merge.\n", "GitMergeConflict"),
    (
        'fatal: cannot switch branch while merging\nConsider "git merge --quit" or "git worktree add".\n',
        "GitMergeConflict",
    ),
    ("fatal: Not possible to fast-forward, aborting.\n", "GitMergeConflict"),
    ("fatal: refusing to merge unrelated histories\n", "GitMergeConflict"),
    ("fatal: You have not concluded your merge (MERGE_HEAD exists).\n", "GitMergeConflict"),
    ("a.txt: needs merge\nerror: you need to resolve your current index first\n", "GitMergeConflict"),
    # dirty
    (
        "error: Your local changes to the following files would be overwritten by checkout:\n\ta.txt\n"
        "Please commit your changes or stash them before you switch branches.\nAborting\n",
        "GitDirtyWorktree",
    ),
    (
        "error: The following untracked working tree files would be overwritten by merge:\n\tb\n"
        "Please move or remove them before you merge.\nAborting\n",
        "GitDirtyWorktree",
    ),
    (
        "error: Entry 'a.txt' not uptodate. Cannot merge.\nfatal: Could not reset index file to revision 'x'.\n",
        "GitDirtyWorktree",
    ),
    # names
    ("fatal: a branch named 'dev' already exists\n", "GitBranchExists"),
    (
        "fatal: cannot lock ref 'refs/heads/a/b': 'refs/heads/a' exists; cannot create 'refs/heads/a/b'\n",
        "GitBranchExists",
    ),
    ("fatal: 'a..b' is not a valid branch name\n", "BadRequest"),
    ("fatal: 'x y' is not a valid remote name\n", "BadRequest"),
    ("fatal: transport 'ext' not allowed\n", "BadRequest"),
    ("fatal: ../x: '../x' is outside repository at '/r'\n", "BadRequest"),
    ("error: key does not contain a section: x\n", "BadRequest"),
    ("fatal: empty ident name (for <>) not allowed\n", "BadRequest"),
    ("fatal: this operation must be run in a work tree\n", "BadRequest"),
    # files
    ("fatal: pathspec 'nope' did not match any files\n", "FileMissing"),
    ("error: pathspec ':(top,literal)nope' did not match any file(s) known to git\n", "FileMissing"),
    # in the way
    ("fatal: destination path 'r' already exists and is not an empty directory.\n", "Conflict"),
    ("error: remote origin already exists.\n", "Conflict"),
    ("You do not have the initial commit yet\n", "Conflict"),
    ("error: Cannot delete branch 'main' checked out at '/r'\n", "Conflict"),
    ("On branch main\nnothing to commit, working tree clean\n", "Conflict"),
    (
        "fatal: Unable to create '/r/.git/index.lock': File exists.\n\nAnother git process seems to be running\n",
        "Conflict",
    ),
    # the machine
    ("error: could not lock config file .git/config: Permission denied\n", "FileAccessDenied"),
    ("error: insufficient permission for adding an object to repository database .git/objects\n", "FileAccessDenied"),
    ("error: unable to write file: No space left on device\n", "StorageFull"),
    ("error: gpg failed to sign the data\nfatal: failed to write commit object\n", "Unprocessable"),
    ("", "InternalError"),
]


@pytest.mark.parametrize(("output", "kind"), CAPTURED, ids=[f"{kind}-{text[:30]!r}" for text, kind in CAPTURED])
def test_output_leads_to_its_meaning(output: str, kind: str) -> None:
    error = classify(output)
    assert type(error) is getattr(errors, kind)
    assert error.message
    assert "hint:" not in error.message


def test_words_that_follow_every_failure_mean_nothing() -> None:
    """Both messages end the output of unrelated failures."""
    texts = "fatal: Could not read from remote repository.\nerror: failed to push some refs to 'x'\n"
    assert type(classify(texts)) is errors.InternalError


PUSHES = [
    ("!\trefs/heads/m:refs/heads/m\t[rejected] (fetch first)\nDone\n", "GitPushRejected"),
    ("!\trefs/heads/m:refs/heads/m\t[rejected] (non-fast-forward)\n", "GitPushRejected"),
    ("!\trefs/heads/m:refs/heads/m\t[rejected] (stale info)\n", "GitPushRejected"),
    ("!\trefs/heads/m:refs/heads/m\t[remote rejected] (pre-receive hook declined)\n", "GitRemoteRejected"),
    ("!\trefs/heads/m:refs/heads/m\t[remote rejected] (branch is currently checked out)\n", "GitRemoteRejected"),
    ("!\trefs/heads/m:refs/heads/m\t[remote rejected] (shallow update not allowed)\n", "GitRemoteRejected"),
    ("!\trefs/heads/m:refs/heads/m\t[remote failure] (remote failed to report status)\n", "GitRemoteRejected"),
]


@pytest.mark.parametrize(("stdout", "kind"), PUSHES)
def test_flags_of_a_push_come_before_texts(stdout: str, kind: str) -> None:
    stderr = "remote: error: 403 denied by policy\nerror: failed to push some refs to 'x'\n"
    error = classify_push(f"To http://127.0.0.1:1/x.git\n{stdout}", stderr)
    assert type(error) is getattr(errors, kind)
    assert kind != "GitRemoteRejected" or "denied by policy" in error.message


def test_push_lines_are_read() -> None:
    stdout = "To x\n*\trefs/heads/a:refs/heads/a\t[new branch]\n=\trefs/heads/b:refs/heads/b\t[up to date]\nDone\n"
    assert [(line.flag, line.target, line.refused) for line in parse_push(stdout)] == [
        ("*", "refs/heads/a", False),
        ("=", "refs/heads/b", False),
    ]


def test_message_is_short_and_begins_with_the_word_old_clients_look_for() -> None:
    error = classify("Receiving objects:  44% (1/2)\rfatal: repository 'x' not found\nhint: try\n" + "x" * 10_000)
    assert error.message.startswith("not found: ")
    assert len(error.message) <= 4200


def test_locks_and_missing_paths_are_recognised() -> None:
    assert locked("fatal: Unable to create '/r/.git/index.lock': File exists.")
    assert not locked("error: a file exists")
    assert missing_path("fatal: pathspec ':(top,literal)x y' did not match any files") == "x y"
    assert missing_path("fatal: something else") is None


class AuthError(Exception):
    """A fake of libgit2's typed error by class name; pygit2 is not imported here."""


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (AuthError("x"), "GitAuthFailed"),
        (Exception("too many redirects or authentication replays"), "GitAuthFailed"),
        (Exception("unexpected http status code: 403"), "Forbidden"),
        (Exception("unexpected http status code: 404"), "GitRepoNotFound"),
        (Exception("unexpected http status code: 503"), "GitTransportFailed"),
        (Exception("unexpected http status code: 429"), "GitTransportFailed"),
        (Exception("failed to resolve address for name.invalid: Name or service not known"), "GitTransportFailed"),
        (Exception("failed to connect to 127.0.0.1: Connection refused"), "GitTransportFailed"),
        (Exception("could not read from socket: timed out"), "GitTransportFailed"),
        (Exception("invalid or unknown remote ssh hostkey"), "GitTransportFailed"),
        (Exception("Repository not found at /nope"), "GitRepoNotFound"),
        (KeyError("reference 'refs/heads/x' not found"), "GitBranchNotFound"),
        (KeyError("x"), "GitBranchNotFound"),
        (Exception("src refspec 'x' does not match any existing object"), "GitBranchNotFound"),
        (
            Exception("failed to write reference 'refs/heads/m': a reference with that name already exists."),
            "GitBranchExists",
        ),
        (Exception("remote 'origin' already exists"), "Conflict"),
        (Exception("the given reference name 'refs/heads/a..b' is not valid"), "BadRequest"),
        (Exception("2 conflicts prevent checkout"), "GitDirtyWorktree"),
        (
            Exception(
                "cannot push because a reference that you are trying to update on the remote contains commits that are not present locally."
            ),
            "GitPushRejected",
        ),
        (Exception("cannot push non-fastforwardable reference"), "GitPushRejected"),
        (Exception("unsupported extension name extensions.foo"), "Unprocessable"),
        (Exception("unknown object format 'sha256'"), "Unprocessable"),
        (Exception("shallow fetch is not supported by the local transport"), "Unprocessable"),
        (Exception("cannot fetch a specific object from the remote repository"), "Unprocessable"),
        (Exception("something odd"), "InternalError"),
    ],
    ids=str,
)
def test_errors_of_libgit2_lead_to_their_meaning(error: Exception, kind: str) -> None:
    assert type(meaning(error)) is getattr(errors, kind)
