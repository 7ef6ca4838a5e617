"""Files at URLs: listed, fetched whole, uploaded whole."""

import posixpath
import shutil
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from saint_cli.errors import OutputError, RemoteError, TargetExistsError, UsageError
from saint_cli.io import partial_names
from saint_cli.io.formats import IMAGE_ENDINGS, SINGLE_FILE_ENDINGS
from saint_cli.io.output_checks import OUTPUT_ENDINGS
from saint_cli.io.remote.filesystems import connect, is_object_store
from saint_cli.io.remote.urls import encode_url, has_query, is_web, public_url

STAMP_KEYS = ("ETag", "etag", "md5Hash", "LastModified", "last_modified", "Last-Modified", "updated", "mtime")
"""Names in listings of what changes with the content."""

PAUSES_S = (1.0, 5.0)
"""How long to wait before an upload that failed is tried again."""


@dataclass(frozen=True)
class RemoteFile:
    """A file at a URL.

    name: its path below the parent of what was listed. path: as its file system knows it; may hold a signature.
    size: in bytes, None if unknown. stamp: changes with the content, as far as the listing says.
    """

    name: str
    path: str = field(repr=False)
    size: int | None
    stamp: str


@dataclass(frozen=True)
class RemoteSource:
    """What a job reads: files to fetch, and which of them (or which folder of them, ``main``) is the source.

    url_as_given: opens the file system. parent_url: the URL that names count from, without secrets.
    """

    url_as_given: str = field(repr=False)
    parent_url: str
    main: str
    items: tuple[RemoteFile, ...]

    @property
    def public_url(self) -> str:
        """The URL of what is read, without secrets."""
        return f"{self.parent_url}/{self.main}"

    @property
    def is_file(self) -> bool:
        """Whether what is read is one of the files, not a folder of them."""
        return any(item.name == self.main for item in self.items)

    def part(self, main: str, items: Iterable[RemoteFile]) -> "RemoteSource":
        """The source ``main`` among some of the files."""
        return replace(self, main=main, items=tuple(items))


def expand_pattern(url: str) -> list[str]:
    """The URLs that match a pattern, sorted; hidden files and folders match none.

    Raises:
        RemoteError: the place cannot be listed.
    """
    with connect(url, "listed") as (system, path):
        start = url.removesuffix(path) if url.endswith(path) else str(system.unstrip_protocol(""))
        matches = sorted(start + match for match in system.glob(path))
    return [match for match in matches if not match.rstrip("/").rpartition("/")[2].startswith(".")]


def list_source(url: str) -> RemoteSource:
    """All files below a URL, or the one that it names with what lies beside it under the same name.

    Raises:
        UsageError: no such protocol, or its package is missing.
        RemoteError: nothing is there, or it cannot be listed.
    """
    with connect(url, "listed") as (system, path):
        parent_url, _, main = (public_url(url) if is_web(url) else path.rstrip("/")).rpartition("/")
        if not main:
            raise UsageError(f"{public_url(url)}: names no folder and no file")
        items = [_item(system, key, info, parent_url, url) for key, info in _list_files(system, path, url).items()]
    items = sorted((item for item in items if _is_safe_name(item.name)), key=lambda item: item.name)
    if not items:
        raise RemoteError(f"{public_url(url)}: no such file or folder")
    return RemoteSource(url, public_url(url).rpartition("/")[0], unquote(main) if is_web(url) else main, tuple(items))


def make_unlisted_source(url: str) -> RemoteSource:
    """A source without files, for a URL that could not be listed."""
    parent_url, _, main = public_url(url).rpartition("/")
    return RemoteSource(url, parent_url, main, ())


