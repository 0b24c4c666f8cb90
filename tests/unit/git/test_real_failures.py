"""Error codes for failures provoked with the installed git program: a new version may change its messages."""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess
from collections.abc import Iterator

import pytest

from tests.git_support import remote as remotes
from tests.git_support import repo
from tests.git_support.remote import Server
from toolbox.git.classify import classify

UNKNOWN = "1234567890123456789012345678901234567890"
# In "r": branch main, two files. Only the output of the last line counts.
START = f"""
exec 2>&1
quiet() {{ "$@" >/dev/null 2>&1; }}
edit() {{ echo "$2" >"$1"; quiet git add -A; quiet git commit -m "$2"; }}
elsewhere() {{ quiet git checkout -b other; edit "$1" "$2"; quiet git checkout main; }}
conflict() {{ elsewhere a.txt theirs; edit a.txt ours; quiet git merge other; }}
UNKNOWN={UNKNOWN}
cd r
"""

LOCAL = [
    # a branch, a tag, a revision
    ("GitBranchNotFound", "remote branch nope not found in upstream", "git clone -b nope . ../c"),
    ("GitBranchNotFound", "couldn't find remote ref", "git fetch . nope"),
    ("GitBranchNotFound", "src refspec nope does not match any", "git push . nope"),
    ("GitBranchNotFound", "not our ref", "git fetch --depth 1 file://$PWD $UNKNOWN"),
    ("GitBranchNotFound", "invalid reference:", "git switch nope"),
    ("GitBranchNotFound", "not currently on a branch", "quiet git checkout --detach; git push ."),
    ("GitBranchNotFound", "unknown revision", "git rev-list nope"),
    ("GitBranchNotFound", "bad revision", "git rev-list nope --"),
    ("GitBranchNotFound", "not a valid object name", "git branch new nope"),
    ("GitBranchNotFound", "could not resolve", "git restore --source=nope a.txt"),
    ("GitBranchNotFound", "reference is not a tree", "git checkout $UNKNOWN"),
    ("GitBranchNotFound", "bad object", "git rev-list $UNKNOWN"),
    (
        "GitBranchNotFound",
        "no such ref",
        "git config branch.main.remote .; git config branch.main.merge refs/heads/nope; git pull",
    ),
    # a merge
    ("GitMergeConflict", "conflict (", "conflict; quiet git merge --abort; git merge other"),
    ("GitMergeConflict", "automatic merge failed", "conflict; quiet git merge --abort; git merge -q other"),
    ("GitMergeConflict", "unmerged files", "conflict; git commit -m m"),
    ("GitMergeConflict", "in the middle of a merge", "conflict; git reset --soft"),
    ("GitMergeConflict", "cannot switch branch while", "conflict; git switch other"),
    (
        "GitMergeConflict",
        "have not concluded your merge",
        "conflict; echo both >a.txt; quiet git add a.txt; git merge other",
    ),
    (
        "GitMergeConflict",
        "not possible to fast-forward",
        "conflict; quiet git merge --abort; git merge --ff-only other",
    ),
    ("GitMergeConflict", "divergent branches", "conflict; quiet git merge --abort; git pull . other"),
    (
        "GitMergeConflict",
        "unrelated histories",
        "quiet git checkout --orphan alone; edit x x; quiet git checkout main; git merge alone",
    ),
    ("GitMergeConflict", "needs merge", "conflict; git stash"),
    ("GitMergeConflict", "you need to resolve your current index first", "conflict; git checkout other"),
    ("GitMergeConflict", "path 'a.txt' is unmerged", "conflict; git checkout -- a.txt"),
    # changes of the user's
    (
        "GitDirtyWorktree",
        "would be overwritten by",
        "elsewhere a.txt x; echo mine >a.txt; git checkout other",
    ),
    (
        "GitDirtyWorktree",
        "move or remove them before",
        "elsewhere new x; echo mine >new; git checkout other",
    ),
    (
        "GitDirtyWorktree",
        "commit your changes or stash them",
        "elsewhere a.txt x; echo mine >a.txt; git merge other",
    ),
    (
        "GitDirtyWorktree",
        "not uptodate. cannot merge",
        "edit a.txt x; echo mine >a.txt; git reset --merge HEAD~1",
    ),
    ("GitDirtyWorktree", "could not reset index file", "edit a.txt x; echo mine >a.txt; git reset --keep HEAD~1"),
    (
        "GitDirtyWorktree",
        "would lose untracked files",
        "quiet git rm -r --cached dir; mv dir old; elsewhere dir x; >dir/new; git checkout other",
    ),
    ("GitDirtyWorktree", "please commit or stash them", "edit a.txt x; echo mine >a.txt; git rebase HEAD~1"),
    (
        "GitDirtyWorktree",
        "contains uncommitted changes",
        "edit a.txt x; echo mine >a.txt; git add .; git rebase HEAD~1",
    ),
    # names
    ("GitBranchExists", "a branch named 'main' already exists", "git branch main"),
    ("GitBranchExists", "cannot lock ref 'refs/heads/main/x'", "git branch main/x"),
    ("BadRequest", "is not a valid branch name", "git branch a..b"),
    ("BadRequest", "is not a valid tag name", "git tag a..b"),
    ("BadRequest", "is not a valid remote name", "git remote add a..b x"),
    ("BadRequest", "invalid initial branch name", "git init -b a..b ../i"),
    ("BadRequest", "cannot do soft reset with paths", "git reset --soft -- a.txt"),
    ("BadRequest", "is not a positive number", "git clone --depth 0 . ../c"),
    ("BadRequest", "invalid key", "git config a.b_c x"),
    ("BadRequest", "key does not contain", "git config nodot x"),
    ("BadRequest", "transport 'ext' not allowed", "git clone 'ext::sh -c true' ../c"),
    ("BadRequest", "is outside repository", "git add ../x"),
    ("BadRequest", "name consists only of disallowed characters", "git -c user.name='<>' commit --allow-empty -m m"),
    ("BadRequest", "empty ident name", "git -c user.name= commit --allow-empty -m m"),
    ("BadRequest", "must be run in a work tree", "git init -q --bare ../b; cd ../b; git status"),
    ("BadRequest", "has only 1 line", "git blame -L 5,6 a.txt"),
    ("BadRequest", "is a merge but no -m option", "elsewhere b b; edit a a; quiet git merge other; git revert HEAD"),
    ("BadRequest", "does not have parent 2", "edit a.txt x; git revert -m 2 HEAD"),
    ("BadRequest", "invalid path '", "git update-index --add --cacheinfo 100644,$(git hash-object a.txt),.git/x"),
    # files
    ("FileMissing", "did not match any file", "git add nope"),
    ("FileMissing", "no such path", "git blame nope"),
    # what is there already, or not yet
    ("Conflict", "already exists and is not an empty directory", "git clone . ../r"),
    ("Conflict", "remote origin already exists", "git remote add origin x; git remote add origin x"),
    ("Conflict", "cannot delete branch", "git branch -D main"),
    (
        "Conflict",
        "you do not have the initial commit yet",
        "git init -q ../n; cd ../n; echo x >x; git add x; git stash",
    ),
    ("Conflict", "does not have any commits yet", "git init -q ../n; cd ../n; git log"),
    ("Conflict", "nothing to commit", "git commit -m m"),
    ("Conflict", "nothing added to commit", "echo x >new; git commit -m m"),
    ("Conflict", ".lock': file exists", "touch .git/index.lock; git add ."),
    ("Conflict", "tag 'v' already exists", "git tag v; git tag v"),
    ("GitRepoNotFound", "not a git repository", "cd ..; git status"),
    ("GitRepoNotFound", "does not appear to be a git repository", "git fetch ../nope"),
    ("GitRepoNotFound", "does not exist", "git clone ../nope ../c"),
    # the machine
    ("GitTransportFailed", "could not resolve host", "git ls-remote https://name.invalid/x"),
    ("GitTransportFailed", "failed to connect", "git ls-remote http://127.0.0.1:1/x"),
    ("GitTransportFailed", "connection refused", "git ls-remote git://127.0.0.1:1/x"),
    (
        "GitTransportFailed",
        "cannot run ssh",
        "mkdir ../bin; ln -s $(command -v git) ../bin; PATH=$PWD/../bin git ls-remote ssh://127.0.0.1/x",
    ),
    ("GitTransportFailed", "ssh: not found", "GIT_SSH_COMMAND='PATH= ssh -v' git ls-remote ssh://127.0.0.1/x"),
]

