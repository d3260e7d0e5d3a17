"""The doctor of a running node: asked for by a face, one at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import attrs
from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from twistedp2p.core.datagrams.closed import Envelope
from twistedp2p.core.diagnosis import Diagnosis
from twistedp2p.core.diagnosis.findings import Finding
from twistedp2p.core.errors import N_, ShareError
from twistedp2p.core.presence.addresses import Address
from twistedp2p.core.presence.roster import Peer
from twistedp2p.net.interfaces import Interface
from twistedp2p.net.pump import InThread
from twistedp2p.node.config import Config
from twistedp2p.node.diagnosis.doctor import Doctor, Plan


@attrs.frozen
class LooksAt:
    """The network as the node knows it when the doctor comes."""

    own: bytes  # our key
    peers: Sequence[Peer]
    named: Sequence[tuple[str, Address]]  # of `--peer`
    remembered: Sequence[str]  # hosts of earlier runs on the networks that we are on
    envelope: Envelope
    interfaces: Sequence[Interface]

    def plan(self, config: Config) -> Plan:
        """What the doctor is to do: those that are here first."""
        here = {peer.addresses[0][0] for peer in self.peers}
        peers = [(peer.nick or peer.addresses[0][0], peer.addresses[0]) for peer in self.peers]
        return Plan(
            config.group,
            config.port,
            config.ttl,
            peers + [each for each in self.named if each[1][0] not in here],
            list(self.remembered),
            self.envelope,
            asked_for=bool(config.interfaces),
            own=self.own,
        )


class Examination:
    """One that goes on, or none. `looks_at` tells of the network as it is."""

    def __init__(
        self,
        reactor: Any,
        config: Config,
        looks_at: Callable[[], LooksAt],
        in_thread: InThread,
        *,
        wall: Callable[[], float],
    ) -> None:
        self._reactor = reactor
        self._config = config
        self._looks_at = looks_at
        self._in_thread = in_thread
        self._wall = wall
        self._under_way: Deferred[Diagnosis] | None = None

    def begin(self, told: Callable[[Finding], object]) -> Deferred[Diagnosis]:
        """Look; `told` is called with each finding.

        Raises `ShareError` where that is done already; fails with it when it is stopped.
        """
        if self._under_way is not None:
            raise ShareError(N_("The doctor is looking already."))
        looks_at = self._looks_at()
        doctor = Doctor(
            self._reactor,
            looks_at.plan(self._config),
            list(looks_at.interfaces),
            wall=self._wall,
            in_thread=self._in_thread,
        )
        self._under_way = begun = Deferred.fromCoroutine(doctor.examine(told))
        return begun.addBoth(self._ended)

    def stop(self) -> None:
        """Break off what goes on."""
        if self._under_way is not None:
            self._under_way.cancel()

    def _ended(self, result: Any) -> Any:
        self._under_way = None
        if isinstance(result, Failure) and result.check(CancelledError):
            raise ShareError(N_("Stopped."))
        return result
