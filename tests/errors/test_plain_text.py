"""Text from outside, as any line can show it."""

import pytest

from saint_cli.errors.plain_text import format_count, hide_secrets, make_printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Ä b 短い胸 e\u0301 \N{BRAIN} :smile: [red]x[/a] \\[", "Ä b 短い胸 e\u0301 \N{BRAIN} :smile: [red]x[/a] \\["),
        ("山田\u3000太郎\u00a0x", "山田\u3000太郎\u00a0x"),
        ("a\x1b[31mb\x1b]8;;http://x\x07", r"a\x1b[31mb\x1b]8;;http://x\x07"),
        ("a\rb\nc\td\be", r"a\rb\nc\td\x08e"),
        ("c1\x80\x9b31m\x9d", r"c1\x80\x9b31m\x9d"),
        ("a\u202eb\u2066c\u200bd\ufeffe\u200f", r"a\u202eb\u2066c\u200bd\ufeffe\u200f"),
        ("M\udcfcller\ud800", r"M\udcfcller\ud800"),
        ("line\u2028paragraph\u2029", r"line\u2028paragraph"),
        ("private\ue000 tag\U000e0041", r"private\ue000 tag\U000e0041"),
        ("  the end\n", "the end"),
    ],
)
def test_what_moves_hides_or_turns_text_is_shown_and_the_rest_stays(text: str, shown: str) -> None:
    assert make_printable(text) == shown
    assert make_printable(make_printable(text)) == shown


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("no such command 'https://h/x?token=SECRET'; see", "no such command 'https://h/x'; see"),
        ("(https://me:SECRET@h/x): no", "(https://-@h/x): no"),
        ("https://SECRET@h/x.nii", "https://-@h/x.nii"),
        ("https:/me:SECRET@h/x: no such file", "https:/-@h/x: no such file"),
        ("two s3://k:SEC/RET@b/x HTTPS://h/y?X-Amz-Signature=SECRET&z", "two s3://-@b/x HTTPS://h/y"),
        ("abfs://box/x?sv=1&sig=SECRET, gone", "abfs://box/x, gone"),
        ("s3://b/x?token=SECRET", "s3://b/x"),
        ("https://h:8080/a@b.nii: 3 > 2?", "https://h:8080/a@b.nii: 3 > 2?"),
        ("sftp://me@h/x s3://b/what?.nii", "sftp://me@h/x s3://b/what?.nii"),
        ("a/b?c=d: x@y", "a/b?c=d: x@y"),
    ],
)
def test_secrets_of_urls_are_left_out_of_any_text(text: str, expected: str) -> None:
    assert hide_secrets(text) == expected
    assert hide_secrets(expected) == expected


def test_one_thing_is_not_called_by_the_plural() -> None:
    assert [format_count(n, "worker") for n in (0, 1, 2, 1234)] == [
        "0 workers",
        "1 worker",
        "2 workers",
        "1,234 workers",
    ]