MOUNTING = ("unshare", "--mount", "--map-root-user")
NETWORK = ("unshare", "--net", "--map-root-user")


def said(folder: pathlib.Path, script: str, *inside: str) -> str:
    """Run a script in a folder in the C locale, and return what it prints."""
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "GIT_ALLOW_PROTOCOL": "file:git:http:https:ssh",
        "GIT_CEILING_DIRECTORIES": str(folder),
        "GIT_SSL_CAINFO": "/dev/null",
        **{name: value for name, value in repo.IDENTITY.items() if not name.endswith("_NAME")},
    }
    (folder / ".gitconfig").write_text("[user]\nname = A U Thor\n[init]\ndefaultBranch = main\n")
    env["GIT_CONFIG_GLOBAL"] = str(folder / ".gitconfig")
    done = subprocess.run(
        [*inside, "sh", "-c", START + script], cwd=folder, env=env, capture_output=True, text=True, timeout=20
    )
    assert done.returncode, done.stdout
    assert done.stderr == ""
    return done.stdout


def check(kind: str, text: str, output: str) -> None:
    assert text in output.lower()
    assert type(classify(output)).__name__ == kind


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> pathlib.Path:
    repo.new(tmp_path / "r")
    return tmp_path


@pytest.mark.parametrize(("kind", "text", "script"), LOCAL, ids=[text for _, text, _ in LOCAL])
def test_of_a_repository(folder: pathlib.Path, kind: str, text: str, script: str) -> None:
    check(kind, text, said(folder, script))


