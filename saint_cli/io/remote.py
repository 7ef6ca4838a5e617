"""Files at URLs: found by listing, fetched whole, uploaded whole."""

import posixpath
import shutil
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from saint_cli.errors import OutputError, RemoteError, UsageError
from saint_cli.io import partial
from saint_cli.io.sniff import ENDINGS
from saint_cli.io.stores import is_object_store, opened, told
from saint_cli.io.targets import ENDINGS as OUT_ENDINGS
from saint_cli.io.urls import as_sent, has_query, is_web, shown

STAMPS = ("ETag", "etag", "md5Hash", "LastModified", "last_modified", "Last-Modified", "updated", "mtime")
"""What listings call that which changes with the content."""

PAUSES_S = (1.0, 5.0)
"""How long to wait before an upload that failed is tried again."""


@dataclass(frozen=True)
class Item:
    """A file at a URL.

    name: its path below the parent of what was listed. path: as its file system knows it; may hold a signature.
    size: in bytes, None where the listing does not tell. stamp: changes with the content, as far as the listing tells.
    """

    name: str
    path: str = field(repr=False)
    size: int | None
    stamp: str


@dataclass(frozen=True)
class Origin:
    """What a job reads: files to fetch, and which of them (or which folder of them, ``main``) is the source.

    given: the URL as it was given, which opens the file system. above: the URL that names count from, without secrets.
    """

    given: str = field(repr=False)
    above: str
    main: str
    items: tuple[Item, ...]

    @property
    def shown(self) -> str:
        """The URL of what is read, as it may be told."""
        return f"{self.above}/{self.main}"

    @property
    def is_file(self) -> bool:
        """Whether what is read is one of the files, not a folder of them."""
        return any(item.name == self.main for item in self.items)

    def part(self, main: str, items: Iterable[Item]) -> "Origin":
        """Some of the files, and another one or another folder of them to read."""
        return replace(self, main=main, items=tuple(items))


def matches(url: str) -> list[str]:
    """The URLs that match a pattern, sorted; hidden files and folders match none.

    Raises:
        RemoteError: the place cannot be listed.
    """
    with told(url, "listed"):
        system, path = opened(url)
        start = url.removesuffix(path) if url.endswith(path) else str(system.unstrip_protocol(""))
        found = sorted(start + match for match in system.glob(path))
    return [match for match in found if not match.rstrip("/").rpartition("/")[2].startswith(".")]


def look(url: str) -> Origin:
    """All files below a URL, or the one that it names with what lies beside it under the same name.

    Raises:
        UsageError: no such protocol, or its package is missing.
        RemoteError: nothing is there, or it cannot be listed.
    """
    with told(url, "listed"):
        system, path = opened(url)
        above, _, main = (shown(url) if is_web(url) else path.rstrip("/")).rpartition("/")
        if not main:
            raise UsageError(f"{shown(url)}: names no folder and no file")
        items = [_item(system, key, info, above, url) for key, info in _found(system, path, url).items()]
    sound = tuple(sorted((i for i in items if _is_sound(i.name)), key=lambda item: item.name))
    if not sound:
        raise RemoteError(f"{shown(url)}: no such file or folder")
    return Origin(url, shown(url).rpartition("/")[0], unquote(main) if is_web(url) else main, sound)


def unseen(url: str) -> Origin:
    """What stands for a URL where nothing could be found out."""
    above, _, main = shown(url).rpartition("/")
    return Origin(url, above, main, ())


def _found(system: Any, path: str, url: str) -> Mapping[str, Mapping[str, Any]]:
    """What lies at a path, by path. What looks like a file is not listed: a web server would send all of it."""
    name = shown(url).lower()
    if has_query(url) and not name.endswith(ALONE_ENDINGS):
        raise UsageError(
            f"{shown(url)}: a URL with a query names one file that needs no other ({', '.join(ALONE_ENDINGS)}); for "
            "folders, give the token in a configuration file (docs/cluster.md)"
        )
    if name.endswith(ENDINGS):
        info = system.info(path)
        if info.get("type") != "directory":
            return {path: info} if name.endswith(ALONE_ENDINGS) else {path: info} | _beside(system, path)
    if is_web(url) and not path.endswith("/"):
        path += "/"
    return {key: info for key, info in system.find(path, detail=True).items() if not key.endswith("/")}


ALONE_ENDINGS = (".nii.gz", ".nii", ".nrrd", ".mha", ".dcm", ".dicom", ".ima", ".zip")
"""Endings of files that need no other; beside the others lie headers or voxels."""


def _beside(system: Any, path: str) -> dict[str, Mapping[str, Any]]:
    """The other files of the same folder with the same name up to the first dot: voxels of a header, and so on."""
    folder, _, name = path.rpartition("/")
    found = {info["name"]: info for info in system.ls(folder, detail=True) if info.get("type") != "directory"}
    start = f"{folder}/{name.split('.')[0]}."
    return {key: info for key, info in found.items() if key.startswith(start)}


def _item(system: Any, key: str, info: Mapping[str, Any], above: str, url: str) -> Item:
    if info.get("size") is None:
        info = {**info, **system.info(key)}
    name = (shown(url) if key in (url, as_sent(url)) else key)[len(above) :].lstrip("/")
    if is_web(url):
        name = "" if "?" in name else unquote(name)  # index pages link to themselves in other orders
    return Item(name, key, info.get("size"), _stamp(info))


def _stamp(info: Mapping[str, Any]) -> str:
    return " ".join(str(info[name]) for name in STAMPS if info.get(name) is not None)


