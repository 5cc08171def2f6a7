"""From a repository's name to complete, verified files in the hub's cache.

The listing of a commit says how large each file is and what its hash must be (sha256 for large files, git's own sha1
for small ones). A file is written under a temporary name, continued there with a range request when an earlier try was
cut off, compared with its hash, and only then renamed into the cache that transformers and datasets share. The hub's
client does the rest. It no longer keeps partial files between two runs, which is why the download itself is done here.

Left out: Xet's chunked protocol, since plain HTTP resumes and is quick enough for files of this size.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from course_lib.errors import CourseError
from course_lib.hub.sources import Repository

Choose = Callable[[Iterable[str]], list[str]]  # which of a repository's files are needed; CourseError if some lack
KEPT = "what has arrived is kept, and the next try continues there"
FIRST_ANSWER = 10  # seconds to wait for the hub's first answer


def fetch(repository: Repository, choose: Choose) -> tuple[Path, list[str]]:
    """The local folder of a repository and its needed files in it, downloaded if they are not there yet.

    A pinned revision that is complete in the cache needs no network. Without a network, or when the repository has
    vanished from the hub, the cached copy of any revision is used. Raises CourseError for everything that goes wrong.
    """
    from huggingface_hub import HfApi, snapshot_download

    with explained(repository):
        held = cached(repository, choose)
        if held and repository.pinned:
            return held
        try:
            info = HfApi().repo_info(
                repository.id,
                repo_type=repository.kind,
                revision=repository.revision,
                files_metadata=True,
                timeout=FIRST_ANSWER,
            )
        except no_answer():
            if held:
                return held
            raise
        siblings = {sibling.rfilename: sibling for sibling in getattr(info, "siblings", None) or []}
        names = choose(siblings)
        complete(repository, str(info.sha), [siblings[name] for name in names])
        folder = snapshot_download(
            repository.id,
            repo_type=repository.kind,
            revision=repository.revision,
            allow_patterns=names,
            tqdm_class=silent(),
        )
        return Path(folder), names


def cached(repository: Repository, choose: Choose) -> tuple[Path, list[str]] | None:
    """The folder and files of a repository if the cache has all of them at their full size, else None. No network."""
    from huggingface_hub import get_cached_repo_tree, snapshot_download
    from huggingface_hub.errors import CachedRepoTreeNotFoundError, LocalEntryNotFoundError

    where: dict[str, Any] = {"repo_type": repository.kind, "revision": repository.revision}
    try:  # An empty list of patterns asks for the folder as it is.
        folder = Path(snapshot_download(repository.id, local_files_only=True, allow_patterns=[], **where))
    except LocalEntryNotFoundError:
        return None
    try:
        sizes = {file.path: file.size for file in get_cached_repo_tree(repository.id, **where)}
    except CachedRepoTreeNotFoundError:  # filled by an older client: all we can ask is whether the folder suffices
        sizes = {
            path.relative_to(folder).as_posix(): path.stat().st_size for path in folder.rglob("*") if path.is_file()
        }
    try:
        names = choose(sizes)
    except CourseError:
        return None
    return (folder, names) if all(size_of(folder / name) == sizes[name] for name in names) else None


def complete(repository: Repository, commit: str, siblings: Iterable[Any]) -> None:
    """Bring the blobs of these files into the cache, so that the hub's client only has to link them."""
    from huggingface_hub import constants
    from huggingface_hub.file_download import repo_folder_name

    storage = Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=repository.id, repo_type=repository.kind)
    blobs = storage / "blobs"
    missing = []
    for file in siblings:
        digest = file.lfs.sha256 if file.lfs else file.blob_id
        if file.size is None or not digest:
            continue  # a mirror that lists no hashes: the hub's client downloads what it can
        pointer = storage / "snapshots" / commit / file.rfilename
        for path in (pointer, blobs / digest):
            if size_of(path) not in (None, file.size):
                path.unlink()  # cut off or overwritten after it was verified
        if size_of(blobs / digest) is None:
            missing.append((file, blobs / digest))
    require_space(storage, sum(file.size - (size_of(partial(blob)) or 0) for file, blob in missing))
    for file, blob in missing:
        download(repository, commit, file.rfilename, file.size, blob)


def download(repository: Repository, commit: str, name: str, size: int, blob: Path) -> None:
    """One file into the cache: continued if it was begun, verified, renamed when it is right."""
    from filelock import FileLock
    from huggingface_hub import constants, hf_hub_url
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]  # exported lazily

    url = hf_hub_url(repository.id, name, repo_type=repository.kind, revision=commit)
    blob.parent.mkdir(parents=True, exist_ok=True)
    part = partial(blob)
    lock = Path(constants.HF_HUB_CACHE) / ".locks" / blob.parent.parent.name / f"{blob.name}.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(lock):
        if blob.exists():  # another process was quicker
            return
        if (size_of(part) or 0) > size:
            part.unlink()
        # A compressed answer has other offsets than the file, so a range of it would not fit.
        headers = build_hf_headers() | {"Accept-Encoding": "identity"}
        with part.open("ab") as stream:
            done = stream.tell()
            http_get(url, stream, resume_size=done, expected_size=size, headers=headers, displayed_filename=name)
        if hash_of(part, git=len(blob.name) == 40) != blob.name:
            part.unlink()
            raise CourseError(
                f"{name} of the {repository} does not have the checksum that the hub lists, so it was removed: "
                "try again, and if it happens twice, your network or mirror changes files on the way."
            )
        os.replace(part, blob)


def require_space(folder: Path, needed: int) -> None:
    """Raise CourseError if the disk that holds ``folder`` has fewer than ``needed`` bytes left."""
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    free = shutil.disk_usage(existing).free
    if needed > free:
        raise CourseError(
            f"The download needs {needed / 1e6:.0f} MB, but the disk with {existing} has only {free / 1e6:.0f} MB "
            "left: free some space, or set HF_HOME to a folder on a larger disk."
        )


