"""
Asking for associations: `associate`, and what one holds then.

    async with await associate("tcp:pacs:11112", called="PACS", calling="CT1") as peer:
        await peer.echo()

An association is released when the block ends, and aborted when it ends by an exception. Without
coroutines, `associate`, `echo` and `release` return `Deferred`s.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from typing import Any

from twisted.internet import endpoints
from twisted.internet.defer import CancelledError, Deferred, maybeDeferred
from twisted.internet.error import ConnectError
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.protocol import Factory
from twisted.python.failure import Failure

from pacs_twisted import __version__
from pacs_twisted.admission import check_ae_title
from pacs_twisted.association import Bounds
from pacs_twisted.errors import ConnectionFailed, PacsError, TimedOut
from pacs_twisted.net.requestor import RequestorProtocol
from pacs_twisted.net.requestor_association import RequestorAssociation
from pacs_twisted.net.timers import Timeouts
from pacs_twisted.pdu import (
    AAssociateRQ,
    AsynchronousOperationsWindow,
    ProposedContext,
    RoleSelection,
    UserIdentity,
    UserInformation,
)
from pacs_twisted.pdu.framing import MAXIMUM_LENGTH
from pacs_twisted.services import TransferSyntaxes
from pacs_twisted.uids import (
    IMPLEMENTATION_CLASS_UID,
    VERIFICATION,
    implementation_version_name,
)

Proposal = str | tuple[str, Sequence[str]] | ProposedContext
"""
A presentation context to propose: an abstract syntax with the uncompressed transfer syntaxes, with
others, or the context as it is sent.
"""

_SHORTEST_MAXIMUM = 128  # a longer command set fits; less makes no sense for anybody


def propose(contexts: Iterable[Proposal]) -> tuple[ProposedContext, ...]:
    """
    Return the presentation contexts of a request, numbered 1, 3, 5 … where they have no ID.

    Raises:
        ValueError: there are none or more than 128.
        TypeError: they are something else, such as a UID that is not in a list.
    """
    if isinstance(contexts, str | bytes) or not isinstance(contexts, Iterable):
        raise TypeError(f"contexts: a list of presentation contexts, not {_kind(contexts)}")
    proposals = list(contexts)
    taken = {item.context_id for item in proposals if isinstance(item, ProposedContext)}
    free = iter(number for number in range(1, 256, 2) if number not in taken)
    if not 1 <= len(proposals) <= 128:
        raise ValueError(f"{len(proposals)} presentation contexts, 1 to 128 can be proposed")
    proposed = []
    for item in proposals:
        if isinstance(item, ProposedContext):
            proposed.append(item)
            continue
        uid, syntaxes = _parts(item)
        proposed.append(ProposedContext(next(free), str(uid), tuple(map(str, syntaxes))))
    return tuple(proposed)


def _parts(item: Any) -> tuple[str, Iterable[str]]:
    """Return abstract and transfer syntaxes of what somebody has given as a context."""
    if isinstance(item, str):
        return item, TransferSyntaxes.UNCOMPRESSED
    if not isinstance(item, tuple | list) or len(item) != 2 or not isinstance(item[0], str):
        raise TypeError(
            "contexts: each is a UID, a UID with a list of transfer syntaxes, or a"
            f" ProposedContext, not {_kind(item)}"
        )
    uid, syntaxes = item
    if isinstance(syntaxes, str | bytes) or not isinstance(syntaxes, Iterable):
        raise TypeError(f"contexts: a list of transfer syntaxes, not {_kind(syntaxes)}")
    return uid, syntaxes


def _kind(value: object) -> str:
    """Return what somebody has given, in a word."""
    return "None" if value is None else f"a single {type(value).__name__}"


def _check(name: str, value: object, kind: type, *, optional: bool = False) -> None:
    """
    Refuse a value of a wrong type while it is known who has given it.

    Raises:
        TypeError: it is one.
    """
    if isinstance(value, kind) or (optional and value is None):
        return
    raise TypeError(f"{name}: {kind.__name__} wanted, not {type(value).__name__}")


def associate(
    endpoint: IStreamClientEndpoint | str,
    *,
    called: str,
    calling: str = "PACS_TWISTED",
    contexts: Iterable[Proposal] = (VERIFICATION,),
    timeouts: Timeouts | None = None,
    maximum_length: int = MAXIMUM_LENGTH,
    maximum_operations: int = 1,
    role_selections: Sequence[RoleSelection] = (),
    user_identity: UserIdentity | None = None,
    debug: bool = False,
    reactor: Any = None,
) -> Deferred[RequestorAssociation]:
    """
    Connect to a peer and ask it for an association (PS3.8 section 7.1).

    Args:
        endpoint: where the peer is: any client endpoint, or the string of one, such as
            "tcp:pacs.example.org:11112".
        called: the peer's AE title.
        calling: ours.
        contexts: what is proposed, in order; at least once with Implicit VR Little Endian for
            every abstract syntax, as PS3.5 section 10.1 wants it, is the caller's duty.
        timeouts: of them `connect`, `acse`, `dimse`, `send`, `pdu` and `artim` count.
        maximum_length: the longest P-DATA-TF that we take, in bytes, at least 128; 0 for any.
        maximum_operations: how many requests may be on their way at a time, if the peer agrees;
            1 asks for nothing, 0 for as many as it likes (PS3.7 section D.3.3.3).
        role_selections: proposed roles (PS3.7 section D.3.3.4).
        user_identity: who we are (PS3.7 section D.3.3.7).
        debug: log every event and message at debug.
        reactor: the clock, and what an endpoint string connects with; the global one unless given.

    Returns:
        A `Deferred` that fires with the association, or fails, once:

        * `ConnectionFailed`: there is no connection;
        * `AssociationRejected`: the peer said no, with result, source and reason;
        * `AssociationAborted`, `AssociationLost`: instead of an answer;
        * `TimedOut`: "connect" or "acse" took too long;
        * `ProtocolError`: what the peer sent is wrong;
        * `CancelledError`: the `Deferred` was cancelled, and the attempt with it.

    Raises:
        ValueError: a title, a context or something else in the request is not allowed, or the
            endpoint string is none.
        TypeError: something is of a wrong type.
    """
    _check("timeouts", timeouts, Timeouts, optional=True)
    if reactor is None:
        from twisted.internet import reactor
    rq = make_request(
        called,
        calling,
        contexts,
        maximum_length,
        maximum_operations,
        role_selections,
        user_identity,
    )
    client = client_endpoint(endpoint, reactor)
    return Attempt(rq, client, timeouts or Timeouts(), reactor, debug=debug).begin()


def client_endpoint(endpoint: IStreamClientEndpoint | str, reactor: Any) -> IStreamClientEndpoint:
    """
    Return the endpoint that a string stands for, or the one that it is already.

    Raises:
        ValueError: the string is none.
        TypeError: it is neither.
    """
    if not isinstance(endpoint, str):
        if not callable(getattr(endpoint, "connect", None)):
            raise TypeError(
                f"a client endpoint, or the string of one, not {type(endpoint).__name__}"
            )
        return endpoint
    try:
        client: IStreamClientEndpoint = endpoints.clientFromString(reactor, endpoint)
    except Exception as error:  # the parsers are plugins and raise what they like
        reason = re.sub(r"^\w+(\.\w+)*\(\) ", "", str(error)) or type(error).__name__
        if isinstance(error, ImportError | NameError | NotImplementedError):
            reason = "TLS needs pip install 'pacs-twisted[tls]'"
        elif not endpoint.startswith("tcp:"):
            reason += "; for a host and a port write tcp:host:port"
        raise ValueError(f"not a usable endpoint string: {reason}") from error
    return client


def make_request(
    called: str,
    calling: str,
    contexts: Iterable[Proposal],
    maximum_length: int,
    maximum_operations: int,
    role_selections: Sequence[RoleSelection],
    user_identity: UserIdentity | None,
) -> AAssociateRQ:
    """
    Return the request that `associate` sends; its arguments are explained there.

    Raises:
        ValueError: a title, a context or something else is not allowed.
        TypeError: something is of a wrong type.
    """
    _check("called", called, str)
    _check("calling", calling, str)
    _check("maximum_length", maximum_length, int)
    _check("maximum_operations", maximum_operations, int)
    _check("user_identity", user_identity, UserIdentity, optional=True)
    roles = tuple(role_selections)
    for role in roles:
        _check("role_selections", role, RoleSelection)
    if maximum_length and maximum_length < _SHORTEST_MAXIMUM:
        raise ValueError(f"a maximum length of {maximum_length}, at least {_SHORTEST_MAXIMUM}")
    window = None
    if maximum_operations != 1:
        window = AsynchronousOperationsWindow(maximum_operations, 1)
    return AAssociateRQ(
        check_ae_title(called),
        check_ae_title(calling),
        propose(contexts),
        UserInformation(
            maximum_length,
            IMPLEMENTATION_CLASS_UID,
            implementation_version_name(__version__),
            window,
            roles,
            user_identity=user_identity,
        ),
    )


class Attempt:
    """
    The way from nothing to an association.

    Args:
        rq: what is asked for.
        endpoint: where the peer is.
        timeouts: the timers, in seconds.
        reactor: the clock.
        debug: log every event and message at debug.
    """

    def __init__(
        self,
        rq: AAssociateRQ,
        endpoint: IStreamClientEndpoint,
        timeouts: Timeouts,
        reactor: Any,
        *,
        debug: bool = False,
    ) -> None:
        bounds = Bounds(rq.user_information.maximum_length_received or 0)
        self._protocol = RequestorProtocol(rq, reactor, timeouts, bounds, debug=debug)
        self._endpoint = endpoint
        self._seconds = timeouts.connect
        self._timer: Any = None
        self._connecting: Deferred[Any] | None = None
        self._timed_out = False
        self._result: Deferred[RequestorAssociation] | None = None

    def begin(self) -> Deferred[RequestorAssociation]:
        """Connect; the protocol does the rest."""
        result: Deferred[RequestorAssociation] = Deferred(self._cancel)
        self._result = result
        protocol = self._protocol
        protocol.established = self._established
        protocol.ended = self._ended
        factory = Factory.forProtocol(lambda: protocol)
        factory.noisy = False
        if self._seconds:
            self._timer = protocol.clock.callLater(self._seconds, self._time_out)
        self._connecting = maybeDeferred(self._endpoint.connect, factory)
        self._connecting.addCallbacks(self._connected, self._failed)
        return result

    def when_closed(self) -> Deferred[None]:
        """Return a `Deferred` that fires when there is no connection any more, or never was."""
        return self._protocol.when_closed()

    def _connected(self, _: object) -> None:
        self._connecting = None
        self._stop_timer()

    def _failed(self, failure: Failure) -> None:
        self._connecting = None
        self._stop_timer()
        error: PacsError
        if self._timed_out:
            error = TimedOut("connect", self._seconds)
        else:
            error = ConnectionFailed(_describe_failure(failure))
            error.__cause__ = failure.value
        self._protocol.connection_failed(error, _describe_endpoint(self._endpoint))

    def _time_out(self) -> None:
        self._timer = None
        self._timed_out = True
        if self._connecting is not None:
            self._connecting.cancel()

    def _stop_timer(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()

    def _cancel(self, _: Deferred[Any]) -> None:
        """Who waits does not want it any more."""
        self._result = None
        if self._connecting is not None:
            self._connecting.cancel()
        else:
            self._protocol.guard(self._protocol.association.abort)

    def _established(self) -> None:
        result, self._result = self._result, None
        if result is not None:
            result.callback(RequestorAssociation(self._protocol))

    def _ended(self) -> None:
        result, self._result = self._result, None
        protocol = self._protocol
        if result is not None and protocol.error is not None:
            protocol.error_told = True
            result.errback(Failure(protocol.error))


def _describe_failure(failure: Failure) -> str:
    """Return in words why there is no connection."""
    error: Any = failure.value
    if isinstance(error, CancelledError):
        return "cancelled"
    if isinstance(error, ConnectError) and isinstance(error.osError, int):
        return os.strerror(error.osError)  # Twisted's own words have the number twice
    return str(error) or type(error).__name__


def _describe_endpoint(endpoint: Any) -> str:
    """Return where an endpoint leads to, as far as it tells."""
    endpoint = getattr(endpoint, "_wrappedEndpoint", endpoint)  # inside TLS
    host = getattr(endpoint, "_host", None) or getattr(endpoint, "_hostText", None)
    if host is None:
        speaks = "__repr__" in vars(type(endpoint))
        return getattr(endpoint, "_path", None) or (repr(endpoint) if speaks else "its endpoint")
    port = getattr(endpoint, "_port", "")
    text = host.decode("ascii", "replace") if isinstance(host, bytes) else str(host)
    return f"[{text}]:{port}" if ":" in text else f"{text}:{port}"