def _is_sound(name: str) -> bool:
    """Whether a name from elsewhere stays below the folder that it is put in."""
    return all(part not in ("", ".", "..") for part in name.split("/")) and not set(name) & {"\0", "\\"}


def fetch(origin: Origin, folder: Path) -> Path:
    """Copy the files of an origin into a folder; the path of what is to be read.

    Raises:
        RemoteError: a file is gone, changed, or cannot be read.
        OutputError: the disk has no room for them.
    """
    need, free = sum(item.size or 0 for item in origin.items), shutil.disk_usage(folder).free
    if need > free:
        raise OutputError(
            f"{origin.shown}: takes {need / 1e6:,.0f} MB, {free / 1e6:,.0f} MB are free in {tempfile.gettempdir()}; "
            "name another folder in TMPDIR"
        )
    places = [folder / item.name for item in origin.items]
    for above in {place.parent for place in places}:
        above.mkdir(parents=True, exist_ok=True)
    with told(origin.shown, "read"):
        system, _ = opened(origin.given)
        system.get([item.path for item in origin.items], [str(place) for place in places])
    for item, place in zip(origin.items, places, strict=True):
        size = place.stat().st_size
        if item.size not in (None, size):
            raise RemoteError(f"{origin.shown}: {item.name} changed while it was read ({item.size} bytes, then {size})")
    _check_stamps(origin)
    return folder / origin.main


def _check_stamps(origin: Origin) -> None:
    """Refuse files that are no longer what was listed; below a web server's index that would take a request each.

    Raises:
        RemoteError: one was replaced since.
    """
    stamps = {item.path: item for item in origin.items if item.stamp}
    with told(origin.shown, "read"):
        system, path = opened(origin.given)
        if not stamps or (is_web(origin.given) and path not in stamps):
            return
        if path in stamps:
            now = {path: system.info(path)}
        else:
            now = system.find(posixpath.commonpath([posixpath.dirname(key) for key in stamps]), detail=True)
    for key, item in stamps.items():
        if (key in now or path not in stamps) and _stamp(now.get(key, {})) != item.stamp:
            raise RemoteError(f"{origin.shown}: {item.name} changed since it was listed; run the same command again")


def heads(origin: Origin, items: Sequence[Item], size: int) -> list[bytes]:
    """The first bytes of files, at most ``size`` of each.

    Raises:
        RemoteError: one cannot be read.
    """
    with told(origin.shown, "read"):
        system, _ = opened(origin.given)
        if is_web(origin.given):  # a server may know no ranges, and send all of what is not left unread
            return [_first_bytes(system, item.path, size) for item in items]
        ends = [size if item.size is None else min(size, item.size) for item in items]
        filled = [(item.path, end) for item, end in zip(items, ends, strict=True) if end]
        starts = [0] * len(filled)
        read = system.cat_ranges([path for path, _ in filled], starts, [end for _, end in filled], on_error="raise")
        found = dict(zip((path for path, _ in filled), read, strict=True))
    return [bytes(found.get(item.path, b"")[:size]) for item in items]


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
        raise UsageError(f"{shown(url)}: nothing can be written to http; name a store such as s3://, or a file")
    with told(url, "looked at"):
        system, path = opened(url)
        store = path.lstrip("/").split("/")[0]
        if is_object_store(system):
            try:
                system.info(store)
            except FileNotFoundError:
                raise OutputError(f"{shown(url)}: no bucket {store} is there, or you may not see it") from None
            except PermissionError:  # who may write objects need not be allowed to look at the bucket
                pass


def check_free(url: str, *, overwrite: bool) -> None:
    """Find out whether a file could be written at a URL.

    Raises:
        UsageError: a protocol that cannot be written, or a name that is no file's.
        OutputError: it exists and ``overwrite`` is False, or there is no such bucket.
    """
    check_store(url)
    if not url.lower().endswith(OUT_ENDINGS):
        raise UsageError(f"{shown(url)}: what is written to a URL must end in {', '.join(OUT_ENDINGS)}")
    if overwrite:
        return
    with told(url, "looked at"):
        system, path = opened(url)
        if system.exists(path):
            raise OutputError(f"{shown(url)}: exists already; choose another name or pass --overwrite")


def names_below(url: str) -> frozenset[str]:
    """The names of all files below a URL; none where nothing is there yet."""
    with told(url, "listed"):
        system, path = opened(url)
        found = system.find(path) if system.exists(path) else []
        return frozenset(key[len(path.rstrip("/")) :].lstrip("/") for key in found)


def upload(local: Path, url: str) -> None:
    """Put a file at a URL, where it appears when it is complete; what was there is replaced.

    Raises:
        OutputError: it cannot be written, also when tried again.
    """
    for pause_s in (*PAUSES_S, None):
        try:
            with told(url, "written"):
                _put(local, *opened(url))
            return
        except RemoteError as error:
            if pause_s is None:
                raise OutputError(str(error)) from None
            time.sleep(pause_s)


def _put(local: Path, system: Any, path: str) -> None:
    """To its name at once where that is complete or absent; elsewhere under a hidden name first."""
    if is_object_store(system):
        system.put_file(str(local), path)
        return
    folder, _, name = path.rpartition("/")
    system.makedirs(folder, exist_ok=True)
    for other in system.ls(folder, detail=False):
        if partial.is_left_of(other.rpartition("/")[2], Path(name)):
            system.rm_file(other)
    hidden = f"{folder}/{partial.name_for(Path(name))}"
    try:
        system.put_file(str(local), hidden)
        system.mv(hidden, path)
    except BaseException:
        if system.exists(hidden):
            system.rm_file(hidden)
        raise
