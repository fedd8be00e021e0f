"""The API of the stand-in for the Hub: what huggingface_hub asks when a model is pushed or pulled."""

import base64
import json
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote, urlsplit

import yaml
from hub_storage import Handler
from hub_store import LFS_SUFFIXES, Repository, StoredFile

# Token: (user, whether it may write).
TOKENS = {"hf_writer": ("ada", True), "hf_reader": ("ada", False), "hf_stranger": ("eve", True)}
MULTIPART_ABOVE = 300_000
PART_SIZE = 200_000


class RefusalError(Exception):
    """An answer other than what was asked for, with the headers by which the client knows why."""

    def __init__(self, status: int, message: str, *, code: str | None = None, headers: dict[str, str] | None = None):
        super().__init__(message)
        self.status, self.headers = status, {"X-Error-Message": message, **(headers or {})}
        if code is not None:
            self.headers["X-Error-Code"] = code


class ApiHandler(Handler):
    """The API, LFS, and the links to files."""

    def do_GET(self) -> None:  # noqa: N802
        """Find who answers."""
        self._answer_by(GET_ROUTES)

    def do_HEAD(self) -> None:  # noqa: N802
        """Answer as to GET, without the content."""
        self._answer_by(GET_ROUTES)

    def do_POST(self) -> None:  # noqa: N802
        """Find who answers."""
        self._answer_by(POST_ROUTES)

    def _answer_by(self, routes: dict[str, Callable]) -> None:
        path = urlsplit(self.path).path
        self.hub.requests.append((self.command, path))
        body = self.body()
        try:
            for pattern, answer in routes.items():
                if match := re.fullmatch(pattern, path):
                    answer(self, body, **{name: unquote(value) for name, value in match.groupdict().items() if value})
                    return
            raise RefusalError(404, f"The stand-in does not know {self.command} {path}.")
        except RefusalError as refusal:
            self.answer_json({"error": str(refusal)}, refusal.status, **refusal.headers)

    def user(self, *, writes: bool = False) -> str | None:
        """Return whose token came along.

        With `writes`, there must be one, and it must be good for writing.
        """
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if not token and writes:
            raise RefusalError(401, "Invalid username or password.")
        if not token:
            return None
        if token not in TOKENS:
            raise RefusalError(401, "Invalid credentials in Authorization header")
        user, may_write = TOKENS[token]
        if writes and not may_write:
            raise RefusalError(403, "Forbidden: you must use a write token to upload to a repository.")
        return user

    def repository(self, repo: str, *, writes: bool = False) -> Repository:
        """Return a repository that whoever asks may see."""
        user = self.user(writes=writes)
        found = self.hub.store.repositories.get(repo)
        if found is None or (found.private and user != found.owner):
            raise RefusalError(404 if user else 401, "Repository not found", code="RepoNotFound")
        if writes and user != found.owner:
            raise RefusalError(403, f"Forbidden: you don't have the rights to write to {repo}.")
        return found

    def commit(self, repository: Repository, revision: str) -> tuple[str, dict[str, StoredFile]]:
        """Return id and files of a revision."""
        commit_id = repository.commit_id(revision)
        if commit_id is None:
            raise RefusalError(404, f"Invalid rev id: {revision}", code="RevisionNotFound")
        return commit_id, repository.commits[commit_id]


def _create(handler: ApiHandler, body: bytes) -> None:
    user, asked = handler.user(writes=True), json.loads(body)
    owner = asked.get("organization") or user
    repo_id = f"{owner}/{asked['name']}"
    if owner != user:
        raise RefusalError(403, f'You don\'t have the rights to create a model under the namespace "{owner}".')
    exists = repo_id in handler.hub.store.repositories
    if not exists:
        is_private = asked.get("private") or asked.get("visibility") == "private"
        handler.hub.store.create(repo_id, private=bool(is_private))
    document = {"url": f"{handler.hub.url}/{repo_id}", "name": repo_id}
    if exists:
        document["error"] = "You already created this model repo"
    handler.answer_json(document, 409 if exists else 200)


def _whoami(handler: ApiHandler, body: bytes) -> None:
    user = handler.user()
    if user is None:
        raise RefusalError(401, "Invalid username or password.")
    handler.answer_json({"type": "user", "name": user, "orgs": [], "auth": {"type": "access_token"}})


def _validate_yaml(handler: ApiHandler, body: bytes) -> None:
    content = json.loads(body)["content"]
    match = re.match(r"---\n(.*?)\n---(\n|$)", content, re.DOTALL)
    try:
        metadata = yaml.safe_load(match[1]) if match else {}
    except yaml.YAMLError as error:
        handler.answer_json({"errors": [{"message": str(error)}], "warnings": []}, 400)
        return
    warnings = [] if metadata else [{"message": "empty or missing yaml metadata in repo card"}]
    errors = [{"message": message} for message in _metadata_errors(metadata)]
    handler.answer_json({"errors": errors, "warnings": warnings}, 400 if errors else 200)


