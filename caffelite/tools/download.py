"""Fetching one file from one of several mirrors, going on where an earlier attempt broke off."""

from __future__ import annotations

import hashlib
import http.client
import os
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path

from ..errors import DataError, Fault
from .progress import Progress

_TIMEOUT = 10.0
_CHUNK = 1 << 16
_RANGE_REFUSED = 416


def cache_folder(data_set: str) -> Path:
    """Where downloads of a data set are kept."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "caffelite" / data_set


def made(folder: Path) -> Path:
    """The folder, which is there from now on.

    Raises:
        DataError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f'the folder "{folder}" for downloads cannot be made: {error.strerror}') from error
    return folder


def check_md5(content: bytes, md5: str, name: str) -> None:
    """Raise DataError unless the content of the file `name` has this MD5 sum."""
    found = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if found != md5:
        raise DataError(Fault(f'"{name}" must have the MD5 sum {md5}, got {found}', help="get the file again"))


def fetch(
    mirrors: Sequence[str], name: str, target: Path, accept: Callable[[bytes], None], progress: Progress | None = None
) -> list[str]:
    """Download `name` from the first mirror that has it whole into `target` (through `<target>.part`).

    Args:
        mirrors: addresses of folders, each ending in a slash.
        accept: raises DataError for a content that is not the file wanted.

    Returns:
        An empty list, or, where no mirror would do, what went wrong at each.
    """
    troubles = []
    part = target.with_name(f"{target.name}.part")
    for mirror in mirrors:
        try:
            _fetch_from(mirror + name, part, lambda done, whole: progress(name, done, whole) if progress else None)
            _accept(part, accept)
        except (OSError, http.client.HTTPException, DataError) as error:
            troubles.append(f"{mirror}{name}: {_reason(error)}")
        else:
            part.replace(target)
            return []
    return troubles


def _accept(part: Path, accept: Callable[[bytes], None]) -> None:
    try:
        accept(part.read_bytes())
    except DataError:
        part.unlink()
        raise


def _reason(error: Exception) -> str:
    if isinstance(error, DataError):
        return error.faults[0].message
    if isinstance(error, urllib.error.HTTPError):
        return f"{error.code} {error.reason}"
    return str(error.reason if isinstance(error, urllib.error.URLError) else error) or type(error).__name__


def _fetch_from(address: str, part: Path, told: Callable[[int, int | None], None]) -> None:
    """Append to `part` what it lacks.  OSError: the address does not answer, or the connection broke."""
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(address, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        response = urllib.request.urlopen(request, timeout=_TIMEOUT)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == _RANGE_REFUSED:  # nothing is lacking, or the part is longer than the file: accept() decides
            return
        raise
    with response:
        goes_on = response.status == http.HTTPStatus.PARTIAL_CONTENT
        done = have if goes_on else 0
        length = response.headers.get("Content-Length")
        whole = done + int(length) if length else None
        with part.open("ab" if goes_on else "wb") as file:
            while chunk := response.read(_CHUNK):
                file.write(chunk)
                done += len(chunk)
                told(done, whole)
    if whole is not None and done < whole:
        raise ConnectionError(f"the connection broke after {done} of {whole} bytes")
