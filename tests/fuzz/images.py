"""NIfTI, NRRD and MetaImage files, sound and bent: headers field by field, voxels of every type and kind."""

import bz2
import random
import zlib
from collections.abc import Callable

import nibabel
import numpy as np
from fuzz import mutate
from fuzz.sample import CANARY, PIPE, Entry, Sample, Special

TYPES = ("i2", "i2", "u2", "i1", "u1", "i4", "u4", "f4", "f4", "f8", "i8", "u8")

SPACINGS = (1.0, 0.5, 5.0, 0.7, 1e-3, 1e-6, 100.0, 1e3, 1e6, 1e18, 1e30, 3e38, 1e-30)


def voxels(rng: random.Random, kind: str | None = None) -> np.ndarray:
    """A few hundred voxels [x, y, z] of any type: noise, constants, extremes, values that are no numbers."""
    dtype = np.dtype(kind or rng.choice(TYPES))
    shape = tuple(rng.choice(sizes) for sizes in ((8, 9, 12), (7, 8, 11), (3, 4, 5, 6)))
    noise = np.random.default_rng(rng.getrandbits(63)).normal(0, 300, shape)
    content = rng.choice(("noise", "noise", "noise", "constant", "extremes", "far away", "steps", "one voxel", "holes"))
    if dtype.kind == "f" and rng.random() < 0.5:
        content = rng.choice(("huge", "tiny", "nan", "infinite", "fine", "all nan"))
    with np.errstate(all="ignore"):
        return _filled(rng, content, noise, dtype)


def _filled(rng: random.Random, content: str, noise: np.ndarray, dtype: np.dtype) -> np.ndarray:
    top = float(np.finfo(dtype).max) if dtype.kind == "f" else float(np.iinfo(dtype).max)
    low = -top if dtype.kind != "u" else 0.0
    made = {
        "noise": lambda: noise,
        "constant": lambda: np.full(noise.shape, rng.choice((0, 1, 1000, top, low))),
        "extremes": lambda: np.where(noise > 0, top, low),
        "far away": lambda: noise + rng.choice((1e4, 1e6, 1e9)),
        "steps": lambda: np.floor(noise / 250),
        "one voxel": lambda: np.where(noise == noise.max(), 1000, 0),
        "holes": lambda: np.where(noise < -300, rng.choice((-3024, -32768, top, low)), noise),
        "huge": lambda: noise / 300 * rng.choice((1e10, 1e19, 1e30, top / 10)),
        "tiny": lambda: noise * rng.choice((1e-10, 1e-30, 1e-44)),
        "nan": lambda: np.where(noise > 250, np.nan, noise),
        "infinite": lambda: np.where(noise > 300, rng.choice((np.inf, -np.inf)), noise),
        "fine": lambda: noise + 1e7,
        "all nan": lambda: np.full(noise.shape, np.nan),
    }[content]()
    if dtype.kind in "iu":
        made = np.clip(np.nan_to_num(made), low, np.nextafter(top, 0) if dtype.itemsize == 8 else top)
    return np.asarray(made).astype(dtype)


def affine(rng: random.Random) -> np.ndarray:
    """A 4x4 affine, mostly plain, sometimes turned, sheared, mirrored, tiny or huge."""
    scale = 1.0 if rng.random() < 0.85 else rng.choice(SPACINGS)
    matrix = np.diag([0.7 * scale, 0.8 * scale, 5.0 * scale, 1.0])
    if rng.random() < 0.3:
        matrix[:3, :3] += np.random.default_rng(rng.getrandbits(63)).normal(0, 0.3 * scale, (3, 3))
    if rng.random() < 0.05:
        matrix[rng.randrange(3), rng.randrange(4)] = rng.choice((0.0, np.nan, np.inf, 1e30, -5.0))
    return matrix


DTYPE_CODES = (0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 768, 1024, 1280, 1536, 1792, 2048, 2304)

FLOATS = (0.0, -0.0, 1.0, -1.0, 0.5, 352.0, 353.0, 1e4, 1e10, 1e38, -1e38, 1e-38, 1e-45, np.nan, np.inf, -np.inf)