def _metadata_errors(metadata: dict[str, Any]) -> list[str]:
    """Return what the Hub would not accept of the metadata of a card."""
    errors = []
    for key in ("base_model", "datasets"):
        named = metadata.get(key, [])
        for name in [named] if isinstance(named, str) else named:
            if not re.fullmatch(r"([\w-][\w.-]*/)?[\w-][\w.-]*", name):
                errors.append(f'"{key}" with value "{name}" is not valid. Use a model id from the Hub.')
    link = metadata.get("license_link", "LICENSE")
    if link not in ("LICENSE", "LICENSE.md") and not link.startswith("https://"):
        errors.append('"license_link" must be LICENSE, LICENSE.md or a link.')
    for index in metadata.get("model-index", []):
        for result in index["results"]:
            if not (result["task"]["type"] and result["dataset"]["type"] and result["dataset"]["name"]):
                errors.append('"model-index" lacks a type or a name.')
            errors += ['"model-index" has no number.' for metric in result["metrics"] if metric["value"] is None]
    return errors


def _model_info(handler: ApiHandler, body: bytes, repo: str, revision: str = "main") -> None:
    repository = handler.repository(repo)
    commit_id, files = handler.commit(repository, revision)
    siblings = [{"rfilename": path} for path in sorted(files)]
    document = {"_id": "0", "id": repo, "modelId": repo, "sha": commit_id, "private": repository.private}
    handler.answer_json({**document, "tags": [], "siblings": siblings})


def _tree(handler: ApiHandler, body: bytes, repo: str, revision: str, folder: str = "") -> None:
    _, files = handler.commit(handler.repository(repo), revision)
    inside = {path: file for path, file in files.items() if not folder or path.startswith(f"{folder}/")}
    if folder and not inside:
        raise RefusalError(404, f"{folder} does not exist", code="EntryNotFound")
    handler.answer_json([{"type": "file", "path": path, **_blob(file)} for path, file in sorted(inside.items())])


def _blob(file: StoredFile) -> dict[str, Any]:
    blob: dict[str, Any] = {"oid": file.git_oid, "size": file.size}
    return {**blob, "lfs": {"oid": file.sha256, "size": file.size, "pointerSize": 130}} if file.is_lfs else blob


def _refs(handler: ApiHandler, body: bytes, repo: str) -> None:
    branches = handler.repository(repo).branches
    named = [{"name": name, "ref": f"refs/heads/{name}", "targetCommit": oid} for name, oid in branches.items()]
    handler.answer_json({"branches": named, "tags": [], "converts": []})


def _branch(handler: ApiHandler, body: bytes, repo: str, name: str) -> None:
    repository = handler.repository(repo, writes=True)
    if name in repository.branches:
        raise RefusalError(409, f"Reference already exists: {name}")
    start, _ = handler.commit(repository, json.loads(body).get("startingPoint") or "main")
    repository.branches[name] = start
    handler.answer_json({})


def _tag(handler: ApiHandler, body: bytes, repo: str, revision: str) -> None:
    repository = handler.repository(repo, writes=True)
    repository.branches[json.loads(body)["tag"]], _ = handler.commit(repository, revision)
    handler.answer_json({})


def _preupload(handler: ApiHandler, body: bytes, repo: str, revision: str) -> None:
    _, files = handler.commit(handler.repository(repo, writes=True), revision)
    answers = []
    for asked in json.loads(body)["files"]:
        mode = "lfs" if asked["path"].endswith(LFS_SUFFIXES) else "regular"
        known = files[asked["path"]].etag if asked["path"] in files else None
        answers.append({"path": asked["path"], "uploadMode": mode, "shouldIgnore": False, "oid": known})
    handler.answer_json({"files": answers})


def _lfs_batch(handler: ApiHandler, body: bytes, repo: str) -> None:
    repository, answers = handler.repository(repo, writes=True), []
    for asked in json.loads(body)["objects"]:
        answer = {"oid": asked["oid"], "size": asked["size"]}
        if asked["oid"] not in repository.uploads:
            answer["actions"] = _upload_actions(handler.hub, repo, asked["oid"], asked["size"])
        answers.append(answer)
    handler.answer_json({"transfer": "basic", "objects": answers})


