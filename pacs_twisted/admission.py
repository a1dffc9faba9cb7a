"""
Who may have an association, and how many: values and rules, no network and no clock.

The question is asked when an A-ASSOCIATE-RQ has come; the answer is a value, the
A-ASSOCIATE-RJ to send or nothing, so the rules are tested without a peer. The first rule that
is not met decides, in the order of `AdmissionPolicy.judge`.
"""

from __future__ import annotations

from collections.abc import Awaitable
from functools import lru_cache
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import Protocol

import attrs

from pacs_twisted.pdu import AAssociateRJ, AAssociateRQ
from pacs_twisted.uids import APPLICATION_CONTEXT
from pacs_twisted.upper_layer.negotiation import (
    APPLICATION_CONTEXT_NOT_SUPPORTED,
    CALLED_AE_TITLE_NOT_RECOGNIZED,
    CALLING_AE_TITLE_NOT_RECOGNIZED,
    LOCAL_LIMIT_EXCEEDED,
)

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_LONGEST_TITLE = 16
_ANY = "*"
_MAPPED = IPv6Network("::ffff:0:0/96")


def check_ae_title(title: str) -> str:
    """
    Return an AE title without the blanks around it, which are not significant (PS3.5 section 6.2).

    Raises:
        ValueError: it is not 1 to 16 characters of ASCII without backslash and control characters.
    """
    stripped = title.strip(" ")
    if not 1 <= len(stripped) <= _LONGEST_TITLE:
        raise ValueError(f"an AE title has 1 to 16 characters, not {len(stripped)}")
    if not (stripped.isascii() and stripped.isprintable()) or "\\" in stripped:
        raise ValueError("an AE title has only printable ASCII characters, and no backslash")
    return stripped


def is_ae_title(title: str) -> bool:
    """Whether the text is an AE title."""
    try:
        check_ae_title(title)
    except ValueError:
        return False
    return True


@lru_cache(maxsize=1024)
def parse_address(host: str | None) -> Address | None:
    """
    Return a peer's address; an IPv4 address that IPv6 carries (::ffff:10.0.0.1) is the IPv4 one.

    Args:
        host: what the transport says; None or a text that is no address (a UNIX socket) has none.
    """
    if host is None:
        return None
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def parse_network(text: str) -> Network:
    """
    Return a network; one of IPv4 addresses that IPv6 carries (::ffff:10.0.0.0/104) is the IPv4 one.

    Raises:
        ValueError: with a text that says what is wrong.
    """
    network = ip_network(text)
    if not isinstance(network, IPv6Network) or not network.subnet_of(_MAPPED):
        return network
    carried = int(network.network_address) & 0xFFFFFFFF
    return IPv4Network((carried, network.prefixlen - _MAPPED.prefixlen))


@attrs.frozen
class PermittedPeer:
    """
    A peer that may associate.

    Args:
        ae_title: its calling AE title; None permits any.
        network: where it connects from; None permits any.
    """

    ae_title: str | None = None
    network: Network | None = None

    @classmethod
    def parse(cls, text: str) -> PermittedPeer:
        """
        Read `AE`, `AE@NETWORK` or `*@NETWORK`; a network is an address or CIDR, IPv4 or IPv6.

        Raises:
            ValueError: with a text that says what is wrong.
        """
        # A title may hold an @ itself: what follows the last one is the network.
        title, separator, network = text.rpartition("@")
        if not separator:
            title, network = network, ""
        elif not network:
            raise ValueError(f"{text!r} names no network after its @")
        return cls(
            None if title == _ANY else check_ae_title(title),
            parse_network(network) if network else None,
        )

    def __str__(self) -> str:
        """Return the text that `parse` reads."""
        title = self.ae_title or _ANY
        return title if self.network is None else f"{title}@{self.network}"

    def permits(self, calling_ae_title: str, address: Address | None) -> bool:
        """Whether a peer with this title and address is meant."""
        if self.ae_title is not None and self.ae_title != calling_ae_title:
            return False
        if self.network is None:
            return True
        return address is not None and address in self.network


@attrs.frozen
class Limits:
    """
    How many at a time.

    Args:
        associations: in total; 0 means without limit. The next gets an A-ASSOCIATE-RJ 2/3/2.
        connections: in total, associated or not; 0 means the larger of 1,024 and four times the
            associations. The next is closed at once: this one protects the process.
        per_host: associations of one peer address; 0 means without limit.
    """

    associations: int = 100
    connections: int = 0
    per_host: int = 0

    @property
    def maximum_connections(self) -> int:
        """How many connections are taken at a time."""
        return self.connections or max(1024, 4 * self.associations)


@attrs.frozen
class Applicant:
    """
    Who asks for an association, and how things stand.

    Args:
        request: the A-ASSOCIATE-RQ.
        ae_title: our own AE title.
        address: where the peer connects from; None for a UNIX socket.
        associations: how many there are, this one not counted.
        associations_of_host: how many of them come from the same address.
    """

    request: AAssociateRQ
    ae_title: str
    address: Address | None = None
    associations: int = 0
    associations_of_host: int = 0


Judgement = AAssociateRJ | None


class Admission(Protocol):
    """Who judges applicants; an application may bring its own."""

    @property
    def limits(self) -> Limits:
        """How many at a time; the limit of connections is kept by the server itself."""

    def judge(self, applicant: Applicant) -> Judgement | Awaitable[Judgement]:
        """Return the A-ASSOCIATE-RJ to send or None to let it in, or an awaitable of that."""


@attrs.frozen
class AdmissionPolicy:
    """
    The rules of a server: application context, called title, permitted peers, limits.

    Args:
        permitted: who may associate; empty permits everybody.
        require_called_ae: whether the called AE title must be ours.
        limits: how many at a time.
    """

    permitted: tuple[PermittedPeer, ...] = ()
    require_called_ae: bool = False
    limits: Limits = attrs.field(factory=Limits)

    def judge(self, applicant: Applicant) -> Judgement:
        """Return the A-ASSOCIATE-RJ of the first rule that is not met, or None."""
        request = applicant.request
        if request.application_context != APPLICATION_CONTEXT:
            return APPLICATION_CONTEXT_NOT_SUPPORTED
        if not is_ae_title(request.called_ae_title) or (
            self.require_called_ae and request.called_ae_title != applicant.ae_title
        ):
            return CALLED_AE_TITLE_NOT_RECOGNIZED
        if not is_ae_title(request.calling_ae_title) or not self._permits(applicant):
            return CALLING_AE_TITLE_NOT_RECOGNIZED
        if self._is_full(applicant):
            return LOCAL_LIMIT_EXCEEDED
        return None

    def _permits(self, applicant: Applicant) -> bool:
        calling = applicant.request.calling_ae_title
        return not self.permitted or any(
            peer.permits(calling, applicant.address) for peer in self.permitted
        )

    def _is_full(self, applicant: Applicant) -> bool:
        limits = self.limits
        if limits.associations and applicant.associations >= limits.associations:
            return True
        # A UNIX socket has no address: its peers are all this machine's own.
        return bool(
            limits.per_host
            and applicant.address is not None
            and applicant.associations_of_host >= limits.per_host
        )
