"""Series are sent to archives by C-STORE and by STOW-RS; what an archive did not confirm is named with the reason."""

import json
from pathlib import Path

import fabricate
import pytest
from node import archives
from pydicom import uid
from pynetdicom import build_context

from saint_cli.errors import UsageError
from saint_cli.node import forward, stow
from saint_cli.node.forward import NodeDestination, WebDestination, parse_destination


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """The files of a CT series."""
    return sorted(fabricate.save(fabricate.slices(), tmp_path / "series").iterdir())


def to_archive(archive: archives.Archive, title: str = "ARCHIVE") -> NodeDestination:
    """The destination that such an archive is."""
    return NodeDestination(title, "127.0.0.1", archive.port, "SAINT")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("PACS@10.0.0.5:104", NodeDestination("PACS", "10.0.0.5", 104, "SAINT")),
        ("MY PACS@pacs.example:11112", NodeDestination("MY PACS", "pacs.example", 11112, "SAINT")),
        ("PACS@[::1]:104", NodeDestination("PACS", "::1", 104, "SAINT")),
        ("https://pacs.example/dicom-web/", WebDestination("https://pacs.example/dicom-web")),
        ("http://127.0.0.1:8042/dicom-web", WebDestination("http://127.0.0.1:8042/dicom-web")),
    ],
)
def test_a_destination_is_a_node_or_a_web_service(text: str, expected: object) -> None:
    assert parse_destination(text, "SAINT") == expected


@pytest.mark.parametrize(
    "text",
    [
        "PACS",
        "PACS@host",
        "PACS@host:0",
        "PACS@host:65536",
        "@host:104",
        "A\\B@host:104",
        "A@B@host:104",
        "SEVENTEEN_LETTERS@host:104",
        "PÄCS@host:104",
        "PACS@[::1:104",
        "ftp://host/dicom-web",
        "https://",
        "http://[::1/dicom-web",
        "http://host:0",
        "http://host:65536",
        "http://host:x",
    ],
)
def test_what_is_no_destination_is_refused_and_named(text: str) -> None:
    with pytest.raises(UsageError, match=r"AE title|AET@HOST:PORT|without user"):
        parse_destination(text, "SAINT")


@pytest.mark.parametrize("text", ["https://me:SECRET@host/dicom-web", "https://host/dicom-web?token=SECRET"])
def test_a_url_with_a_secret_is_refused_and_its_secret_not_shown(text: str) -> None:
    with pytest.raises(UsageError) as refused:
        parse_destination(text, "SAINT")
    assert "SECRET" not in str(refused.value)


def test_an_archive_gets_every_file_of_a_series_with_its_values(files: list[Path]) -> None:
    with archives.run_archive() as archive:
        assert to_archive(archive).send(files) == {}
    assert set(archive.arrivals.values()) == {1}
    assert [archive.series[data.SOPInstanceUID] for data in fabricate.slices()] == fabricate.slices()


def test_sending_again_makes_no_new_instance(files: list[Path]) -> None:
    with archives.run_archive() as archive:
        for _ in range(2):
            assert to_archive(archive).send(files) == {}
    assert len(archive.arrivals) == len(files)


@pytest.mark.parametrize("is_web", [False, True], ids=["C-STORE", "STOW-RS"])
def test_orthanc_confirms_what_it_already_has_and_keeps_it_once(
    files: list[Path], tmp_path: Path, is_web: bool
) -> None:
    archives.require_orthanc(is_web=is_web)
    with archives.run_orthanc(tmp_path / "archive", "ARCHIVE") as orthanc:
        address = f"{orthanc.url}/dicom-web" if is_web else f"ARCHIVE@127.0.0.1:{orthanc.dicom_port}"
        for _ in range(2):
            assert parse_destination(address, "SAINT").send(files) == {}
        assert len(orthanc.ask("/instances")) == len(files)


def test_an_archive_that_knows_only_the_default_transfer_syntax_gets_the_series(files: list[Path]) -> None:
    context = build_context(uid.CTImageStorage, uid.ImplicitVRLittleEndian)
    with archives.run_archive(contexts=[context]) as archive:
        assert to_archive(archive).send(files) == {}
    assert len(archive.arrivals) == len(files)