def _upload_actions(hub: Any, repo: str, sha256: str, size: int) -> dict[str, Any]:
    link = f"{hub.storage_url}/{sha256}?repo={repo}"
    verify = {"href": f"{hub.url}/api/lfs-verify/{repo}", "header": {}}
    if size <= MULTIPART_ABOVE:
        return {"upload": {"href": link}, "verify": verify}
    parts = {str(i + 1): f"{link}&part={i + 1}" for i in range(-(-size // PART_SIZE))}
    complete = f"{hub.url}/api/lfs-complete/{repo}"
    return {"upload": {"href": complete, "header": {"chunk_size": str(PART_SIZE), **parts}}, "verify": verify}


def _lfs_complete(handler: ApiHandler, body: bytes, repo: str) -> None:
    asked, store = json.loads(body), handler.hub.store
    if not store.join_parts(asked["oid"], len(asked["parts"])):
        raise RefusalError(400, "The parts do not make up the file.")
    store.repositories[repo].uploads.append(asked["oid"])
    handler.answer_json({"success": True})


def _lfs_verify(handler: ApiHandler, body: bytes, repo: str) -> None:
    if json.loads(body)["oid"] not in handler.repository(repo, writes=True).uploads:
        raise RefusalError(404, "LFS object is missing")
    handler.answer_json({})


def _commit(handler: ApiHandler, body: bytes, repo: str, revision: str) -> None:
    repository, store = handler.repository(repo, writes=True), handler.hub.store
    parent, before = handler.commit(repository, revision)
    files, message = dict(before), ""
    for line in map(json.loads, body.splitlines()):
        value = line["value"]
        if line["key"] == "header":
            message = value["summary"]
            if value.get("parentCommit", parent) != parent:
                raise RefusalError(412, "A commit has happened since. Please refresh and try again.")
        elif line["key"] == "file":
            files[value["path"]] = store.add_file(base64.b64decode(value["content"]))
        elif line["key"] == "lfsFile":
            if value["oid"] not in repository.uploads:
                raise RefusalError(400, f"LFS object of {value['path']} was not uploaded")
            files[value["path"]] = store.lfs_file(value["oid"])
        elif line["key"] == "deletedFile":
            if files.pop(value["path"], None) is None:
                raise RefusalError(404, "A file with this name doesn't exist", code="EntryNotFound")
        else:
            raise RefusalError(400, f"The stand-in does not know {line['key']}.")
    commit_id = repository.add_commit(revision, files, message)
    handler.answer_json({"commitUrl": f"{handler.hub.url}/{repo}/commit/{commit_id}", "commitOid": commit_id})


def _resolve(handler: ApiHandler, body: bytes, repo: str, revision: str, path: str) -> None:
    commit_id, files = handler.commit(handler.repository(repo), revision)
    of_commit = {"X-Repo-Commit": commit_id}
    if path not in files:
        raise RefusalError(404, "Entry not found", code="EntryNotFound", headers=of_commit)
    file = files[path]
    if not file.is_lfs:
        content = handler.hub.store.object_path(file.sha256).read_bytes()
        handler.answer(200, content, ETag=f'"{file.git_oid}"', **of_commit)
        return
    linked = {"X-Linked-Etag": f'"{file.sha256}"', "X-Linked-Size": file.size}
    handler.answer(302, Location=f"{handler.hub.storage_url}/{file.sha256}?signature=0", **linked, **of_commit)


_REPO = r"(?P<repo>[\w.-]+/[\w.-]+)"
GET_ROUTES: dict[str, Callable] = {
    "/api/whoami-v2": _whoami,
    rf"/api/models/{_REPO}/refs": _refs,
    rf"/api/models/{_REPO}/tree/(?P<revision>[^/]+)(/(?P<folder>.+))?": _tree,
    rf"/api/models/{_REPO}(/revision/(?P<revision>[^/]+))?": _model_info,
    rf"/{_REPO}/resolve/(?P<revision>[^/]+)/(?P<path>.+)": _resolve,
}
POST_ROUTES: dict[str, Callable] = {
    "/api/repos/create": _create,
    "/api/validate-yaml": _validate_yaml,
    rf"/api/lfs-verify/{_REPO}": _lfs_verify,
    rf"/api/lfs-complete/{_REPO}": _lfs_complete,
    rf"/api/models/{_REPO}/branch/(?P<name>[^/]+)": _branch,
    rf"/api/models/{_REPO}/tag/(?P<revision>[^/]+)": _tag,
    rf"/api/models/{_REPO}/preupload/(?P<revision>[^/]+)": _preupload,
    rf"/api/models/{_REPO}/commit/(?P<revision>[^/]+)": _commit,
    rf"/{_REPO}\.git/info/lfs/objects/batch": _lfs_batch,
}
