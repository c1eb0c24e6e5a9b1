"""The only place that fetches an address that an input names, where the deployment allows it."""

from __future__ import annotations

import ipaddress
import socket
import time
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from ssl import create_default_context
from typing import Any
from urllib.error import HTTPError
from urllib.request import HTTPHandler, HTTPRedirectHandler, HTTPSHandler, ProxyHandler, Request, build_opener

from hfspec.errors import InputError

SCHEMES = ("http://", "https://")
CHUNK = 1 << 16
EMBEDDED = ipaddress.IPv6Network("64:ff9b::/96")  # IPv4 behind a translator (RFC 6052)


class PrivateAddressError(ValueError):
    """A host's name leads to an address that is not of the public internet."""


def fetch(address: str, row: int | None, max_bytes: int, seconds: float, *, public: bool = False) -> bytes:
    """The content at an address.

    Args:
        address: An http or https one; redirects are followed to such addresses only.
        row: The row that names it, for the error; None where nobody knows.
        max_bytes: More are refused.
        seconds: How long it may take.
        public: Whether to ask only machines of the public internet, each redirect included. The connection goes to the
            very address that was checked, so that a name cannot lead to another a moment later; the environment's
            proxy, which would look the name up by itself, is not used.

    Returns:
        The bytes.

    Raises:
        InputError: The address gives nothing or too much, takes too long, or is private.
    """
    deadline = time.monotonic() + seconds
    handlers = (ProxyHandler({}), _PublicHTTP(), _PublicHTTPS()) if public else (ProxyHandler(),)
    opener = build_opener(*handlers, _SameSchemes())
    try:
        with opener.open(Request(address, headers={"User-Agent": "hfspec"}), timeout=seconds) as answer:  # noqa: S310
            return _read(answer, address, row, max_bytes, deadline)
    except HTTPError as error:
        raise InputError(f"{address} answers {error.code} {error.reason}.", row=row) from error
    except TimeoutError as error:
        raise InputError(_slow(address), row=row) from error
    except (OSError, HTTPException, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        slow = isinstance(reason, TimeoutError)
        raise InputError(_slow(address) if slow else f"{address} cannot be fetched: {reason}.", row=row) from error


def is_public(text: str) -> bool:
    """Whether an IP address is of the public internet, as must be the IPv4 address within an IPv6 one."""
    address = ipaddress.ip_address(text.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        within = address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else None)
        if within is None and address in EMBEDDED:
            within = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if within is not None:
            return is_public(str(within))
    return address.is_global and not address.is_multicast


def _connection(host: str, port: int, timeout: Any) -> socket.socket:
    """A connection to a public address of this name.

    Raises PrivateAddressError where one of its addresses is not public; OSError.
    """
    entries = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    places = [str(place[4][0]) for place in entries]
    if not places or not all(map(is_public, places)):
        raise PrivateAddressError("it is not an address of the public internet")
    return socket.create_connection((places[0], port), timeout)


class _PublicConnection(HTTPConnection):
    def connect(self) -> None:
        self.sock = _connection(self.host, self.port, self.timeout)


class _PublicSecureConnection(HTTPSConnection):
    def connect(self) -> None:
        plain = _connection(self.host, self.port, self.timeout)
        self.sock = create_default_context().wrap_socket(plain, server_hostname=self.host)


class _PublicHTTP(HTTPHandler):
    def http_open(self, req: Request) -> Any:
        return self.do_open(_PublicConnection, req)


class _PublicHTTPS(HTTPSHandler):
    def https_open(self, req: Request) -> Any:
        return self.do_open(_PublicSecureConnection, req)


def _read(answer: Any, address: str, row: int | None, max_bytes: int, deadline: float) -> bytes:
    content = bytearray()
    while chunk := answer.read1(CHUNK):
        content += chunk
        if len(content) > max_bytes:
            raise InputError(
                f"{address} gives more than {max_bytes} bytes; give a smaller file, or raise url_max_bytes.", row=row
            )
        if time.monotonic() > deadline:
            raise TimeoutError
    return bytes(content)


def _slow(address: str) -> str:
    return f"{address} takes too long; try again, or raise url_timeout."


class _SameSchemes(HTTPRedirectHandler):
    """A handler that follows redirects to http and https only."""

    def redirect_request(  # noqa: PLR0917 - as urllib has it
        self, req: Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> Any:
        if not newurl.lower().startswith(SCHEMES):
            raise ValueError(f"it redirects to {newurl}, which is not an http or https address")
        return super().redirect_request(req, fp, code, msg, headers, newurl)