@pytest.mark.parametrize("status", [0xA700, 0xA900, 0xC000, 0x0124])
def test_a_refused_instance_is_named_with_its_status_and_the_others_are_sent(files: list[Path], status: int) -> None:
    with archives.run_archive() as archive:
        archive.statuses = [0, status]
        result = to_archive(archive).send(files)
    assert result == {files[1]: f"refused with status 0x{status:04X}"}


def test_an_instance_stored_with_a_warning_is_sent(files: list[Path]) -> None:
    with archives.run_archive() as archive:
        archive.statuses = [0xB000, 0xB006, 0xB007]
        assert to_archive(archive).send(files) == {}


def test_files_of_two_classes_go_over_one_association_and_the_class_that_is_not_taken_is_named(tmp_path: Path) -> None:
    ct = sorted(fabricate.save(fabricate.slices(2), tmp_path / "ct").iterdir())
    mr = sorted(fabricate.save(fabricate.slices(2, modality="MR"), tmp_path / "mr").iterdir())
    with archives.run_archive(contexts=[build_context(uid.MRImageStorage, uid.ExplicitVRLittleEndian)]) as archive:
        result = to_archive(archive).send([*ct, *mr])
    assert result == dict.fromkeys(ct, "the archive does not take CT Image Storage")


def test_an_archive_that_takes_no_such_class_is_named(files: list[Path]) -> None:
    with archives.run_archive(contexts=[]) as archive:
        result = to_archive(archive).send(files)
    assert result == dict.fromkeys(files, "the archive takes none of these SOP classes")


def test_a_transfer_syntax_that_is_not_taken_is_named(tmp_path: Path) -> None:
    packed, plain = fabricate.slices(2)
    fabricate.compress_gdcm(packed, tmp_path)
    files = sorted(fabricate.save([packed, plain], tmp_path / "series").iterdir())
    with archives.run_archive(contexts=[build_context(uid.CTImageStorage, uid.ExplicitVRLittleEndian)]) as archive:
        result = to_archive(archive).send(files)
    assert result == {files[0]: "the archive does not take its transfer syntax"}


def test_a_refused_association_fails_every_file(files: list[Path]) -> None:
    with archives.run_archive() as archive:
        result = to_archive(archive, "OTHER").send(files)
    assert result == dict.fromkeys(files, "the archive refused the association; is this AE title known to it?")


@pytest.mark.usefixtures("collected_sockets")
@pytest.mark.parametrize("host", ["saint.invalid", "a..b", "a" * 64])
def test_a_host_whose_name_does_not_resolve_fails_every_file(files: list[Path], host: str) -> None:
    result = NodeDestination("ARCHIVE", host, 104, "SAINT").send(files)
    assert result == dict.fromkeys(files, stow.NO_CONNECTION)


@pytest.mark.usefixtures("collected_sockets")
def test_an_archive_that_is_not_there_fails_every_file_of_either_kind(files: list[Path]) -> None:
    port = archives.free_port()
    for destination in (f"ARCHIVE@127.0.0.1:{port}", f"http://127.0.0.1:{port}/dicom-web"):
        result = parse_destination(destination, "SAINT").send(files)
        assert result == dict.fromkeys(files, "there is no connection, or it ended")


@pytest.mark.parametrize("kind", ["node", "web"])
def test_a_file_that_is_no_dicom_or_gone_is_named_and_the_others_are_sent(files: list[Path], kind: str) -> None:
    files[1].write_bytes(b"not DICOM")
    files[2].unlink()
    with archives.run_archive() as archive, archives.run_web_server(confirm_all) as url:
        result = (to_archive(archive) if kind == "node" else WebDestination(url)).send(files)
    assert list(result) == files[1:3]
    assert all(reason.startswith("cannot be read") for reason in result.values())


def answer(stored: list[str], failed: dict[str, int] | None = None, status: int = 200) -> tuple[int, dict, bytes]:
    """A Store Instances Response (PS3.18 I) that names instances."""

    def items(values: list[dict[str, object]]) -> dict[str, object]:
        return {"vr": "SQ", "Value": values}

    def reference(instance: str) -> dict[str, object]:
        return {"00081155": {"vr": "UI", "Value": [instance]}}

    body = {"00081199": items([reference(instance) for instance in stored])}
    body["00081198"] = items(
        [reference(instance) | {"00081197": {"vr": "US", "Value": [code]}} for instance, code in (failed or {}).items()]
    )
    return status, {"Content-Type": "application/dicom+json"}, json.dumps(body).encode()


