"""What is not an image: weights, tables for a batch, records of earlier runs, and folders of odd entries."""

import csv
import io
import json
import random
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from fuzz import images, mutate, scans
from fuzz.sample import FOLDER, LINK, PIPE, Entry, Sample, Special


@cache
def tiny_weights() -> bytes:
    """A sound weights file of networks that run in milliseconds."""
    from nets import tiny

    from saint_cli.models import weights

    with TemporaryDirectory() as folder:
        path = Path(folder, "tiny.safetensors")
        weights.save_model(tiny.ami(), tiny.rfn(), path)
        return path.read_bytes()


def weights(rng: random.Random) -> Sample:
    """A safetensors file whose header is bent as JSON, or whose bytes are damaged."""
    data = tiny_weights()
    length = int.from_bytes(data[:8], "little")
    header, tensors, changes = json.loads(data[8 : 8 + length]), data[8 + length :], []
    if rng.random() < 0.75:
        header.pop("__metadata__" if rng.random() < 0.7 else "", None)
        for _ in range(rng.choice((1, 1, 2))):
            header, change = bent_json(rng, header)
            changes.append(change)
    elif rng.random() < 0.5:
        header.pop("__metadata__")
        tensors, changes = mutate.damaged_bytes(rng, tensors), ["tensors"]
    text = json.dumps(header).encode("utf-8", "surrogatepass")
    size = rng.choice(mutate.INTEGERS) % (1 << 64) if rng.random() < 0.05 else len(text)
    data = size.to_bytes(8, "little") + text + tensors
    if rng.random() < 0.1:
        data = mutate.damaged_bytes(rng, data, header=200)
    files: dict[str, Entry] = {"w.safetensors": data}
    if rng.random() < 0.1:
        files["manifest.json"] = _text(rng, {"models": {"w": {"file": "w.safetensors", "sha256": "0" * 64}}})
    return Sample("w.safetensors", files, changes)


VALUES: tuple[Any, ...] = (
    *(None, True, 0, -1, 1, 2, 2**31, 2**63, 2**64, 10**40, 1e308, float("nan"), float("inf"), "", "x", "x" * 5000),
    *([], {}, [[]], [0, 0], [1 << 40, 1], [-1, 4], {"a": 1}, "\udcff", "[red]", "\x1b[31m", "../../x", "/etc/passwd"),
    *("done", "failed", "begun", "F64", "BF16", "2.0", ["x"] * 500),
)


def bent_json(rng: random.Random, document: Any) -> tuple[Any, str]:
    """The document with one value, somewhere in it, replaced, removed, doubled or buried."""
    if isinstance(document, dict) and document and rng.random() < 0.9:
        key = rng.choice(list(document))
        choice = rng.random()
        changed = dict(document)
        if choice < 0.65:
            changed[key], change = bent_json(rng, document[key])
            return changed, f"{key}/{change}"
        if choice < 0.8:
            del changed[key]
        else:
            changed[mutate.word(rng)[:200]] = document[key]
        return changed, key
    if isinstance(document, list) and document and rng.random() < 0.8:
        index = rng.randrange(len(document))
        changed_list = list(document)
        changed_list[index], change = bent_json(rng, document[index])
        return changed_list, f"{index}/{change}"
    return rng.choice(VALUES), "value"


def _text(rng: random.Random, document: Any) -> bytes:
    """The document as JSON, perhaps cut, nested thousands deep, or with the bytes of another encoding."""
    raw = json.dumps(document).encode("utf-8", "surrogatepass")
    choice = rng.random()
    if choice < 0.8:
        return raw
    depth = rng.choice((50, 2000, 200_000))
    deep = rng.choice((b"[" * depth + b"]" * depth, b'{"a":' * depth + b"1" + b"}" * depth))
    return rng.choice((deep, b"1" * 5000, raw[:-3], b"\xff\xfe" + raw, mutate.damaged_bytes(rng, raw), b"NaN", b"\0"))


def table(rng: random.Random) -> Sample:
    """A table of scans with options, CSV or JSONL, beside two scans of which one is sound."""
    rows: list[dict[str, Any]] = [
        {"source": "in/good.nii", "factor": "2", "name": "one"},
        {"source": "in/a.nii", "factor": "3", "volume": "1", "series": "", "axis": "z"},
    ]
    changes = []
    for _ in range(rng.choice((0, 1, 1, 2, 3))):
        row = rng.randrange(len(rows))
        key = rng.choice((*rows[row], "model", "spacing", "axis", "modality", "series", "volume", "name", "x", "out"))
        rows[row][key] = mutate.word(rng)[:6000] if rng.random() < 0.9 else rng.choice(VALUES)
        changes.append(key)
    if rng.random() < 0.5:
        name, data = "t.jsonl", b"\n".join(_text(rng, row) for row in rows)
    else:
        name, data = "t.csv", _as_csv(rng, rows)
    if rng.random() < 0.15:
        data = mutate.damaged_bytes(rng, data, header=80)
    return Sample(name, {name: data, "in/good.nii": sound_scan(), "in/a.nii": b"not an image"}, changes)