def hash_of(path: Path, git: bool = False) -> str:
    """The sha256 of a file, or with ``git`` the sha1 that git knows its content by."""
    digest = hashlib.sha1(f"blob {path.stat().st_size}\0".encode()) if git else hashlib.sha256()
    with path.open("rb") as stream:
        for chunk in iter(lambda: stream.read(1 << 20), b""):
            digest.update(chunk)
    return digest.hexdigest()


def partial(blob: Path) -> Path:
    """Where a file lies until all of it is there."""
    return blob.with_name(blob.name + ".incomplete")


def size_of(path: Path) -> int | None:
    """The size of a file in bytes, or None where there is none."""
    return path.stat().st_size if path.is_file() else None


def silent() -> type:
    """The hub's progress bar, switched off: one bar for each large file, from the download itself, is enough."""
    from huggingface_hub.utils.tqdm import tqdm

    class Silent(tqdm):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **(kwargs | {"disable": True}))

    return Silent


def no_answer() -> tuple[type[Exception], ...]:
    """What the hub's client raises when it gets no or no good answer, whichever HTTP library it was built on."""
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    return (HfHubHTTPError.__bases__[0], OfflineModeIsEnabled)


@contextmanager
def explained(repository: Repository) -> Iterator[None]:
    """Turn what can go wrong between here and the hub into one sentence; a defect of the course stays an error."""
    try:
        yield
    except CourseError:
        raise
    except Exception as error:
        sentence = refusal(error, repository) or breakdown(error, repository)
        if sentence is None:
            raise
        raise CourseError(sentence) from error


def refusal(error: Exception, repository: Repository) -> str | None:
    """The sentence for a hub that answered, but not with the files."""
    from huggingface_hub import constants, errors

    status = getattr(getattr(error, "response", None), "status_code", None)
    if isinstance(error, errors.GatedRepoError):
        page = f"{constants.ENDPOINT}/{'datasets/' if repository.kind == 'dataset' else ''}{repository.id}"
        return (
            f"The {repository} is gated: accept its licence at {page}, make an access token in your settings there, "
            "set HF_TOKEN to it and try again."
        )
    if isinstance(error, errors.RepositoryNotFoundError):
        hint = f" ({repository.hint})" if repository.hint else ""
        return (
            f"There is no public {repository} on {constants.ENDPOINT}{hint}: "
            "check the spelling, or set HF_TOKEN if it is a private one."
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return f"The hub has the repository, but not the {repository}: check the part after the @, or leave it out."
    if isinstance(error, errors.RemoteEntryNotFoundError):
        return f"A file of the {repository} is listed but missing on the hub: try again later or name another revision."
    if isinstance(error, errors.HFValidationError):
        return f"The hub allows no such name as {repository.id!r}: give org/name, or a path that exists here."
    if status == 401:
        return "The hub does not accept your access token: set HF_TOKEN to a valid one, or unset it for public files."
    if status is not None:
        return f"The hub answered with HTTP {status} for the {repository}: wait some minutes and try again; {KEPT}."
    return None


def breakdown(error: Exception, repository: Repository) -> str | None:
    """The sentence for a network, a disk or a setting that keeps the files from arriving."""
    from huggingface_hub import constants, errors

    hint = f" ({repository.hint})" if repository.hint else ""
    way_out = "or use what needs no network (COURSE_TIER=cpu)"
    number = getattr(error, "errno", None)
    if isinstance(error, (json.JSONDecodeError, UnicodeDecodeError)) or isinstance(
        error.__cause__, errors.FileMetadataError
    ):
        return (
            f"What answers at {constants.ENDPOINT} is no model hub (a login page or a proxy?): "
            "open the address in a browser, and check HF_ENDPOINT."
        )
    if constants.HF_HUB_OFFLINE and isinstance(error, (errors.OfflineModeIsEnabled, errors.LocalEntryNotFoundError)):
        return (
            f"HF_HUB_OFFLINE is set, and the {repository} is not complete on this machine{hint}: "
            f"unset it to download, {way_out}."
        )
    if isinstance(error, (errors.LocalEntryNotFoundError, *no_answer())):
        return (
            f"The hub at {constants.ENDPOINT} cannot be reached, and the {repository} is not complete on this "
            f"machine{hint}: check the network and try again, {way_out}; {KEPT}."
        )
    if number in (errno.ENOSPC, errno.EDQUOT):
        return (
            f"The disk with {constants.HF_HUB_CACHE} is full: free some space, or set HF_HOME to a folder on a larger "
            f"disk, and try again; {KEPT}."
        )
    if number in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"{constants.HF_HUB_CACHE} cannot be written to: set HF_HOME to a folder that you own and try again."
    if isinstance(error, OSError) and "Consistency check failed" in str(error):
        return f"The download of the {repository} ended before its end: try again; {KEPT}."
    return None


def reachable(timeout: float = 2) -> bool:
    """Whether the hub answers within ``timeout`` seconds; False without asking when HF_HUB_OFFLINE is set.

    The question runs in a thread of its own, because a dead name server can block for longer than any timeout says.
    """
    from huggingface_hub import constants
    from huggingface_hub.utils import get_session  # type: ignore[attr-defined]  # exported lazily

    answers: list[int] = []
    failures: tuple[type[Exception], ...] = (*no_answer(), OSError, ValueError)

    def ask() -> None:
        try:
            answers.append(get_session().head(constants.ENDPOINT, timeout=timeout).status_code)
        except failures:
            return

    if constants.HF_HUB_OFFLINE:
        return False
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(timeout)
    return bool(answers) and answers[0] < 500
