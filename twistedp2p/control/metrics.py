"""`GET /metrics`: the node's numbers in the text format of Prometheus."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from twistedp2p.control.answering import Asked, Reply

KIND = "text/plain; version=0.0.4; charset=utf-8"
GAUGES = {
    "nodes": "Nodes that are here, this one included.",
    "offers": "Files on offer of all who are here.",
    "transfers": "Transfers under way.",
    "unicast_only": "Nodes that are reached by unicast only.",
    "event_listeners": "Programs that follow the events.",
}


class Metrics:
    """`numbers` gives the status of the node, with how many follow its events."""

    def __init__(self, numbers: Callable[[], dict[str, Any]]) -> None:
        self._numbers = numbers
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)

    def collect(self) -> Iterator[Metric]:
        """Called by the client library."""
        numbers = self._numbers()
        for name, what in GAUGES.items():
            yield GaugeMetricFamily(f"p2pshare_{name}", what, numbers[name])
        yield GaugeMetricFamily("p2pshare_uptime_seconds", "Since the start.", numbers["uptime"])
        if numbers["loss"] is not None:
            loss = "Part of the multicast that is lost, 0 to 1."
            yield GaugeMetricFamily("p2pshare_multicast_loss_ratio", loss, numbers["loss"])
        dropped = CounterMetricFamily(
            "p2pshare_datagrams_dropped", "Datagrams that were dropped.", labels=["reason"]
        )
        for reason, count in sorted(numbers["dropped"].items()):
            dropped.add_metric([reason], count)
        yield dropped
        about = GaugeMetricFamily("p2pshare_info", "What runs.", labels=["version", "instance"])
        about.add_metric([numbers["version"], numbers["instance"]], 1)
        yield about

    def describe(self) -> list[Metric]:
        """Called by the client library: names are not known before they are collected."""
        return []

    async def metrics(self, asked: Asked) -> Reply:
        """``GET /metrics``"""
        asked.only()
        return Reply(generate_latest(self._registry), kind=KIND)