def _list_files(system: Any, path: str, url: str) -> Mapping[str, Mapping[str, Any]]:
    """Listing of the files at a path. What looks like a file is not listed: a web server would send all of it."""
    name = public_url(url).lower()
    if has_query(url) and not name.endswith(SINGLE_FILE_ENDINGS):
        raise UsageError(
            f"{public_url(url)}: a URL with a query names one file that needs no other "
            f"({', '.join(SINGLE_FILE_ENDINGS)}); for folders, give the token in a configuration file (docs/cluster.md)"
        )
    if name.endswith(IMAGE_ENDINGS):
        info = system.info(path)
        if info.get("type") != "directory":
            return {path: info} if name.endswith(SINGLE_FILE_ENDINGS) else {path: info} | _list_siblings(system, path)
    if is_web(url) and not path.endswith("/"):
        path += "/"
    return {key: info for key, info in system.find(path, detail=True).items() if not key.endswith("/")}


def _list_siblings(system: Any, path: str) -> dict[str, Mapping[str, Any]]:
    """The other files of the same folder with the same name up to the first dot: voxels of a header, and so on."""
    folder, _, name = path.rpartition("/")
    start, listed = f"{folder}/{name.split('.')[0]}.", system.ls(folder, detail=True)
    return {i["name"]: i for i in listed if i.get("type") != "directory" and i["name"].startswith(start)}


def _item(system: Any, key: str, info: Mapping[str, Any], parent_url: str, url: str) -> RemoteFile:
    if info.get("size") is None:
        info = {**info, **system.info(key)}
    name = (public_url(url) if key in (url, encode_url(url)) else key)[len(parent_url) :].lstrip("/")
    if is_web(url):
        name = "" if "?" in name else unquote(name)  # index pages link to themselves in other orders
    return RemoteFile(name, key, info.get("size"), _stamp(info))


def _stamp(info: Mapping[str, Any]) -> str:
    return " ".join(str(info[name]) for name in STAMP_KEYS if info.get(name) is not None)


def _is_safe_name(name: str) -> bool:
    """Whether a name from elsewhere stays below the folder that it is put in."""
    return all(part not in ("", ".", "..") for part in name.split("/")) and not set(name) & {"\0", "\\"}


def fetch(source: RemoteSource, folder: Path) -> Path:
    """Copy the files of a source into a folder; the path of what is to be read.

    Raises:
        RemoteError: a file is gone, changed, or cannot be read.
        OutputError: the disk has not enough space for them.
    """
    need, free = sum(item.size or 0 for item in source.items), shutil.disk_usage(folder).free
    if need > free:
        raise OutputError(
            f"{source.public_url}: takes {need / 1e6:,.0f} MB, {free / 1e6:,.0f} MB are free in "
            f"{tempfile.gettempdir()}; name another folder in TMPDIR"
        )
    copies = [folder / item.name for item in source.items]
    for parent in {copy.parent for copy in copies}:
        parent.mkdir(parents=True, exist_ok=True)
    with connect(source.url_as_given, "read", source.public_url) as (system, _):
        system.get([item.path for item in source.items], [str(copy) for copy in copies])
    for item, copy in zip(source.items, copies, strict=True):
        size = copy.stat().st_size
        if item.size not in (None, size):
            sizes = f"{item.size} bytes, then {size}"
            raise RemoteError(f"{source.public_url}: {item.name} changed while it was read ({sizes})")
    _check_stamps(source)
    return folder / source.main


def _check_stamps(source: RemoteSource) -> None:
    """Refuse files that are no longer what was listed; below a web server's index that would take a request each.

    Raises:
        RemoteError: one was replaced since.
    """
    stamps = {item.path: item for item in source.items if item.stamp}
    with connect(source.url_as_given, "read", source.public_url) as (system, path):
        if not stamps or (is_web(source.url_as_given) and path not in stamps):
            return
        if path in stamps:
            now = {path: system.info(path)}
        else:
            now = system.find(posixpath.commonpath([posixpath.dirname(key) for key in stamps]), detail=True)
    for key, item in stamps.items():
        if (key in now or path not in stamps) and _stamp(now.get(key, {})) != item.stamp:
            raise RemoteError(
                f"{source.public_url}: {item.name} changed since it was listed; run the same command again"
            )


