from __future__ import annotations

import os

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from twistedp2p.core.calls.frames import (
    FRAME,
    KEY,
    SEALED,
    SMALL,
    SMALL_FRAME,
    TAG,
    BadFrame,
    Frames,
    frame_size,
)

A_KEY = bytes(range(KEY))


def sealed(data: bytes, key: bytes = A_KEY, chacha: bool = False) -> list[bytes]:
    frames, found = Frames(key, chacha=chacha), []
    frames.begin(len(data))
    while frames.next_size:
        found.append(bytes(frames.seal(data[: frames.next_size], memoryview(bytearray(SEALED)))))
        data = data[len(found[-1]) - TAG :]
    return found


def opened(frames: list[bytes], length: int, key: bytes = A_KEY, chacha: bool = False) -> bytes:
    opener, data = Frames(key, chacha=chacha), b""
    opener.begin(length)
    for frame in frames:
        room = memoryview(bytearray(opener.next_size))
        opener.open(memoryview(frame), room)
        data += room
    return data


DATA = os.urandom(2 * FRAME + 100)


class FrameTests(SynchronousTestCase):
    @settings(deadline=None, max_examples=20)
    @given(st.integers(0, 3 * FRAME), st.booleans())
    def test_what_is_sealed_opens(self, length: int, chacha: bool) -> None:
        data = bytes(length)
        frames = sealed(data, chacha=chacha)
        self.assertEqual(length + TAG * len(frames), sum(map(len, frames)))
        self.assertEqual(data, opened(frames, length, chacha=chacha))

    def test_boundaries(self) -> None:
        for length in (0, 1, FRAME - 1, FRAME, FRAME + 1):
            self.assertEqual(length, len(opened(sealed(DATA[:length]), length)))

    def test_small_contents_have_small_frames(self) -> None:
        sizes = [frame_size(size) for size in (0, SMALL, SMALL + 1, 2**53)]
        self.assertEqual([SMALL_FRAME, SMALL_FRAME, FRAME, FRAME], sizes)
        frames = Frames(A_KEY, SMALL_FRAME, chacha=False)
        frames.begin(SMALL_FRAME + 1)
        self.assertEqual(SMALL_FRAME, frames.next_size)

    def refused(self, frames: list[bytes], length: int = len(DATA), key: bytes = A_KEY) -> None:
        self.assertRaises(BadFrame, opened, frames, length, key)

    def test_reordered(self) -> None:
        """Attack 15: frames in another order."""
        first, second, third = sealed(DATA)
        self.refused([second, first, third])

    def test_dropped(self) -> None:
        """Attack 15: a frame left out."""
        first, _, third = sealed(DATA)
        self.refused([first, third])

    def test_repeated(self) -> None:
        """Attack 15: a frame sent twice."""
        first, *_ = sealed(DATA)
        self.refused([first, first])

    def test_truncated(self) -> None:
        """Attack 15: a frame cut short, or the file ended at a frame boundary."""
        first, second, third = sealed(DATA)
        self.refused([first, second, third[:-1]])
        # An earlier end, told as the length: the second frame was not sealed as the last.
        self.refused([first, second], 2 * FRAME)

    def test_surplus(self) -> None:
        """Attack 15: more frames than announced."""
        frames = sealed(DATA)
        self.refused([*frames, frames[0]])

    def test_bit_flipped(self) -> None:
        """Attack 15: one bit changed, at either end of a frame."""
        frames = sealed(DATA)
        for at in (0, FRAME, FRAME + TAG - 1):
            bad = bytearray(frames[0])
            bad[at] ^= 1
            self.refused([bytes(bad), *frames[1:]])

    def test_spliced_from_another_session(self) -> None:
        """Attack 15: a frame that another session sealed."""
        other = sealed(DATA, os.urandom(KEY))
        self.refused([other[0], *sealed(DATA)[1:]])
        self.refused(sealed(DATA), key=os.urandom(KEY))

    def test_another_cipher(self) -> None:
        self.assertRaises(BadFrame, opened, sealed(b"x"), 1, A_KEY, True)

    def test_only_whole_chunks_are_sealed(self) -> None:
        frames, room = Frames(A_KEY, chacha=False), memoryview(bytearray(SEALED))
        frames.begin(FRAME + 1)
        for wrong in (b"", b"x", bytes(FRAME - 1), bytes(FRAME + 1)):
            self.assertRaises(BadFrame, frames.seal, wrong, room)

    def test_bodies_follow_each_other(self) -> None:
        sealing, opening = (Frames(A_KEY, chacha=False) for _ in range(2))
        for size in (3, 0, FRAME + 1):
            sealing.begin(size)
            opening.begin(size)
            self.assertRaises(BadFrame, sealing.begin, 1) if size else None
            while size := sealing.next_size:
                frame = sealing.seal(DATA[:size], memoryview(bytearray(SEALED)))
                room = memoryview(bytearray(size))
                opening.open(frame, room)
                self.assertEqual(DATA[:size], bytes(room))

    def test_the_end_of_a_body_is_not_the_end_of_another(self) -> None:
        """Attack 15: two bodies are not one."""
        sealing, opening = (Frames(A_KEY, chacha=False) for _ in range(2))
        opening.begin(FRAME + 5)
        sealing.begin(FRAME)
        frame = sealing.seal(DATA[:FRAME], memoryview(bytearray(SEALED)))
        self.assertRaises(BadFrame, opening.open, frame, memoryview(bytearray(FRAME)))