@pytest.fixture
def http(tmp_path: pathlib.Path) -> Iterator[Server]:
    (tmp_path / "remotes").mkdir()
    repo.published(tmp_path / "remotes")
    with remotes.serving(tmp_path / "remotes") as server:
        yield server


# Response bodies of forges, which git prints as ``remote:``.
FORGES = [
    (401, "HTTP Basic: Access denied", "GitAuthFailed"),
    (401, "Invalid username or password", "GitAuthFailed"),
    (403, "Permission to o/r.git denied to u.", "Forbidden"),
    (403, "Write access to repository not granted.", "Forbidden"),
    (404, "Repository not found.", "GitRepoNotFound"),
    (410, "", "GitRepoNotFound"),
    (407, "", "GitTransportFailed"),
    (429, "slow down", "GitTransportFailed"),
    (503, "down for maintenance", "GitTransportFailed"),
]


@pytest.mark.parametrize(("status", "body", "kind"), FORGES)
def test_of_a_forge(folder: pathlib.Path, http: Server, status: int, body: str, kind: str) -> None:
    http.words = body
    url = http.url.replace("://", "://u:p@")
    output = said(folder, f"git ls-remote {url}/status/{status}/x.git")
    check(kind, body.lower(), output)


@pytest.mark.parametrize(
    ("way", "text"),
    [
        ("empty", "empty reply from server"),
        ("reset", "connection reset"),
        ("cut", "early eof"),
        ("cut", "rpc failed"),
        ("hang", "operation too slow"),
    ],
)
def test_of_a_connection(folder: pathlib.Path, http: Server, way: str, text: str) -> None:
    limits = "GIT_HTTP_LOW_SPEED_LIMIT=1000 GIT_HTTP_LOW_SPEED_TIME=1"
    check("GitTransportFailed", text, said(folder, f"{limits} git clone {http.url}/{way}/x.git ../c"))


