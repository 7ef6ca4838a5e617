"""Formats that saint does not read, recognised by their first bytes so that the message says what to do."""

UNPACK = "unpack it first"
CONVERT = "convert it to NIfTI first"

SIGNATURES: tuple[tuple[int, bytes, str, str], ...] = (
    (0, b"\x28\xb5\x2f\xfd", "Zstandard data", f"{UNPACK} (zstd -d)"),
    (0, b"\x04\x22\x4d\x18", "LZ4 data", f"{UNPACK} (lz4 -d)"),
    (0, b"\x1f\x9d", "data of compress (.Z)", f"{UNPACK} (uncompress)"),
    (0, b"7z\xbc\xaf\x27\x1c", "7-Zip archive", UNPACK),
    (0, b"Rar!\x1a\x07", "RAR archive", UNPACK),
    (257, b"ustar", "tar archive", f"{UNPACK} (tar -xf)"),
    (0, b"\x89HDF\r\n\x1a\n", "HDF5 file, perhaps MINC 2", f"{CONVERT} (MINC: mnc2nii)"),
    (0, b"CDF\x01", "netCDF file, perhaps MINC 1", f"{CONVERT} (MINC: mnc2nii)"),
    (0, b"mrtrix image", "MRtrix image", f"{CONVERT} (mrconvert)"),
    (0, b"# === DATA DESCRIPTION FILE", "Philips PAR/REC", f"{CONVERT} (dcm2niix)"),
    (0, b"!INTERFILE", "Interfile image", CONVERT),
    (0, b"# vtk DataFile", "VTK file", CONVERT),
    (0, b"II*\0", "TIFF image", f"{CONVERT}; it says no spacing between slices"),
    (0, b"MM\0*", "TIFF image", f"{CONVERT}; it says no spacing between slices"),
    (0, b"\x89PNG", "PNG picture", "give the scan itself"),
    (0, b"\xff\xd8\xff", "JPEG picture", "give the scan itself"),
    (0, b"%PDF", "PDF document", "give the scan itself"),
    (0, b"MATRIX", "ECAT file", CONVERT),
    (0, b"version https://git-lfs", "Git LFS pointer, not the file itself", "fetch it first (git lfs pull)"),
    (0, b"/annex/objects/", "git-annex pointer, not the file itself", "fetch it first (git annex get)"),
    (0, b"<!DOCTYPE html", "web page", "download the scan itself"),
    (0, b"<html", "web page", "download the scan itself"),
)
"""Offset, bytes there, name, and what to do."""

MGH_TYPES = (0, 1, 3, 4)


def name_other_format(head: bytes) -> str:
    """``NAME; WHAT TO DO`` of a format that saint does not read, by the first bytes of the file; "" if unknown."""
    for offset, mark, name, advice in SIGNATURES:
        if head[offset : offset + len(mark)].lower() == mark.lower():
            return f"{name}; {advice}"
    return f"FreeSurfer MGH volume; {CONVERT} (mri_convert)" if _looks_like_mgh(head) else ""


def _looks_like_mgh(head: bytes) -> bool:
    """Version 1, then three sizes, a count of frames and a type, all big-endian."""
    words = [int.from_bytes(head[at : at + 4], "big", signed=True) for at in range(0, 24, 4)]
    version, *sizes, kind = words
    return len(head) >= 284 and version == 1 and all(0 < n < 1 << 15 for n in sizes) and kind in MGH_TYPES
