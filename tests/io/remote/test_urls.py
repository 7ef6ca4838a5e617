"""URLs as they are read, compared and shown."""

import pytest

from saint_cli.errors import UsageError
from saint_cli.io.remote import transfer, urls


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("s3://bucket/a b/", "s3://bucket/a b"),
        ("https://h/scan.nii?X-Amz-Signature=SECRET", "https://h/scan.nii"),
        ("s3://bucket/what?.nii", "s3://bucket/what?.nii"),
        ("https://me:SECRET@h/scan.nii", "https://-@h/scan.nii"),
        ("https://SECRET@h/scan.nii", "https://-@h/scan.nii"),
        ("sftp://me:SECRET@h/scan.nii", "sftp://-@h/scan.nii"),
        ("sftp://me@h/scan.nii", "sftp://me@h/scan.nii"),
    ],
)
def test_what_is_shown_of_a_url_holds_no_secret(url: str, expected: str) -> None:
    assert urls.public_url(url) == expected


@pytest.mark.parametrize(
    "url",
    [
        "https://me:SECRET@h/x",
        "s3://key:SECRET@bucket/x",
        "s3://AKIA:ab/SECRET@bucket/x",
        "sftp://me:pa/SECRET@h/x",
        "abfs://box/x?sv=1&sig=SECRET@",
        "https://SECRET@h/x",
        "zip://x::s3://b/SECRET@.zip",
    ],
)
def test_urls_with_passwords_and_chains_of_urls_are_refused(url: str) -> None:
    with pytest.raises(UsageError) as caught:
        urls.check_url(url)
    assert "SECRET@" not in str(caught.value)


@pytest.mark.parametrize("path", ["scan.nii", "/data/a:b/c", "C:/scan.nii", "a//b"])
def test_paths_are_no_urls(path: str) -> None:
    assert not urls.is_url(path)


@pytest.mark.parametrize(
    ("one", "other"),
    [("s3://b/x.nii", "s3a://b/x.nii"), ("s3://b/x", "s3://b/x/"), ("file:///a/x", "/a/x"), ("/a/b/../x", "/a/x")],
)
def test_names_of_one_file_have_one_place(one: str, other: str) -> None:
    assert urls.normalize_location(one) == urls.normalize_location(other)


def test_what_is_logged_of_a_job_holds_no_signature() -> None:
    item = transfer.RemoteFile("x.nii", "https://h/x.nii?sig=SECRET", 3, "")
    assert "SECRET" not in repr(transfer.RemoteSource("https://h/x.nii?sig=SECRET", "https://h", "x.nii", (item,)))
