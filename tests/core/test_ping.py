"""Pings and pongs on the wire, and who answers in a crowd."""

from __future__ import annotations

import contextlib

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from twistedp2p.core.datagrams.body import BadBody, write
from twistedp2p.core.datagrams.datagram import MAX_DATAGRAM, MAX_NUMBER, Signer, group_name
from twistedp2p.core.presence.ping import PROGRAM_MOST, SAMPLE, Ping, Pong, in_sample, where

TRAIN = "0123456789abcdef"
PONG = {"train": TRAIN, "number": 1, "seen": "10.0.0.7:40000", "files": 9393, "program": "0.1.0"}


class PingTests(SynchronousTestCase):
    @given(st.integers(0, 2**64 - 1), st.integers(1, 20))
    def test_what_is_written_is_read_back(self, train: int, number: int) -> None:
        ping = Ping(f"{train:016x}", number)
        self.assertEqual(Ping.read(ping.write()), ping)
        pong = Pong(f"{train:016x}", number, "[fe80::1]:40000", 65_535, "0.1.0", number)
        self.assertEqual(Pong.read(pong.write()), pong)

    def test_what_is_not_so_is_refused(self) -> None:
        for bad in (
            {"train": TRAIN[1:]},
            {"train": TRAIN.upper()},
            {"train": 7},
            {"number": 0},
            {"number": 21},
            {"number": True},
        ):
            self.assertRaises(BadBody, Ping.read, write({**PONG, **bad}))
            self.assertRaises(BadBody, Pong.read, write({**PONG, **bad}))
        for bad in (
            {"seen": "x" * 81},
            {"files": 65_536},
            {"files": -1},
            {"program": "x" * 21},
            {"time": -1},
            {"time": "now"},
            {"time": 2**53 + 1},
            {"time": None},
        ):
            self.assertRaises(BadBody, Pong.read, write({**PONG, **bad}))
        self.assertRaises(BadBody, Ping.read, "[]")
        self.assertRaises(BadBody, Pong.read, "")

    def test_a_pong_of_a_version_that_does_not_tell_the_time(self) -> None:
        self.assertIsNone(Pong.read(write(PONG)).time)
        self.assertEqual(Pong.read(Pong.read(write(PONG)).write()), Pong.read(write(PONG)))

    @given(st.text(max_size=200))
    def test_no_text_does_any_harm(self, text: str) -> None:
        for kind in (Ping, Pong):
            with contextlib.suppress(BadBody):
                kind.read(text)

    def test_no_pong_is_longer_than_our_pings_and_all_fit_a_datagram(self) -> None:
        signer = Signer(Ed25519PrivateKey.generate(), group_name("239.255.255.250", 65_000))
        ping = signer.sign("ping", 1, 1, 0, "", Ping(TRAIN, 1).write())
        seen = where("fe80:1111:2222:3333:4444:5555:6666:7777%wlp0s20f3", 65_535)
        pong = Pong(TRAIN, 20, seen, 65_535, "9" * PROGRAM_MOST, 2**53)
        raw = signer.sign("pong", *[MAX_NUMBER] * 3, "\U0001f600" * 20, pong.write()).raw
        self.assertTrue(len(raw) <= len(ping.raw) < MAX_DATAGRAM - 200, (len(raw), len(ping.raw)))

    def test_an_address_is_told_without_the_scope_of_whoever_tells(self) -> None:
        self.assertEqual(where("10.0.0.7", 4), "10.0.0.7:4")
        self.assertEqual(where("fe80::1%eth0", 4), "[fe80::1]:4")


class SampleTests(SynchronousTestCase):
    def answering(self, nodes: int) -> int:
        return sum(in_sample(TRAIN, number.to_bytes(32, "big"), nodes) for number in range(nodes))

    def test_all_of_a_small_group_answer(self) -> None:
        for nodes in (1, 2, SAMPLE):
            self.assertEqual(self.answering(nodes), nodes)

    def test_some_fifty_of_a_large_group_answer(self) -> None:
        for nodes in (500, 4000):
            self.assertTrue(SAMPLE / 2 < self.answering(nodes) < 2 * SAMPLE)

    def test_another_train_is_answered_by_others(self) -> None:
        keys = [number.to_bytes(32, "big") for number in range(1000)]
        one, other = (
            {key for key in keys if in_sample(train, key, 1000)} for train in (TRAIN, TRAIN[::-1])
        )
        self.assertLess(len(one & other), SAMPLE / 2)
