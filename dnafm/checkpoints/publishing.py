"""Publishing a checkpoint on the Hugging Face Hub, in one commit."""

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, get_token
from huggingface_hub.errors import (
    EntryNotFoundError,
    HfHubHTTPError,
    HTTPError,
    OfflineModeIsEnabled,
    RevisionNotFoundError,
)
from huggingface_hub.hf_api import ModelInfo
from transformers.utils import CONFIG_NAME

from dnafm.checkpoints.published_files import Content, files_to_publish, read_whole_checkpoint

_REPO_ID = re.compile(r"([\w-][\w.-]*/)?[\w-][\w.-]{0,95}")
# Weights of an earlier push; left beside others, they might be loaded instead of them.
_WEIGHTS = re.compile(r"(model|pytorch_model)(-\d+-of-\d+)?\.(safetensors|bin)(\.index\.json)?")
LOG_IN = "Log in by `hf auth login`, or set HF_TOKEN to a token that may write (huggingface.co/settings/tokens)"


@dataclass(frozen=True)
class Publication:
    """What was pushed.

    Attributes:
        repo_id: of the repository, with its owner.
        url: of the commit.
        commit_id: of the commit.
        paths: of the files in the repository.
        is_new: whether there was anything to change.
    """

    repo_id: str
    url: str
    commit_id: str
    paths: tuple[str, ...]
    is_new: bool


def push_checkpoint(
    folder: str | Path,
    repo_id: str,
    *,
    private: bool = False,
    with_code: bool = False,
    revision: str | None = None,
    commit_message: str | None = None,
) -> Publication:
    """Publish weights, tokenizer, settings, metrics and the model card of a checkpoint in one commit.

    The repository is made if it is not there. Files that the Hub has already are not sent again, so a push that was
    interrupted goes on where it was. The card is made from what is in the folder, unless somebody wrote one.

    Args:
        folder: of a whole checkpoint of dnafm, with weights in safetensors.
        repo_id: `OWNER/NAME`, or `NAME` for a repository of one's own.
        private: whether a new repository is to be seen by its owner alone.
        with_code: whether to add the code of the model, which loads it where dnafm is not installed.
        revision: branch to push to, made from `main` if it is not there.
        commit_message: of the commit.

    Raises:
        OSError: there is no such folder or no token, the Hub cannot be reached or refuses.
        ValueError: the folder holds no whole checkpoint, `repo_id` is none, or the repository holds another
            architecture.
    """
    _check_repo_id(repo_id)
    checkpoint = read_whole_checkpoint(Path(folder))
    if get_token() is None:
        raise OSError(f"There is no token of the Hub. {LOG_IN}.")
    api = HfApi(library_name="dnafm")
    with _errors_of_the_hub(api.endpoint, repo_id):
        if "/" not in repo_id:
            repo_id = f"{api.whoami()['name']}/{repo_id}"
        files = files_to_publish(checkpoint, repo_id, with_code=with_code)
        api.create_repo(repo_id, private=private, exist_ok=True)
        info = _check_repository(api, repo_id, revision, private=private)
        if revision is not None:
            api.create_branch(repo_id, branch=revision, exist_ok=True)
        commit = api.create_commit(
            repo_id,
            operations=_operations(files, info),
            revision=revision,
            commit_message=commit_message or f"Upload {checkpoint.model_class.__name__}",
        )
    return Publication(repo_id, commit.commit_url, commit.oid, tuple(sorted(files)), is_new=commit.oid != info.sha)


def _check_repo_id(repo_id: str) -> None:
    if not _REPO_ID.fullmatch(repo_id) or ".." in repo_id or "--" in repo_id or repo_id.endswith((".git", "-", ".")):
        raise ValueError(
            f"{repo_id!r} is no repository of the Hub: OWNER/NAME is due, of letters, digits, -, _ and . (no path)."
        )


def _check_repository(api: HfApi, repo_id: str, revision: str | None, *, private: bool) -> ModelInfo:
    """Return what is at the revision, which must be nothing or a DNA FM, and hidden if it is to be."""
    try:
        info = api.model_info(repo_id, revision=revision)
    except RevisionNotFoundError:
        info = api.model_info(repo_id)
    if private and not info.private:
        raise ValueError(f"{repo_id} exists and is public. Make it private in its settings first, or push to another.")
    try:
        path = api.hf_hub_download(repo_id, CONFIG_NAME, revision=info.sha)
    except EntryNotFoundError:
        return info
    found = json.loads(Path(path).read_text(encoding="utf-8")).get("model_type")
    if found != "dnafm":
        raise ValueError(
            f"{repo_id} holds a model of type {found!r}, and this one is of type 'dnafm'. Push to another repository."
        )
    return info


def _operations(files: Mapping[str, Content], info: ModelInfo) -> list[CommitOperationAdd | CommitOperationDelete]:
    there = [sibling.rfilename for sibling in info.siblings or ()]
    stale = [path for path in there if _WEIGHTS.fullmatch(path) and path not in files]
    added = [
        CommitOperationAdd(path_in_repo=path, path_or_fileobj=content if isinstance(content, bytes) else str(content))
        for path, content in sorted(files.items())
    ]
    return [*(CommitOperationDelete(path_in_repo=path) for path in stale), *added]


@contextmanager
def _errors_of_the_hub(endpoint: str, repo_id: str) -> Iterator[None]:
    """Say in a sentence what the Hub or the network has against a push, and what to do about it."""
    try:
        yield
    except RuntimeError as error:
        # What failed in an upload is the cause of what the client raises.
        if not isinstance(error.__cause__, HTTPError):
            raise
        raise _explained(error.__cause__, endpoint, repo_id) from error
    except OfflineModeIsEnabled as error:
        raise OSError(f"{repo_id} cannot be pushed while HF_HUB_OFFLINE is set. Unset it.") from error
    except HTTPError as error:
        raise _explained(error, endpoint, repo_id) from error


def _explained(error: Exception, endpoint: str, repo_id: str) -> OSError:
    again = "The same command goes on where this one ended"
    if not isinstance(error, HfHubHTTPError):
        return OSError(f"{endpoint} cannot be reached ({error}). Check the network, and HF_ENDPOINT if set. {again}.")
    status, message = error.response.status_code, " ".join((error.server_message or str(error)).split()).rstrip(".")
    if status == 401:
        return OSError(f"The Hub does not accept the token ({message}). {LOG_IN}.")
    if status == 403:
        return OSError(f"The token may not write to {repo_id} ({message}). Is the repository yours? {LOG_IN}.")
    return OSError(f"{repo_id}: the Hub answered {status} ({message}). {again}.")