def nifti(rng: random.Random) -> Sample:
    """A NIfTI-1 or -2 file or pair with one to three fields of its header changed, or bytes of it damaged."""
    with np.errstate(all="ignore"):
        head, data, kind = _sound_nifti(rng)
    changes: list[str] = []
    for _ in range(rng.choice((0, 1, 1, 1, 2, 3))):
        with np.errstate(all="ignore"):
            changes.append(_bend_field(rng, head))
    raw = head.binaryblock
    gap = b"" if kind == "pair" else bytes(4)
    files: dict[str, Entry] = {"a.nii": raw + gap + data}
    if kind == "pair":
        files = {"a.hdr": raw, "a.img": data}
    if rng.random() < 0.15:
        name = rng.choice(list(files))
        files[name] = mutate.damaged_bytes(rng, _bytes(files[name]), header=len(raw))
        changes.append("bytes")
    if rng.random() < 0.3:
        files = {f"{name}.gz": mutate.packed(rng, _bytes(content)) for name, content in files.items()}
    return Sample(rng.choice(list(files)), files, changes)


def _sound_nifti(rng: random.Random) -> tuple[nibabel.Nifti1Header, bytes, str]:
    kind = rng.choice(("single", "single", "pair"))
    classes = {
        "single": (nibabel.Nifti1Header, nibabel.Nifti2Header),
        "pair": (nibabel.nifti1.Nifti1PairHeader, nibabel.nifti2.Nifti2PairHeader),
    }[kind]
    head = rng.choice(classes)(endianness=rng.choice("<<<>"))
    stored, place = voxels(rng), affine(rng)
    head.set_data_shape((*stored.shape, *rng.choice(((), (), (), (1,), (1, 1)))))
    head.set_data_dtype(stored.dtype)
    head["pixdim"][1:4] = np.abs(np.diag(place)[:3])
    head["pixdim"][0] = rng.choice((1, 1, -1))
    for axis, name in enumerate(("srow_x", "srow_y", "srow_z")):
        head[name] = place[axis]
    head["sform_code"], head["qform_code"] = rng.choice(((1, 0), (0, 1), (2, 2), (0, 0), (4, 1)))
    head["xyzt_units"] = rng.choice((2, 2, 2, 10, 1, 3, 0))
    head["vox_offset"] = 0 if kind == "pair" else len(head.binaryblock) + 4
    head["magic"] = head["magic"]
    head["descrip"], head["aux_file"] = CANARY, CANARY
    if rng.random() < 0.2:
        head["scl_slope"], head["scl_inter"] = rng.choice(((2, -1024), (0.5, 0), (1e-3, 7), (-1, 0), (1e30, 0)))
    data = stored.astype(stored.dtype.newbyteorder(head.endianness)).tobytes(order="F")
    return head, data, kind


def _bend_field(rng: random.Random, head: nibabel.Nifti1Header) -> str:
    """Put something else into one field, or one entry of it; returns the field's name."""
    name = rng.choice(head.keys())
    field = head[name]
    values = DTYPE_CODES if name == "datatype" else FLOATS if field.dtype.kind == "f" else mutate.INTEGERS
    if field.dtype.kind in "SV":
        head[name] = rng.choice((b"", b"\xff" * 80, rng.randbytes(4), CANARY.encode()))[: field.dtype.itemsize]
        return name
    value = np.array(rng.choice(values), dtype="f8" if field.dtype.kind == "f" else "i8").astype(field.dtype)
    if field.ndim:
        field[rng.randrange(len(field))] = value
    else:
        head[name] = value
    return name


NRRD_TYPES = {"i1": "int8", "u1": "uchar", "i2": "short", "u2": "uint16", "i4": "int", "u4": "unsigned int"} | {
    "i8": "longlong",
    "u8": "uint64",
    "f4": "float",
    "f8": "double",
}

NRRD_MORE = {
    **{"space": "left-posterior-superior", "space dimension": "3", "kinds": "domain domain domain"},
    **{"spacings": "1 1 5", "axis mins": "0 0 0", "axis maxs": "8 8 8", "units": '"mm" "mm" "mm"', "centers": "cell"},
    **{"space units": '"mm" "cm" "um"', "measurement frame": "(1,0,0) (0,1,0) (0,0,1)", "line skip": "1"},
    **{"byte skip": "-1", "content": CANARY, "number": "360", "block size": "4", "min": "0", "max": "1", "labels": "a"},
    **{"thicknesses": "5 5 5", "old min": "0", "sample units": "HU", "data file": "b.raw", "encoding": "hex"},
}


