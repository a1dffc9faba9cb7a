"""
Where a peer is, as people write it.

Everything is `HOST` or `HOST:PORT` that can be; anything else with a colon is an endpoint string
of Twisted: `tcp:host=archive:port=104`, `unix:/run/archive.sock`, `tls:archive:2762`.
"""

from __future__ import annotations

import re
from ipaddress import AddressValueError, IPv6Address
from typing import Any

import attrs

DEFAULT_PORT = 11112
"""
The registered port "dicom" (PS3.8 section 9.1.1), on which our own servers listen by default.

The well-known port 104 would be the other choice of the standard; there a server must be started
with a privilege.
"""


@attrs.frozen
class PeerAddress:
    """
    Where a peer is.

    Args:
        host: a name or an address; empty where there is an endpoint string.
        port: its TCP port.
        endpoint: an endpoint string of Twisted.
    """

    host: str = ""
    port: int = DEFAULT_PORT
    endpoint: str = ""

    def __str__(self) -> str:
        if self.endpoint:
            return self.endpoint
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @classmethod
    def parse(cls, text: str) -> PeerAddress:
        """
        Read what somebody wrote.

        Raises:
            ValueError: with words.
        """
        if text != text.strip() or not text.isprintable() or " " in text.partition(":")[0]:
            raise ValueError("a host has neither blanks nor control characters")
        if match := re.fullmatch(r"\[([^\[\]]*)\](?::(.*))?", text):
            host, port = match.groups()
            _check_ipv6(host)
            return cls(host, _port(port) if port is not None else DEFAULT_PORT)
        if match := re.fullmatch(r"([^:\[\]/]+)(?::([0-9]*))?", text):
            host, port = match.groups()
            return cls(host, _port(port) if port is not None else DEFAULT_PORT)
        if _is_ipv6(text):
            return cls(text)
        if re.fullmatch(r"[A-Za-z][\w.+-]*:.+", text):
            return cls(endpoint=text)
        raise ValueError("neither HOST[:PORT] nor an endpoint string")

    def make_endpoint(self, reactor: Any, timeout: float) -> Any:
        """
        Return the client endpoint.

        Args:
            reactor: connects.
            timeout: seconds for each address that a name has; 0 for no limit.

        Raises:
            ValueError: the endpoint string cannot be used, with words.
        """
        from twisted.internet.endpoints import HostnameEndpoint

        from pacs_twisted.net.client import client_endpoint

        if not self.endpoint:
            seconds: Any = timeout or None  # which its annotation does not know
            return HostnameEndpoint(reactor, self.host, self.port, timeout=seconds)
        return client_endpoint(self.endpoint, reactor)


def _port(text: str) -> int:
    if not re.fullmatch("[0-9]{1,5}", text) or not 1 <= int(text) <= 65535:
        raise ValueError("a port is a number from 1 to 65535")
    return int(text)


def _is_ipv6(text: str) -> bool:
    try:
        IPv6Address(text)
    except AddressValueError:
        return False
    return True


def _check_ipv6(text: str) -> None:
    if not _is_ipv6(text):
        raise ValueError("between [ and ] stands an IPv6 address")