INSTANCES = [str(data.SOPInstanceUID) for data in fabricate.slices()]


def confirm_all(path: str, body: bytes) -> tuple[int, dict, bytes]:
    """The answer of a server that stores what it is sent."""
    return answer([instance for instance in INSTANCES if instance.encode() in body])


def test_a_web_service_gets_the_bytes_of_every_file_below_its_studies(files: list[Path]) -> None:
    requests: list[tuple[str, bytes]] = []

    def take(path: str, body: bytes) -> tuple[int, dict, bytes]:
        requests.append((path, body))
        return confirm_all(path, body)

    with archives.run_web_server(take) as url:
        assert WebDestination(f"{url}/dicom-web").send(files) == {}
    ((path, body),) = requests
    assert path == "/dicom-web/studies"
    assert all(file.read_bytes() in body for file in files)


def test_requests_to_a_web_service_are_bounded(files: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []

    def take(path: str, body: bytes) -> tuple[int, dict, bytes]:
        sizes.append(len(body))
        return confirm_all(path, body)

    limit = 2 * files[0].stat().st_size
    monkeypatch.setattr(forward, "MAX_REQUEST_BYTES", limit)
    with archives.run_web_server(take) as url:
        assert WebDestination(url).send(files) == {}
    assert len(sizes) == 3
    assert max(sizes) < limit + 1000


def test_what_a_web_service_refuses_or_does_not_name_is_not_sent(files: list[Path]) -> None:
    with archives.run_web_server(lambda *_: answer(INSTANCES[:3], {INSTANCES[3]: 0xA700}, 202)) as url:
        result = WebDestination(url).send(files)
    assert result == {
        files[3]: "refused with FailureReason 0xA700",
        files[4]: "the server did not say that it stored it",
        files[5]: "the server did not say that it stored it",
    }


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        ((500, {}, b"SECRET"), "the server answered HTTP 500"),
        ((503, {}, b""), "the server answered HTTP 503"),
        ((409, {"Content-Type": "application/dicom+json"}, b"{}"), "the server answered HTTP 409"),
        ((200, {}, b""), "the server did not say that it stored it"),
        ((200, {"Content-Type": "text/html"}, b"<p>SECRET</p>"), "the server did not say that it stored it"),
        ((200, {"Content-Type": "application/json"}, b"SECRET"), "the request failed (JSONDecodeError)"),
        ((200, {"Content-Type": "application/json"}, b"[3]"), "the answer cannot be read (AttributeError)"),
    ],
)
def test_an_odd_answer_of_a_web_service_fails_every_file_in_our_own_words(
    files: list[Path], reply: tuple[int, dict, bytes], reason: str
) -> None:
    posts: list[str] = []
    with archives.run_web_server(lambda path, _: posts.append(path) or reply) as url:
        result = WebDestination(url).send(files)
    assert result == dict.fromkeys(files, reason)
    assert len(posts) == 1  # who sends again is the node, which counts


def test_a_redirect_is_not_followed(files: list[Path]) -> None:
    bodies: list[bytes] = []
    with (
        archives.run_web_server(lambda _, body: bodies.append(body) or confirm_all("", body)) as elsewhere,
        archives.run_web_server(lambda *_: (307, {"Location": elsewhere}, b"")) as url,
    ):
        result = WebDestination(url).send(files)
    assert result == dict.fromkeys(files, "the server answered HTTP 307")
    assert bodies == []


def test_an_instance_that_holds_the_line_between_parts_is_not_sent(files: list[Path], tmp_path: Path) -> None:
    bodies: list[bytes] = []
    with archives.run_web_server(lambda _, body: bodies.append(body) or confirm_all("", body)) as url:
        WebDestination(url).send(files)
        line = bodies[0].split(b"\r\n")[1]
        data = fabricate.slices(1)[0]
        data.PixelData = line.ljust(len(data.PixelData), b"\0")
        file = next(fabricate.save([data], tmp_path / "hostile").iterdir())
        assert WebDestination(url).send([file]) == {file: "the request failed (InvalidHeader)"}
    assert len(bodies) == 1


def test_a_password_is_taken_from_netrc(files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login saint password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    seen: list[str | None] = []
    with archives.run_web_server(confirm_all, on_headers=lambda headers: seen.append(headers["Authorization"])) as url:
        WebDestination(url).send(files)
    assert seen == ["Basic c2FpbnQ6c2VjcmV0"]