def test_of_a_certificate(folder: pathlib.Path, http: Server) -> None:
    context, _ = remotes.certificate(folder)
    with remotes.serving(http.root, "localhost", context) as tls:
        check("GitTransportFailed", "certificate", said(folder, f"git ls-remote {tls.url}/open/x.git"))
    secure = http.url.replace("http:", "https:")
    check("GitTransportFailed", "tls" if "gnutls" in libraries() else "ssl", said(folder, f"git ls-remote {secure}/x"))


def libraries() -> str:
    """Return the libraries of git's HTTP helper: its messages are those of its TLS library."""
    path = subprocess.run(["git", "--exec-path"], capture_output=True, text=True, check=True).stdout.strip()
    return subprocess.run(["ldd", f"{path}/git-remote-http"], capture_output=True, text=True, check=True).stdout


@pytest.mark.skipif(shutil.which("ssh") is None, reason="ssh is not installed")
def test_of_ssh(folder: pathlib.Path, http: Server) -> None:
    with remotes.serving_ssh(folder / "ssh") as port:
        for options, kind, text in (
            ("-o StrictHostKeyChecking=yes", "GitTransportFailed", "host key verification failed"),
            ("-o StrictHostKeyChecking=no", "GitAuthFailed", "permission denied (publickey"),
        ):
            ssh = f"ssh -F /dev/null -o BatchMode=yes -o UserKnownHostsFile=/dev/null -i /dev/null {options}"
            check(kind, text, said(folder, f"GIT_SSH_COMMAND='{ssh}' git ls-remote ssh://git@127.0.0.1:{port}/x"))
    plain = http.url.replace("http:", "ssh:")
    check("GitTransportFailed", "kex_exchange_identification", said(folder, f"git ls-remote {plain}/x"))


@pytest.mark.skipif(
    subprocess.run([*MOUNTING, "true"], capture_output=True, check=False).returncode != 0,
    reason="nothing can be mounted here",
)
def test_of_a_disk(folder: pathlib.Path) -> None:
    (folder / "small").mkdir()
    script = """
    mount -t tmpfs -o size=100k none ../small
    cp -r .git ../small
    cd ../small
    head -c 300000 /dev/urandom >../big
    git --work-tree=.. add ../big
    """
    check("StorageFull", "no space left on device", said(folder, script, *MOUNTING))
    script = "mount -t tmpfs -o ro none ../small; git init ../small/x"
    check("FileAccessDenied", "read-only file system", said(folder, script, *MOUNTING))


@pytest.mark.skipif(
    subprocess.run([*NETWORK, "true"], capture_output=True, check=False).returncode != 0,
    reason="no network of its own can be made here",
)
def test_of_a_network(folder: pathlib.Path) -> None:
    output = said(folder, "git ls-remote git://192.0.2.1/x", *NETWORK)
    check("GitTransportFailed", "network is unreachable", output)


def test_of_rights(folder: pathlib.Path) -> None:
    other = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"] if os.geteuid() == 0 else []
    if other and not shutil.which("setpriv"):
        pytest.skip("setpriv is not installed")
    for parent in (folder, *folder.parents):
        if parent.is_relative_to("/tmp") and parent != pathlib.Path("/tmp"):
            parent.chmod(0o755)
    tree = repo.new(folder / "r")
    trust = 'git config --global --add safe.directory "*"'
    (folder / "own").mkdir(mode=0o777)
    (folder / "own").chmod(0o777)
    subprocess.run(["chmod", "-R", "a-w", str(tree / ".git")], check=True)
    script = f"export GIT_CONFIG_GLOBAL=$HOME/own/c; {trust}; "
    check("FileAccessDenied", "permission denied", said(folder, script + "git add .", *other))
    check(
        "FileAccessDenied",
        "insufficient permission",
        said(folder, script + "echo x | git hash-object -w --stdin", *other),
    )
