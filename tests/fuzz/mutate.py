"""Damage of bytes and of text, the same for every format: what broken disks, careless writers and attackers leave."""

import bz2
import gzip
import lzma
import random
import zlib
from collections.abc import Callable
from functools import partial

pack_gzip = partial(gzip.compress, mtime=0)
"""Without the time of day, so that a case is the same each time."""

INTEGERS = (0, 1, -1, 2, 3, 7, 8, 16, 17, 127, 128, 255, 256, 32767, 32768, 65535, 65536, 2**31 - 1, 2**31, 2**32 - 1)

NUMBERS = (
    *("0", "-1", "1", "2", "3", "7", "17", "255", "256", "32768", "65536", "2147483647", "2147483648", "4294967296"),
    *("9223372036854775807", "9223372036854775808", "18446744073709551616", "1" * 30, "1" * 100_000, "0" * 5000 + "3"),
    *("1e308", "-1e308", "1e309", "1e-308", "1e-320", "1e155", "1e20", "1e10", "1e-10", "nan", "-nan", "inf", "-inf"),
    *("NaN", "Infinity", "0x10", "1_000", "1.5", "1,5", "1e3", ".", "+", "-", "--1", "", "\u0661\u0662", "\xbd", "1e"),
)

WORDS = (
    *("", " ", "\t", "a" * 300, "a" * 5000, "b " * 3000, "%s%n%d", "%05d", "../../etc/passwd", "/etc/passwd", "\0"),
    *("[red]x[/red]", "[/a]", "\x1b[31m", "\x1b]0;x\x07", "\r", "\u202e", "\udcff", "LIST", "LOCAL", "none", "true"),
    *("{}", "<b>", "'", '"', "\\", "=", ":", ";", "(", "(1,2", "(1,2,3)", "(nan,nan,nan)", "None"),
)


def damaged_bytes(rng: random.Random, data: bytes, *, header: int = 0) -> bytes:
    """One to four pieces of damage; half of them among the first ``header`` bytes if that is given."""
    for _ in range(rng.randint(1, 4)):
        limit = min(header, len(data)) if header and rng.random() < 0.5 else len(data)
        data = rng.choice(DAMAGE)(rng, data, limit)
    return data


def _flip(rng: random.Random, data: bytes, limit: int) -> bytes:
    raw = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 4, 32))):
        if limit:
            raw[rng.randrange(limit)] ^= 1 << rng.randrange(8)
    return bytes(raw)


def _overwrite(rng: random.Random, data: bytes, limit: int) -> bytes:
    size = rng.choice((1, 2, 4, 8, 64))
    if limit <= size:
        return data
    start = rng.randrange(limit - size)
    value = rng.choice(INTEGERS)
    word = (value % (1 << (8 * size))).to_bytes(size, rng.choice(("little", "big")))
    filled = rng.choice((bytes(size), b"\xff" * size, word, word))
    return data[:start] + filled + data[start + size :]


def _truncate(rng: random.Random, data: bytes, limit: int) -> bytes:
    return data[: rng.randrange(limit + 1)]


def _remove(rng: random.Random, data: bytes, limit: int) -> bytes:
    start = rng.randrange(limit + 1)
    return data[:start] + data[start + rng.choice((1, 2, 7, 64, 512)) :]


def _duplicate(rng: random.Random, data: bytes, limit: int) -> bytes:
    start = rng.randrange(limit + 1)
    return data[:start] + data[start : start + rng.choice((1, 2, 8, 64, 512))] + data[start:]


def _insert(rng: random.Random, data: bytes, limit: int) -> bytes:
    start = rng.randrange(limit + 1)
    return data[:start] + rng.randbytes(rng.choice((1, 2, 8, 64))) + data[start:]


def _shuffle(rng: random.Random, data: bytes, limit: int) -> bytes:
    first, second = sorted(rng.randrange(limit + 1) for _ in range(2))
    size = min(64, second - first)
    return (
        data[:first] + data[second : second + size] + data[first + size : second] + data[first : first + size]
    ) + data[second + size :]


def _append(rng: random.Random, data: bytes, limit: int) -> bytes:
    return data + rng.choice((bytes(512), rng.randbytes(33), data[:200], data))


DAMAGE: tuple[Callable[[random.Random, bytes, int], bytes], ...] = (
    *(_flip, _flip, _overwrite, _overwrite, _truncate, _remove, _duplicate, _insert, _shuffle, _append),
)


def number(rng: random.Random) -> str:
    """A number, or what stands in place of one."""
    return rng.choice(NUMBERS) if rng.random() < 0.8 else f"{rng.uniform(-1e3, 1e3):.{rng.randrange(8)}f}"


def word(rng: random.Random) -> str:
    """A hostile word or number."""
    return rng.choice(WORDS) if rng.random() < 0.5 else number(rng)


def hostile_value(rng: random.Random, value: str) -> str:
    """The value of a text field with one of its words replaced, dropped or doubled, or with another value."""
    words = value.split(" ")
    index = rng.randrange(len(words))
    choice = rng.random()
    if choice < 0.5:
        words[index] = number(rng)
    elif choice < 0.6:
        words[index] = word(rng)
    elif choice < 0.7:
        del words[index]
    elif choice < 0.8:
        words.insert(index, words[index])
    elif choice < 0.9:
        return word(rng)
    else:
        letters = list(value)
        if letters:
            letters[rng.randrange(len(letters))] = rng.choice("0123456789.-+eE,()% \t\0\xff\udcfex")
        return "".join(letters)
    return " ".join(words)


def packed(rng: random.Random, data: bytes) -> bytes:
    """The bytes packed as a whole, perhaps with a tail, in several members, or damaged."""
    pack = rng.choice((*[pack_gzip] * 7, zlib.compress, bz2.compress, lzma.compress))
    half = len(data) // 2
    whole = rng.choice((pack(data), pack(data), pack(data[:half]) + pack(data[half:])))
    tail = rng.choice((b"", b"", b"", bytes(700), b"tail", pack(b"")))
    done = whole + tail
    return damaged_bytes(rng, done, header=16) if rng.random() < 0.2 else done
