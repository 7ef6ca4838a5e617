"""One STOW-RS request (PS3.18 10.5) by dicomweb-client: to the address that was named, to no other."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import requests
from dicomweb_client.web import DICOMwebClient
from pydicom.dataset import Dataset

TIMEOUT_S = (10.0, 120.0)
"""Seconds to connect, and between two pieces of the answer."""

WHOLE_BODY = 2**31
"""A request is sent in one piece with its length: not every server takes it in chunks."""

NOT_NAMED = "the server did not say that it stored it"


@dataclass(frozen=True)
class StowAnswer:
    """SOPInstanceUIDs that a server stored; those that it refused, each with its code; why the others are neither."""

    stored: frozenset[str] = frozenset()
    refused: dict[str, str] = field(default_factory=dict)
    failure: str = NOT_NAMED


def is_service_url(url: str) -> bool:
    """Whether the client takes this URL of a service; it takes no IPv6 address."""
    try:
        DICOMwebClient(url)
    except ValueError:
        return False
    return True


def store(url: str, datasets: Sequence[Dataset]) -> StowAnswer:
    """Send data sets in one request; texts of the server, which may quote a patient, are not taken over.

    url: of the service, above ``/studies``.
    """
    client = DICOMwebClient(
        url,
        session=_OneAddressSession(len(datasets)),
        headers={"Accept": "application/dicom+json"},
        chunk_size=WHOLE_BODY,
        timeout=TIMEOUT_S,
    )
    client.set_http_retry_params(retry=False)  # whoever calls tries again later, and knows that it does
    try:
        answer = client.store_instances(datasets)
    except requests.HTTPError as error:
        code = "an error" if error.response is None else error.response.status_code
        return StowAnswer(failure=f"the server answered HTTP {code}")
    except requests.ConnectionError:
        return StowAnswer(failure="there is no connection, or it ended")
    except requests.Timeout:
        return StowAnswer(failure="no answer within the time")
    except requests.RequestException as error:
        return StowAnswer(failure=f"the request failed ({type(error).__name__})")
    except Exception as error:  # whatever the server may have answered
        return StowAnswer(failure=f"the answer cannot be read ({type(error).__name__})")
    return StowAnswer(
        frozenset(str(item.ReferencedSOPInstanceUID) for item in answer.get("ReferencedSOPSequence") or ()),
        {
            str(item.ReferencedSOPInstanceUID): f"refused with FailureReason 0x{item.get('FailureReason') or 0:04X}"
            for item in answer.get("FailedSOPSequence") or ()
        },
    )


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
