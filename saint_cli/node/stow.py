"""One STOW-RS request (PS3.18 10.5) by dicomweb-client: to the address that was named, to no other."""

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

import requests
from dicomweb_client.web import DICOMwebClient
from pydicom.dataset import Dataset

TIMEOUT_S = (10.0, 120.0)
"""Seconds to connect, and between two pieces of the answer."""

WHOLE_BODY = 2**31
"""A request is sent in one piece with its length: not every server takes it in chunks."""

NO_CONNECTION = "there is no connection, or it ended"

NOT_NAMED = "the server did not say that it stored it"


def is_service_url(text: str) -> bool:
    """Whether a text is the URL of a service, without user, password or query; the client takes no IPv6 address."""
    try:
        url = urlsplit(text)
        if not url.hostname or url.port == 0 or url.query or url.fragment or "@" in url.netloc:
            return False
        DICOMwebClient(text)
    except ValueError:  # of host, port or address
        return False
    return True


def store(url: str, datasets: Sequence[Dataset]) -> dict[str, str]:
    """Send data sets in one request; SOPInstanceUIDs of those that the server did not confirm, each with the reason.

    Texts of the server, which may quote a patient, are not taken over.

    url: of the service, above ``/studies``.
    """
    uids = [str(data.SOPInstanceUID) for data in datasets]
    try:
        answer = _make_client(url, len(datasets)).store_instances(datasets)
        stored = {str(item.ReferencedSOPInstanceUID) for item in answer.get("ReferencedSOPSequence") or ()}
        codes = {
            str(item.ReferencedSOPInstanceUID): f"refused with FailureReason 0x{item.get('FailureReason') or 0:04X}"
            for item in answer.get("FailedSOPSequence") or ()
        }
    except Exception as error:  # whatever the server may have answered
        return dict.fromkeys(uids, _explain(error))
    return {uid: codes.get(uid, NOT_NAMED) for uid in uids if uid not in stored}


def _make_client(url: str, parts: int) -> DICOMwebClient:
    """A client for one request with so many instances."""
    client = DICOMwebClient(
        url,
        session=_OneAddressSession(parts),
        headers={"Accept": "application/dicom+json"},
        chunk_size=WHOLE_BODY,
        timeout=TIMEOUT_S,
    )
    client.set_http_retry_params(retry=False)  # whoever calls tries again later, and knows that it does
    return client


def _explain(error: Exception) -> str:
    """Why a request has no answer that can be read."""
    match error:
        case requests.HTTPError(response=requests.Response() as response):
            return f"the server answered HTTP {response.status_code}"
        case requests.ConnectionError():
            return NO_CONNECTION
        case requests.Timeout():
            return "no answer within the time"
        case requests.RequestException():
            return f"the request failed ({type(error).__name__})"
    return f"the answer cannot be read ({type(error).__name__})"


class _OneAddressSession(requests.Session):
    """A session that follows no redirect, and sends no body whose instances hold the line between two parts."""

    def __init__(self, parts: int) -> None:
        super().__init__()
        self._parts = parts

    def post(self, url: Any, data: Any = None, json: Any = None, **options: Any) -> requests.Response:
        """Send a body of so many parts.

        Raises:
            requests.HTTPError: the server redirects; what it names was not named by the user.
            requests.exceptions.InvalidHeader: an instance holds the boundary.
        """
        headers = {name: value for name, value in options.pop("headers").items() if name != "Host"}  # without its port
        boundary = headers["Content-Type"].split('boundary="')[1].rstrip('"').encode()
        if data.count(b"--" + boundary) != self._parts + 1:
            raise requests.exceptions.InvalidHeader
        response = super().post(url, data, json, headers=headers, allow_redirects=False, **options)
        if response.is_redirect:
            raise requests.HTTPError(response=response)
        return response
