"""One HTTP response: part of a file or all of it, after safe redirects."""

import base64
import http.client
import ssl
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import unquote, urlsplit

TIMEOUT = 30.0
"""Seconds without a byte after which a connection counts as broken."""
_FATAL = frozenset({400, 401, 403, 404, 405, 410, 451})


class BrokenError(Exception):
    """The connection broke: trying again may help."""


class RefusedError(Exception):
    """This mirror does not have the file: another may."""


def shown(url: str) -> str:
    """Return an address without what may be secret in it: user, password, query, fragment."""
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
        return f"{parts.scheme}://{parts.hostname or ''}{port}{parts.path}"
    except ValueError:
        return "an address that cannot be read"


class _SafeRedirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects, but never from https to http nor to anything else."""

    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        scheme = scheme_of(newurl)
        if scheme not in ("http", "https") or (req.type == "https" and scheme == "http"):
            raise RefusedError(f"redirects from {req.type} to {scheme or 'nowhere'}, not followed")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def open_file(url: str, start: int, version: str) -> http.client.HTTPResponse:
    """Return the answer to a request for a file from byte `start` on.

    Args:
        url: http or https; user and password in it are sent to its own server only.
        start: first byte to send; a server without range requests sends the whole file.
        version: ETag or date that the first part had; of another version all is sent. May be empty.

    Raises:
        BrokenError: no answer, or a server that is busy.
        RefusedError: the server does not give the file.
    """
    try:
        opener = urllib.request.build_opener(_SafeRedirects)
        response: http.client.HTTPResponse = opener.open(
            _request(url, start, version), timeout=TIMEOUT
        )
    except urllib.error.HTTPError as error:
        if error.code == 416 and start:
            return open_file(url, 0, "")
        raise _refusal(error.code) from error
    except urllib.error.URLError as error:
        if isinstance(error.reason, ssl.SSLCertVerificationError):
            raise RefusedError("its certificate cannot be verified") from error
        raise BrokenError(f"no connection ({error.reason})") from error
    except (http.client.InvalidURL, ValueError) as error:
        raise RefusedError("is not a valid address") from error
    except (OSError, http.client.HTTPException) as error:
        raise BrokenError(f"no connection ({type(error).__name__})") from error
    return response


def _refusal(code: int) -> BrokenError | RefusedError:
    """Return the error for an answer of the server that is not the file."""
    if 300 <= code < 400:
        return RefusedError("redirects to nothing that can be followed")
    text = f"answers {code} {http.client.responses.get(code, '')}".strip()
    return RefusedError(text) if code in _FATAL else BrokenError(text)


def _request(url: str, start: int, version: str) -> urllib.request.Request:
    headers = {"User-Agent": "focaldet", "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
        if version:
            headers["If-Range"] = version
    address, authorization = _without_user(url)
    request = urllib.request.Request(address, headers=headers)
    if authorization:
        request.add_unredirected_header("Authorization", authorization)
    return request


def _without_user(url: str) -> tuple[str, str]:
    """Return the address without user and password, and the header that says them; "" for none."""
    parts = urlsplit(url)
    user, separator, host = parts.netloc.rpartition("@")
    if not separator:
        return url, ""
    token = base64.b64encode(unquote(user).encode()).decode("ascii")
    return parts._replace(netloc=host).geturl(), f"Basic {token}"


def scheme_of(url: str) -> str:
    """Return http, https, ...; empty where the address cannot be read."""
    try:
        return urlsplit(url).scheme
    except ValueError:
        return ""


def version_of(response: http.client.HTTPResponse) -> str:
    """Return the value for If-Range: a strong ETag, else the date."""
    tag = response.headers.get("ETag") or ""
    return tag if tag and not tag.startswith("W/") else response.headers.get("Last-Modified") or ""


def range_start(response: http.client.HTTPResponse) -> int:
    """Return the position of the first byte of the response, -1 where unknown."""
    text = (response.headers.get("Content-Range") or "").removeprefix("bytes ")
    first = text.partition("-")[0]
    return int(first) if first.isdecimal() else -1


def total_bytes(response: http.client.HTTPResponse, start: int) -> int | None:
    """Return the length of the whole file, of which the response is the part from `start` on."""
    length = response.headers.get("Content-Length") or ""
    return start + int(length) if length.isdecimal() else None