def nrrd(rng: random.Random) -> Sample:
    """A NRRD file, attached or detached, in any encoding, with changed lines or damaged bytes."""
    stored, place = voxels(rng), affine(rng)
    vectors = " ".join("(" + ",".join(f"{v:.6g}" for v in place[:3, axis]) + ")" for axis in range(3))
    order = rng.choice(("little", "little", "big"))
    encoding = rng.choice(("raw", "raw", "raw", "gzip", "bzip2", "ascii", "hex"))
    fields = [
        ("content", CANARY),
        ("type", NRRD_TYPES[stored.dtype.str[1:]]),
        ("dimension", "3"),
        ("space", rng.choice(("left-posterior-superior", "RAS", "scanner-xyz"))),
        ("sizes", " ".join(map(str, stored.shape))),
        ("space directions", vectors),
        ("kinds", "domain domain domain"),
        ("endian", order),
        ("encoding", encoding),
        ("space origin", "(3,4,5)"),
    ]
    ordered = stored.astype(stored.dtype.newbyteorder("<" if order == "little" else ">"))
    return _text_image(rng, fields, (ordered, encoding), _nrrd_text, NRRD_MORE, ("a.nrrd", "a.nhdr", "data file"))


def _nrrd_text(fields: list[tuple[str, str]], end: str) -> str:
    return end.join(["NRRD0005", *(f"{name}: {value}" for name, value in fields), "", ""])


META_MORE = {
    **{"ObjectType": "Image", "NDims": "4", "CompressedData": "True", "CompressedDataSize": "100", "HeaderSize": "-1"},
    **{"ElementNumberOfChannels": "3", "Origin": "1 2 3", "Rotation": "1 0 0 0 1 0 0 0 1", "ElementSize": "1 1 5"},
    **{"DistanceUnits": "um", "CenterOfRotation": "0 0 0", "AnatomicalOrientation": "RAI", "Comment": CANARY},
    **{"ElementToIntensityFunctionSlope": "2", "BinaryData": "False", "ElementMin": "0", "Modality": "MET_MOD_CT"},
    **{"ElementDataFile": "LOCAL", "ID": "1", "Name": CANARY, "Segment0_Name": "liver", "Orientation": "1 0 0"},
}


def meta(rng: random.Random) -> Sample:
    """A MetaImage file, attached or detached, raw, compressed or text, with changed lines or damaged bytes."""
    stored, place = voxels(rng), affine(rng)
    spacing = np.linalg.norm(place[:3, :3], axis=0)
    names = {"i1": "CHAR", "u1": "UCHAR", "i2": "SHORT", "u2": "USHORT", "i4": "INT", "u4": "UINT"}
    names |= {"i8": "LONG_LONG", "u8": "ULONG_LONG", "f4": "FLOAT", "f8": "DOUBLE"}
    encoding, big = rng.choice(("raw", "raw", "zlib", "gzip", "ascii")), rng.random() < 0.3
    ordered = stored.astype(stored.dtype.newbyteorder(">" if big else "<"))
    fields = [
        ("ObjectType", "Image"),
        ("NDims", "3"),
        ("Comment", CANARY),
        ("BinaryData", str(encoding != "ascii")),
        ("BinaryDataByteOrderMSB", str(big)),
        ("CompressedData", str(encoding in ("zlib", "gzip"))),
        *((("CompressedDataSize", "720"),) if rng.random() < 0.1 else ()),
        ("TransformMatrix", "1 0 0 0 1 0 0 0 1"),
        ("Offset", "3 4 5"),
        ("ElementSpacing", " ".join(f"{v:.6g}" for v in spacing)),
        ("DimSize", " ".join(map(str, stored.shape))),
        ("ElementType", f"MET_{names[stored.dtype.str[1:]]}"),
    ]
    return _text_image(rng, fields, (ordered, encoding), _meta_text, META_MORE, ("a.mha", "a.mhd", "ElementDataFile"))


