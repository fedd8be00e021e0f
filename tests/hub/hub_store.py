"""What a Hub keeps: repositories with branches of commits, and the content of files by its hash."""

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path

# What a new repository of the Hub says about files that do not belong into git.
GITATTRIBUTES = b"*.safetensors filter=lfs diff=lfs merge=lfs -text\n*.bin filter=lfs diff=lfs merge=lfs -text\n"
LFS_SUFFIXES = (".safetensors", ".bin", ".png")


@dataclass(frozen=True)
class StoredFile:
    """A file of a commit.

    Attributes:
        sha256: of its content, which is also its name in the store.
        git_oid: what git calls its blob; for LFS that of the pointer.
        size: in bytes.
        is_lfs: whether git has a pointer alone.
    """

    sha256: str
    git_oid: str
    size: int
    is_lfs: bool

    @property
    def etag(self) -> str:
        """What the Hub calls the content."""
        return self.sha256 if self.is_lfs else self.git_oid


@dataclass
class Repository:
    """Commits by id, and the names of some of them.

    Attributes:
        uploads: hashes of the large files, in the order in which they came.
    """

    owner: str
    private: bool
    uploads: list[str] = field(default_factory=list)
    commits: dict[str, dict[str, StoredFile]] = field(default_factory=dict)
    messages: dict[str, str] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)

    def commit_id(self, revision: str) -> str | None:
        """Return the id that a branch, a tag or an id stands for."""
        return self.branches.get(revision) or (revision if revision in self.commits else None)

    def add_commit(self, branch: str, files: dict[str, StoredFile], message: str) -> str:
        """Make a branch end in a commit of these files."""
        content = {path: file.git_oid for path, file in sorted(files.items())}
        text = json.dumps([content, self.branches.get(branch), message, len(self.commits)])
        commit_id = hashlib.sha1(text.encode()).hexdigest()
        self.commits[commit_id], self.messages[commit_id] = files, message
        self.branches[branch] = commit_id
        return commit_id


class HubStore:
    """Repositories and contents.

    Args:
        folder: where the contents are written.
    """

    def __init__(self, folder: Path):
        self._objects = folder / "objects"
        self._parts = folder / "parts"
        self._objects.mkdir(parents=True)
        self._parts.mkdir()
        self.repositories: dict[str, Repository] = {}

    def create(self, repo_id: str, *, private: bool) -> Repository:
        """Make a repository with its first commit."""
        repository = Repository(owner=repo_id.split("/")[0], private=private)
        repository.add_commit("main", {".gitattributes": self.add_file(GITATTRIBUTES)}, "initial commit")
        self.repositories[repo_id] = repository
        return repository

    def add_file(self, content: bytes) -> StoredFile:
        """Keep a file of git."""
        sha256 = self.add_object(content)
        return StoredFile(sha256, _git_oid(content), len(content), is_lfs=False)

    def lfs_file(self, sha256: str) -> StoredFile:
        """Return a file whose content was uploaded before."""
        size = self.object_path(sha256).stat().st_size
        pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n"
        return StoredFile(sha256, _git_oid(pointer.encode()), size, is_lfs=True)

    def add_object(self, content: bytes) -> str:
        """Keep a content and return its hash."""
        sha256 = hashlib.sha256(content).hexdigest()
        self.object_path(sha256).write_bytes(content)
        return sha256

    def add_part(self, sha256: str, number: int, content: bytes) -> None:
        """Keep a part of a content that comes in several."""
        (self._parts / f"{sha256}.{number}").write_bytes(content)

    def join_parts(self, sha256: str, n_parts: int) -> bool:
        """Keep the content that the parts make up, if it is the one that was announced."""
        content = b"".join((self._parts / f"{sha256}.{i + 1}").read_bytes() for i in range(n_parts))
        return self.add_object(content) == sha256

    def object_path(self, sha256: str) -> Path:
        """Return where a content is, or would be."""
        return self._objects / sha256

    def read(self, repo_id: str, path: str, revision: str = "main") -> bytes:
        """Return the content of a file, for tests."""
        repository = self.repositories[repo_id]
        file = repository.commits[repository.commit_id(revision)][path]
        return self.object_path(file.sha256).read_bytes()

    def paths(self, repo_id: str, revision: str = "main") -> set[str]:
        """Return the files of a revision, for tests."""
        repository = self.repositories[repo_id]
        return set(repository.commits[repository.commit_id(revision)]) - {".gitattributes"}


def _git_oid(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