def _as_csv(rng: random.Random, rows: list[dict[str, Any]]) -> bytes:
    buffer = io.StringIO()
    names = list(dict.fromkeys(key for row in rows for key in row))
    writer = csv.DictWriter(buffer, names, delimiter=rng.choice(",;\t"))
    writer.writeheader()
    writer.writerows({key: str(value) for key, value in row.items()} for row in rows)
    text = buffer.getvalue()
    if rng.random() < 0.2:
        text = rng.choice((text.replace("\r\n", "\r"), text + '"', "\ufeff" + text, text + "\0", text + "a" * 200_000))
    return text.encode(rng.choice(("utf-8", "utf-8", "utf-16")), "surrogatepass")


@cache
def sound_scan() -> bytes:
    """A NIfTI file of noise."""
    from nibabel import Nifti1Image

    rng = random.Random(1)
    return Nifti1Image(images.voxels(rng, "i2"), images.affine(random.Random(3))).to_bytes()


def record(name: str, status: str) -> dict[str, Any]:
    """A line of a manifest, as a batch writes it."""
    error = {"class": "UnreadableError", "message": "damaged", "exit_code": 3}
    return {
        **{"name": name, "target": f"{name}.nii.gz", "source": f"in/{name}.nii", "key": "0" * 64, "status": status},
        **{"fingerprint": "1" * 64, "options": {"factor": 2}, "model": "fast", "weights_sha256": "2" * 64},
        **{"shape_before": [8, 9, 5], "spacing_before_mm": [1.0, 1.0, 5.0], "voxels_after": 648},
        **{"versions": {"saint": "0", "python": "3"}, "ended": "2026-01-01T00:00:00+00:00", "seconds": 1.5},
        **{"shape_after": [8, 9, 9], "spacing_after_mm": [1.0, 1.0, 2.5], "peak_memory_mb": 300.0, "warnings": ["w"]},
        "error": error if status in ("failed", "skipped") else None,
    }


def run_records(rng: random.Random) -> Sample:
    """The records of earlier runs in a folder of results, damaged; the input is one file that cannot be read."""
    lines, changes = [], []
    bad = {"target": "bad.nii.gz", "name": "bad", "source": "in/bad.nii"}
    for status in ("done", "failed", "skipped", "begun"):
        document: Any = record("bad" if rng.random() < 0.5 else f"s{len(lines)}", status)
        for _ in range(rng.choice((0, 1, 1, 2))):
            document, change = bent_json(rng, document)
            changes.append(change)
        lines.append(_text(rng, document | bad if isinstance(document, dict) and rng.random() < 0.3 else document))
    manifest = rng.choice((b"\n", b"\n", b"\r\n", b"\n\n")).join(lines) + rng.choice((b"\n", b"", b"\n{"))
    if rng.random() < 0.2:
        manifest, changes = mutate.damaged_bytes(rng, manifest), [*changes, "bytes"]
    files: dict[str, Entry] = {"in/bad.nii": b"not an image", "out/manifest.jsonl": manifest}
    for index in range(rng.randrange(3)):
        files[f"out/.saint/receipts/{rng.choice(('0' * 16, 'x' * 8, f'r{index}'))}.json"] = rng.choice(lines)
    odd = ("out/manifest.jsonl", "out/.saint/lock", "out/.saint/receipts/a.json", "out/.saint/receipts", "out/report")
    if rng.random() < 0.15:
        name = rng.choice(odd)
        files = {key: content for key, content in files.items() if not key.startswith(f"{name}/")}
        files[name] = rng.choice((Special(FOLDER), Special(PIPE), Special(LINK, "nowhere"), Special(LINK, "."), b"x"))
        changes.append(name)
    return Sample("in", files, changes)


NAMES = (
    *(
        "[/a].nii",
        "[red]x[/red].nii",
        "[link=http:x]y.nii",
        "new\nline.nii",
        "\x1b[31mred.nii",
        "\udcff\udcfe.nii",
        " .nii",
    ),
    *("a" * 251 + ".nii", "\u00e9" * 125 + ".nii", "-o.nii", "--json", "*.nii", "a:b.nii", "%s.nii", "<b>&'\".nii"),
    *(
        "\u202egpj.nii",
        "CON.nii",
        ".nii",
        "...",
        "a\tb.nii",
        "\r.nii",
        "x.nii.gz.nii",
        "s3:",
        "http:/x.nii",
        "{path}.nii",
    ),
)


def folder(rng: random.Random) -> Sample:
    """A folder of odd names, links in circles, pipes, empty and nested folders, and images of every kind."""
    files: dict[str, Entry] = {}
    makers = (images.nifti, images.nrrd, images.meta, scans.series)
    for index in range(rng.choice((1, 2, 3, 4))):
        inner = rng.choice(makers)(rng)
        place = f"{rng.choice(NAMES)}/" if rng.random() < 0.2 else ""
        if rng.random() < 0.7:
            place = f"{place}f{index}/"
        files |= {f"{place}{name}": content for name, content in inner.files.items()}
    for _ in range(rng.choice((1, 2, 3))):
        name = rng.choice(NAMES)
        name = name if rng.random() < 0.5 else f"d/{name}"
        links = ("nowhere", ".", "..", "/dev/zero", "/dev/stdin", "/proc/self/mem", name, "a" * 300)
        odd = rng.choice((Special(PIPE), Special(FOLDER), Special(LINK, rng.choice(links)), sound_scan(), b"", b"text"))
        files[name] = odd
    if rng.random() < 0.15:
        files["/".join(["n"] * rng.choice((50, 300, 1000))) + "/x.nii"] = sound_scan()
    return Sample("", files, [ascii(name)[:40] for name in files][:6])