def _meta_text(fields: list[tuple[str, str]], end: str) -> str:
    last = [field for field in fields if field[0] == "ElementDataFile"]
    lines = [*(field for field in fields if field not in last), *last]
    return end.join([*(f"{name} = {value}" for name, value in lines), ""])


def _encoded(rng: random.Random, stored: np.ndarray, encoding: str) -> bytes:
    raw = stored.tobytes(order="F")
    if encoding == "ascii":
        return " ".join(map(str, stored.ravel(order="F").tolist())).encode()
    pack: dict[str, Callable[[bytes], bytes]] = {"gzip": mutate.pack_gzip, "bzip2": bz2.compress, "zlib": zlib.compress}
    data = pack[encoding](raw) if encoding in pack else raw.hex().encode() if encoding == "hex" else raw
    return mutate.damaged_bytes(rng, data) if rng.random() < 0.1 else data


def _text_image(
    rng: random.Random,
    fields: list[tuple[str, str]],
    voxels: tuple[np.ndarray, str],
    text: Callable[[list[tuple[str, str]], str], str],
    more: dict[str, str],
    names: tuple[str, str, str],
) -> Sample:
    """A header of text and its voxels (with their encoding) as one file, as two, or as a list of one per slice."""
    attached, detached, pointer = names
    stored, encoding = voxels
    data, slices = _encoded(rng, stored, encoding), stored.shape[2]
    how = rng.choice(("attached", "attached", "detached", "list", "numbered"))
    files: dict[str, Entry] = {}
    behind = ""
    if how == "attached":
        fields = fields if pointer == "data file" else [*fields, (pointer, "LOCAL")]
    elif how == "detached":
        files["a.raw"], fields = data, [*fields, (pointer, "a.raw")]
    else:
        for index in range(slices):
            files[f"s{index + 1}.raw"] = _encoded(rng, stored[..., index], encoding)
        listed = list(files)
        if rng.random() < 0.3:
            other = rng.choice(("ff", "/etc/passwd", "../outside.raw", "a" * 300, ".", "s1.raw"))
            listed[rng.randrange(slices)] = other
        behind = "\n".join(listed) + "\n" if how == "list" else ""
        fields = [*fields, (pointer, "LIST" if how == "list" else f"s%d.raw 1 {slices} 1")]
        files["ff"] = Special(PIPE)
    bent, changes = bend_lines(rng, fields, more)
    head = text(bent, rng.choice(("\n", "\n", "\n", "\r\n"))) + behind
    raw = head.encode("utf-8", "surrogateescape") + (data if how == "attached" else b"")
    if rng.random() < 0.12:
        raw, changes = mutate.damaged_bytes(rng, raw, header=len(head)), [*changes, "bytes"]
    if rng.random() < 0.1:
        raw, changes = mutate.packed(rng, raw), [*changes, "packed"]
    entry = attached if how == "attached" else detached
    return Sample(entry, {entry: raw, **files}, changes)


def bend_lines(
    rng: random.Random, fields: list[tuple[str, str]], more: dict[str, str]
) -> tuple[list[tuple[str, str]], list[str]]:
    """The fields after up to three changes, and which they were."""
    fields, changes = list(fields), []
    for _ in range(rng.choice((0, 1, 1, 1, 2, 3))):
        index = rng.randrange(len(fields))
        name, value = fields[index]
        choice = rng.random()
        changes.append(name)
        if choice < 0.55:
            fields[index] = (name, mutate.hostile_value(rng, value))
        elif choice < 0.65:
            del fields[index]
        elif choice < 0.68:
            fields.insert(index, (name, mutate.hostile_value(rng, value)))
        elif choice < 0.95:
            key = rng.choice(list(more))
            fields.insert(index, (key, more[key] if rng.random() < 0.5 else mutate.hostile_value(rng, more[key])))
        else:
            fields[index] = (mutate.word(rng) or "x", value)
        if not fields:
            break
    return fields, changes


def _bytes(content: Entry) -> bytes:
    assert isinstance(content, bytes)
    return content