def read_heads(source: RemoteSource, items: Sequence[RemoteFile], size: int) -> list[bytes]:
    """The first bytes of files, at most ``size`` of each.

    Raises:
        RemoteError: one cannot be read.
    """
    with connect(source.url_as_given, "read", source.public_url) as (system, _):
        if is_web(source.url_as_given):  # a server may know no ranges, and send all of what is not left unread
            return [_first_bytes(system, item.path, size) for item in items]
        ends = {item.path: size if item.size is None else min(size, item.size) for item in items}
        ends = {path: end for path, end in ends.items() if end}
        heads = system.cat_ranges(list(ends), [0] * len(ends), list(ends.values()), on_error="raise")
        read = dict(zip(ends, heads, strict=True))
    return [bytes(read.get(item.path, b"")[:size]) for item in items]


def _first_bytes(system: Any, path: str, size: int) -> bytes:
    with system.open(path, block_size=0) as file:  # as a stream
        return bytes(file.read(size))


def check_store(url: str) -> None:
    """Find out whether anything could be written below a URL.

    Raises:
        UsageError: a protocol that cannot be written.
        OutputError: there is no such bucket.
    """
    if is_web(url):
        raise UsageError(f"{public_url(url)}: nothing can be written to http; name a store such as s3://, or a file")
    with connect(url, "checked") as (system, path):
        store = path.lstrip("/").split("/")[0]
        if is_object_store(system):
            try:
                system.info(store)
            except FileNotFoundError:
                raise OutputError(f"{public_url(url)}: no bucket {store} is there, or you may not see it") from None
            except PermissionError:  # who may write objects need not be allowed to look at the bucket
                pass


def check_target(url: str, *, overwrite: bool) -> None:
    """Find out whether a file could be written at a URL.

    Raises:
        UsageError: a protocol that cannot be written, or a name that is no file's.
        OutputError: it exists and ``overwrite`` is False, or there is no such bucket.
    """
    check_store(url)
    if not url.lower().endswith(OUTPUT_ENDINGS):
        raise UsageError(f"{public_url(url)}: what is written to a URL must end in {', '.join(OUTPUT_ENDINGS)}")
    if overwrite:
        return
    with connect(url, "checked") as (system, path):
        if system.exists(path):
            raise TargetExistsError(f"{public_url(url)}: exists already; choose another name or pass `overwrite=True`")


def list_names(url: str) -> frozenset[str]:
    """The names of all files below a URL; none where nothing is there yet."""
    with connect(url, "listed") as (system, path):
        paths = system.find(path) if system.exists(path) else []
        return frozenset(key[len(path.rstrip("/")) :].lstrip("/") for key in paths)


def upload(local: Path, url: str) -> None:
    """Put a file at a URL, where it appears when it is complete; what was there is replaced.

    Raises:
        OutputError: it cannot be written, also when tried again.
    """
    for pause_s in (*PAUSES_S, None):
        try:
            with connect(url, "written") as (system, path):
                _put_file(local, system, path)
            return
        except RemoteError as error:
            if pause_s is None:
                raise OutputError(str(error)) from None
            time.sleep(pause_s)


def _put_file(local: Path, system: Any, path: str) -> None:
    """To its name at once where that is complete or absent; elsewhere under a hidden name first."""
    if is_object_store(system):
        system.put_file(str(local), path)
        return
    folder, _, name = path.rpartition("/")
    system.makedirs(folder, exist_ok=True)
    for other in system.ls(folder, detail=False):
        if partial_names.is_leftover_of(other.rpartition("/")[2], Path(name)):
            system.rm_file(other)
    hidden = f"{folder}/{partial_names.make_partial_name(Path(name))}"
    try:
        system.put_file(str(local), hidden)
        system.mv(hidden, path)
    except BaseException:
        if system.exists(hidden):
            system.rm_file(hidden)
        raise
