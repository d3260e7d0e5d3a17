"""What a stranger may ask of us: buckets, capped tables, and guesses at a password."""

from __future__ import annotations

import json

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from twistedp2p.core.limits import (
    ADDRESS_WINDOW,
    CHOSEN_BURST,
    EXEMPT_KEYS,
    GENERATED_BURST,
    GENERATED_RATE,
    GUESSES_PER_ADDRESS,
    KNOWN_ADDRESSES,
    TURN_LASTS,
    WAITING_PLACES,
    Buckets,
    CappedTable,
    GuessLimiter,
    TokenBucket,
    counted_as,
)

NOW = 1_700_000_000.0  # seconds: as the time of day is, where floats are coarse
A_TOKEN = 60.0  # seconds until a chosen password may be tried once more
KEY = b"k" * 32
MANY = [f"10.0.{n // 250}.{n % 250}" for n in range(10_000)]


class ATable(SynchronousTestCase):
    def test_it_never_has_more_rows_than_its_cap(self) -> None:
        """Attack 40: a flood of new rows is bounded memory."""
        table: CappedTable[int, int] = CappedTable(10)
        for n in range(1000):
            table.put(n, n)
            self.assertLessEqual(len(table), 10)
        self.assertEqual(table.values(), list(range(990, 1000)))

    def test_the_least_recently_used_row_goes_first(self) -> None:
        table: CappedTable[str, int] = CappedTable(3)
        for key in "abc":
            table.put(key, 0)
        table.get("a")
        table.peek("b")
        table.put("d", 0)
        self.assertNotIn("b", table)
        table.put("c", 1)
        table.put("e", 0)
        self.assertEqual(table.items(), [("d", 0), ("c", 1), ("e", 0)])

    def test_a_row_that_is_kept_never_makes_room_for_others(self) -> None:
        """Attack 37: throw-away keys never evict a pinned one."""
        table: CappedTable[int, str] = CappedTable(4, {1, 2}.__contains__)
        for key in (1, 2, *range(100, 200)):
            table.put(key, "")
        self.assertEqual([key for key, _ in table.items()], [1, 2, 198, 199])

    def test_a_table_full_of_kept_rows_takes_a_new_one_all_the_same(self) -> None:
        """Attack 37: whoever fills the table for ever closes it to nobody."""
        table: CappedTable[int, str] = CappedTable(4, {1, 2, 3, 4}.__contains__)
        for key in (1, 2, 3, 4):
            table.put(key, "")
        table.get(1)
        table.put(5, "")
        self.assertEqual([key for key, _ in table.items()], [3, 4, 1, 5])
        table.put(6, "")  # half are kept, and a stranger's row makes room
        table.put(7, "")
        self.assertEqual(sorted(key for key, _ in table.items()), [1, 4, 6, 7])

    def test_rows_that_make_room_are_told(self) -> None:
        gone: list[str] = []
        table: CappedTable[int, str] = CappedTable(2, {0}.__contains__, gone.append)
        for key, row in enumerate("abcd"):
            table.put(key, row)
        table.pop(3)
        self.assertEqual(gone, ["b", "c"])

    @settings(deadline=None)
    @given(st.lists(st.tuples(st.sampled_from(["put", "get", "pop"]), st.integers(0, 8))))
    def test_it_is_a_dictionary_that_forgets(self, steps: list[tuple[str, int]]) -> None:
        cap, kept = 4, {0, 1}
        table: CappedTable[int, int] = CappedTable(cap, kept.__contains__)
        model: dict[int, int] = {}  # in the order of use
        for step, key in steps:
            if step == "put":
                if key not in model and len(model) == cap:
                    model.pop(next(old for old in model if old not in kept))
                model.pop(key, None)
                model[key] = key
                table.put(key, key)
            elif step == "pop":
                self.assertEqual(table.pop(key), model.pop(key, None))
            else:
                self.assertEqual(table.get(key), model.get(key))
                if key in model:
                    model[key] = model.pop(key)
            self.assertEqual(table.items(), list(model.items()))


class ABucket(SynchronousTestCase):
    def test_the_burst_then_the_rate(self) -> None:
        bucket = TokenBucket.full(2.0, 3.0, NOW)
        self.assertEqual([bucket.take(NOW) for _ in range(4)], [True, True, True, False])
        self.assertFalse(bucket.take(NOW + 0.4))
        self.assertTrue(bucket.take(NOW + 0.5))
        self.assertFalse(bucket.take(NOW + 0.5))

    def test_it_never_holds_more_than_its_burst(self) -> None:
        bucket = TokenBucket.full(2.0, 3.0, NOW)
        bucket.give_back()
        self.assertEqual(bucket.whole(NOW + 1e9), 3)
        self.assertEqual(sum(bucket.take(NOW + 1e9) for _ in range(10)), 3)

    def test_a_clock_that_went_back_adds_nothing_and_takes_nothing(self) -> None:
        bucket = TokenBucket.full(1.0, 2.0, NOW)
        self.assertTrue(bucket.take(NOW))
        self.assertTrue(bucket.take(NOW - 1e6))
        self.assertFalse(bucket.take(NOW - 1e6))
        self.assertFalse(bucket.take(NOW - 2e6))
        self.assertTrue(bucket.take(NOW - 2e6 + 1))

    def test_what_others_spend_can_become_a_debt_no_larger_than_the_burst(self) -> None:
        bucket = TokenBucket.full(1.0, 5.0, 0.0)
        for _ in range(100):
            bucket.spend(0.0)
        self.assertEqual(bucket.tokens, -5.0)
        self.assertEqual(bucket.wait(5.0), 1.0)
        self.assertEqual((bucket.whole(5.9), bucket.take(5.9)), (0, False))
        self.assertTrue(bucket.take(6.0))

    def test_what_is_given_back_can_be_taken(self) -> None:
        bucket = TokenBucket.full(0.001, 1.0, NOW)
        self.assertTrue(bucket.take(NOW))
        bucket.give_back()
        self.assertTrue(bucket.take(NOW))
        self.assertFalse(bucket.take(NOW))

    @settings(deadline=None)
    @given(
        st.floats(1 / 60, 500),
        st.floats(1, 1000),
        st.sampled_from([0.0, 12.3456, 1e6, NOW]),
        st.lists(st.floats(0, 10), max_size=20),
    )
    def test_who_waits_as_long_as_told_finds_his_token(
        self, rate: float, burst: float, now: float, pauses: list[float]
    ) -> None:
        bucket = TokenBucket.full(rate, burst, now)
        while bucket.take(now):
            pass
        for pause in pauses:
            now += pause
            now += bucket.wait(now)
            self.assertTrue(bucket.take(now))

    @settings(deadline=None)
    @given(st.lists(st.floats(-100, 100), max_size=100))
    def test_no_more_is_granted_than_burst_and_rate_allow(self, steps: list[float]) -> None:
        bucket, now = TokenBucket.full(0.5, 5.0, 0.0), 0.0
        granted, elapsed = 0, 0.0
        for step in steps:
            now, elapsed = now + step, elapsed + max(0.0, step)
            granted += bucket.take(now)
            self.assertLessEqual(granted, 5 + 0.5 * elapsed + 0.01)

    def test_one_of_many_has_no_part_in_the_others(self) -> None:
        buckets: Buckets[str] = Buckets(1.0, 2.0, cap=3)
        self.assertEqual([buckets.take("a", 0.0) for _ in range(3)], [True, True, False])
        self.assertTrue(buckets.take("b", 0.0))

    def test_buckets_of_a_flood_of_addresses_are_bounded(self) -> None:
        """Attack 40."""
        buckets: Buckets[int] = Buckets(1.0, 2.0, cap=100)
        for n in range(10_000):
            buckets.take(n, 0.0)
        self.assertEqual(len(buckets), 100)


class Guessing(SynchronousTestCase):
    """A limiter whose lots always fall on the first that waits, but where a test says so."""

    def limiter(self, *, generated: bool = False, now: float = NOW) -> GuessLimiter:
        self.lot = 0
        return GuessLimiter(generated=generated, now=now, choose=lambda n: self.lot % n)

    def granted(self, limiter: GuessLimiter, addresses: list[str], now: float = NOW) -> list[str]:
        return [each for each in addresses if limiter.take(each, each.encode(), now) == 0.0]

    def used_up(self, *, generated: bool = False) -> GuessLimiter:
        """A limiter without a token; the addresses from the end of `MANY` on have drawn."""
        limiter = self.limiter(generated=generated)
        burst = int(GENERATED_BURST if generated else CHOSEN_BURST)
        self.assertEqual(len(self.granted(limiter, MANY[-burst:])), burst)
        return limiter


class TheBucketOfAnOffer(Guessing):
    def test_a_thousand_guesses_at_once_stay_within_it(self) -> None:
        """Attack 13: a thousand parallel GETs, each from an address and key of its own."""
        self.assertEqual(len(self.granted(self.limiter(), MANY[:1000])), CHOSEN_BURST)
        generated = self.granted(self.limiter(generated=True), MANY[:1000])
        self.assertEqual(len(generated), GENERATED_BURST)

    def test_a_day_of_guesses_stays_within_it(self) -> None:
        """Attack 13: from forty addresses, one guess a second."""
        for generated, rate, burst, seconds in (
            (False, 1 / 60, CHOSEN_BURST, 86_400),
            (True, GENERATED_RATE, GENERATED_BURST, 3_600),
        ):
            limiter, count = self.limiter(generated=generated), 0
            for second in range(0, seconds, 3):
                for n in range(3):
                    address = MANY[(second + n) % 40]
                    count += limiter.take(address, KEY, NOW + second) == 0.0
            self.assertLessEqual(count, burst + rate * seconds)
            self.assertGreater(count, burst)

    @settings(deadline=None, max_examples=60)
    @given(
        st.lists(
            st.tuples(st.integers(0, 30), st.sampled_from([0, 0, 0.5, 59, 61, 700, -50, -1e6])),
            max_size=200,
        ),
        st.booleans(),
    )
    def test_no_play_with_addresses_turns_and_clock_gets_more(
        self, steps: list[tuple[int, float]], restarting: bool
    ) -> None:
        """Attack 13, with a clock that jumps and a restart after every guess."""
        limiter, now = self.limiter(now=0.0), 0.0
        granted, elapsed = 0, 0.0
        for who, step in steps:
            now, elapsed = now + step, elapsed + max(0.0, step)
            granted += limiter.take(MANY[who], KEY, now) == 0.0
            self.assertLessEqual(granted, CHOSEN_BURST + elapsed / A_TOKEN + 0.01)
            if restarting:
                saved = json.loads(json.dumps(limiter.state(now)))
                limiter = self.limiter(now=now)
                limiter.restore(saved)

    def test_the_wait_that_is_told_is_that_for_the_next_token(self) -> None:
        limiter = self.used_up()
        self.assertAlmostEqual(limiter.take("a", KEY, NOW), A_TOKEN)
        self.assertAlmostEqual(limiter.take("a", KEY, NOW + 20), A_TOKEN - 20)
        self.assertEqual(limiter.take("a", KEY, NOW + A_TOKEN), 0.0)

    def test_an_honest_wait_is_never_under_a_second(self) -> None:
        limiter = self.used_up(generated=True)
        self.assertEqual(limiter.take("a", KEY, NOW + 0.9), 1.0)


class OneAddress(Guessing):
    def test_it_has_three_guesses_in_ten_minutes(self) -> None:
        limiter = self.limiter()
        self.assertEqual([limiter.take("a", KEY, NOW + n) for n in range(3)], [0.0] * 3)
        self.assertEqual(limiter.take("a", KEY, NOW + 3), ADDRESS_WINDOW - 3)
        self.assertEqual(limiter.take("a", b"other" * 6 + b"..", NOW + 599), 1.0)
        self.assertEqual(limiter.take("a", KEY, NOW + 600), 0.0)
        self.assertEqual(limiter.take("a", KEY, NOW + 600.5), 1.0)

    def test_what_is_refused_costs_no_token(self) -> None:
        limiter = self.limiter()
        for _ in range(1000):
            limiter.take("a", KEY, NOW)
        left = int(CHOSEN_BURST) - GUESSES_PER_ADDRESS
        self.assertEqual(len(self.granted(limiter, MANY[:100])), left)

    def test_a_clock_set_back_locks_no_address_out(self) -> None:
        """Guesses of the future count as made just now."""
        limiter, earlier = self.limiter(), NOW - 365 * 86_400.0
        for _ in range(3):
            limiter.take("a", KEY, NOW)
        self.assertEqual(limiter.take("a", KEY, earlier), ADDRESS_WINDOW)
        self.assertEqual(limiter.take("a", KEY, earlier + 300), ADDRESS_WINDOW - 300)
        self.assertEqual(limiter.take("a", KEY, earlier + ADDRESS_WINDOW), 0.0)

    def test_a_flood_of_addresses_is_bounded_memory(self) -> None:
        """Attack 40: the tables are capped, and so is what is saved of them."""
        limiter = self.limiter(generated=True)
        for n in range(3 * KNOWN_ADDRESSES):
            limiter.take(f"a{n}", KEY, NOW + n)
            limiter.right(f"a{n}", n.to_bytes(32, "big"))
        for n in range(3 * KNOWN_ADDRESSES):
            limiter.take(f"b{n}", KEY, NOW + 3 * KNOWN_ADDRESSES)
        self.assertEqual(len(limiter._waiting), WAITING_PLACES)
        self.assertLessEqual(len(limiter._per_address), KNOWN_ADDRESSES)
        saved = limiter.state(NOW + 3 * KNOWN_ADDRESSES)
        self.assertEqual(len(saved["exempt"]), EXEMPT_KEYS)
        self.assertLessEqual(len(saved["addresses"]), KNOWN_ADDRESSES)


class TheRightGuess(Guessing):
    def test_it_is_given_back(self) -> None:
        limiter = self.limiter()
        for n in range(100):
            self.assertEqual(limiter.take("a", n.to_bytes(32, "big"), NOW), 0.0)
            limiter.right("a", n.to_bytes(32, "big"))
        self.assertEqual(len(self.granted(limiter, MANY[:100])), CHOSEN_BURST)

    def test_its_key_is_exempt_from_then_on(self) -> None:
        """Who knows the password is not locked out by those who guess."""
        limiter = self.limiter()
        limiter.take("a", KEY, NOW)
        limiter.right("a", KEY)
        self.granted(limiter, MANY[:100])
        self.assertEqual([limiter.take("a", KEY, NOW) for _ in range(100)], [0.0] * 100)
        self.assertGreater(limiter.take("b", b"x" * 32, NOW), 0.0)

    def test_an_exempt_key_gives_nothing_back_that_it_did_not_take(self) -> None:
        """Attack 13: a right password once is no pump of tokens for guesses of others."""
        limiter = self.limiter()
        limiter.take("a", KEY, NOW)
        limiter.right("a", KEY)
        self.granted(limiter, MANY[:100])
        for _ in range(10):
            limiter.take("a", KEY, NOW)
            limiter.right("a", KEY)
        self.assertEqual(self.granted(limiter, MANY[100:200]), [])

    def test_it_wipes_out_no_wrong_one_of_its_address(self) -> None:
        limiter = self.limiter()
        limiter.take("a", b"1" * 32, NOW)
        limiter.take("a", b"2" * 32, NOW)
        limiter.take("a", KEY, NOW)
        limiter.right("a", KEY)
        self.assertEqual(limiter.take("a", b"3" * 32, NOW), 0.0)
        self.assertGreater(limiter.take("a", b"3" * 32, NOW), 0.0)

    def test_a_key_in_use_stays_exempt_however_many_others_are(self) -> None:
        limiter = self.limiter()
        limiter.right("a", KEY)
        for n in range(2 * EXEMPT_KEYS):
            limiter.right("b", n.to_bytes(32, "big"))
            self.assertEqual(limiter.take("a", KEY, NOW), 0.0)
        self.granted(limiter, MANY[:100])
        self.assertEqual(limiter.take("a", KEY, NOW), 0.0)


class WaitingPlaces(Guessing):
    def test_the_next_token_goes_to_one_of_those_who_wait_by_lot(self) -> None:
        limiter = self.used_up()
        self.assertEqual(self.granted(limiter, MANY[:5]), [])
        self.lot = 3
        later = NOW + A_TOKEN
        self.assertEqual(self.granted(limiter, ["new", *MANY[:5]], later), [MANY[3]])

    def test_one_address_has_one_place_however_often_it_asks(self) -> None:
        lots: list[int] = []
        limiter = GuessLimiter(generated=False, now=NOW, choose=lambda n: lots.append(n) or 0)
        self.granted(limiter, MANY[-10:])
        self.assertEqual(self.granted(limiter, ["flood"] * 1000 + ["honest"]), [])
        self.granted(limiter, ["flood"], NOW + A_TOKEN)
        self.assertEqual(lots, [2])

    def test_who_does_not_come_back_loses_place_and_turn(self) -> None:
        limiter = self.used_up()
        self.granted(limiter, ["away", "here"])
        chosen = NOW + A_TOKEN
        self.assertEqual(self.granted(limiter, ["here"], chosen), [])
        later = chosen + TURN_LASTS + 1
        self.assertEqual(self.granted(limiter, ["here", "new", "away"], later), ["here", "new"])

    def test_as_many_turns_are_given_as_there_are_tokens(self) -> None:
        """A few who went away hold up nobody else, when there are tokens for all."""
        limiter = self.used_up(generated=True)
        self.assertEqual(self.granted(limiter, ["away", "gone", "here", "there"]), [])
        self.assertEqual(self.granted(limiter, ["here", "there"], NOW + 2), [])
        later = NOW + 4
        self.assertEqual(self.granted(limiter, ["here", "there", "new"], later), ["here", "there"])
        self.assertEqual(self.granted(limiter, ["late", "new"], NOW + 5), ["new"])

    def test_every_absent_one_is_gone_within_the_hour(self) -> None:
        """Attack 13: all places taken by addresses that never come back."""
        limiter = self.used_up()
        self.granted(limiter, MANY[:1000])
        waited = next(
            seconds
            for seconds in range(0, 10 * 3600, 30)
            if limiter.take("honest", KEY, NOW + seconds) == 0.0
        )
        self.assertLessEqual(waited, 3600)

    def test_a_clock_set_back_holds_no_turn_for_ever(self) -> None:
        limiter = self.used_up()
        self.granted(limiter, ["away", "here"])
        self.granted(limiter, ["here"], NOW + A_TOKEN)
        earlier = NOW - 365 * 86_400.0
        self.assertEqual(self.granted(limiter, ["here"], earlier), ["here"])

    def test_the_places_are_bounded(self) -> None:
        """Attack 40."""
        limiter = self.used_up()
        self.granted(limiter, MANY[:1000])
        self.assertEqual(len(limiter._waiting), WAITING_PLACES)


class AfterARestart(Guessing):
    def again(self, limiter: GuessLimiter, now: float) -> GuessLimiter:
        saved = json.loads(json.dumps(limiter.state(now)))
        restarted = self.limiter(now=now)
        restarted.restore(saved)
        return restarted

    def test_it_gives_no_new_guesses(self) -> None:
        """Attack 13: nor does one restart after each."""
        limiter, count = self.limiter(), 0
        for address in MANY[:100]:
            count += limiter.take(address, KEY, NOW) == 0.0
            limiter = self.again(limiter, NOW)
        self.assertEqual(count, CHOSEN_BURST)

    def test_the_time_in_between_counts(self) -> None:
        limiter = self.again(self.used_up(), NOW)
        self.assertEqual(len(self.granted(limiter, MANY[:100], NOW + 3 * A_TOKEN)), 3)

    def test_addresses_and_exempt_keys_are_known(self) -> None:
        limiter = self.limiter()
        limiter.right("a", KEY)
        for _ in range(3):
            limiter.take("b", b"x" * 32, NOW)
        limiter = self.again(limiter, NOW + 1)
        self.assertEqual(limiter.take("b", b"x" * 32, NOW + 1), ADDRESS_WINDOW - 1)
        self.granted(limiter, MANY[:100], NOW + 1)
        self.assertEqual(limiter.take("a", KEY, NOW + 1), 0.0)

    def test_old_guesses_are_not_saved(self) -> None:
        limiter = self.limiter()
        limiter.take("a", KEY, NOW)
        self.assertEqual(limiter.state(NOW + ADDRESS_WINDOW)["addresses"], {})

    def test_a_clock_set_back_meanwhile_locks_nobody_out(self) -> None:
        limiter, earlier = self.used_up(), NOW - 365 * 86_400.0
        for _ in range(3):
            limiter.take(MANY[-1], KEY, NOW)
        saved = limiter.state(NOW)
        limiter = self.limiter(now=earlier)
        limiter.restore(saved)
        self.assertEqual(self.granted(limiter, ["a"], earlier), [])
        self.assertEqual(self.granted(limiter, ["a"], earlier + A_TOKEN), ["a"])
        later = earlier + ADDRESS_WINDOW + 1
        self.assertEqual(self.granted(limiter, MANY[-1:], later), MANY[-1:])

    def test_a_state_of_another_kind_of_password_is_no_more_than_a_full_bucket(self) -> None:
        saved = self.limiter(generated=True).state(NOW)
        limiter = self.limiter()
        limiter.restore(saved)
        self.assertEqual(len(self.granted(limiter, MANY[:1000])), CHOSEN_BURST)

    def test_a_damaged_state_is_refused_and_nothing_of_it_taken(self) -> None:
        good = self.used_up().state(NOW)
        nan, infinite = float("nan"), float("inf")
        for name, values in {
            "tokens": [nan, infinite, -infinite, None, "many", [], 10**400, True],
            "at": [nan, infinite, -infinite, None, "now", {}, 10**400],
            "exempt": [None, 5, {}, ["xyz"], ["00"], [KEY.hex() + "00"], [5], [None], "abcd"],
            "addresses": [None, 5, [], "a", {"a": 5}, {"a": [None]}, {"a": ["x"]}, {"a": [nan]},
                          {"a": [infinite]}, {"a": [10**400]}, {"a": None}, {"a" * 65: [NOW]}],
        }.items():  # fmt: skip
            for value in values:
                limiter = self.limiter()
                damaged = {**good, "exempt": [KEY.hex()], name: value}
                self.assertRaises(ValueError, limiter.restore, damaged)
                self.assertEqual(len(self.granted(limiter, MANY[-10:])), CHOSEN_BURST, value)
                self.assertGreater(limiter.take("a", KEY, NOW), 0.0)
            rest = {key: value for key, value in good.items() if key != name}
            self.assertRaises(ValueError, self.limiter().restore, rest)
        for state in ([], "x", 5, None):
            self.assertRaises(ValueError, self.limiter().restore, state)

    def test_no_saved_number_of_tokens_locks_out_or_lets_in(self) -> None:
        for tokens, granted in ((-1e300, 1), (-1, 1), (1e300, CHOSEN_BURST)):
            limiter = self.limiter()
            limiter.restore({**limiter.state(NOW), "tokens": tokens})
            self.assertEqual(len(self.granted(limiter, MANY[:100], NOW + A_TOKEN)), granted)

    def test_a_state_of_hostile_size_is_cut_to_the_tables(self) -> None:
        """Attack 40."""
        limiter = self.limiter()
        limiter.restore(
            {
                "tokens": 5.0,
                "at": NOW,
                "exempt": [n.to_bytes(32, "big").hex() for n in range(3 * EXEMPT_KEYS)],
                "addresses": {f"a{n}": [NOW] * 50 for n in range(3 * KNOWN_ADDRESSES)},
            }
        )
        saved = limiter.state(NOW)
        self.assertEqual(len(saved["exempt"]), EXEMPT_KEYS)
        self.assertEqual(len(saved["addresses"]), KNOWN_ADDRESSES)
        self.assertEqual({len(times) for times in saved["addresses"].values()}, {3})

    @settings(deadline=None)
    @given(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(st.sampled_from(["tokens", "at", "exempt", "addresses"]), inner)
            ),
            max_leaves=20,
        )
    )
    def test_any_json_is_a_state_or_a_value_error(self, state: object) -> None:
        limiter = self.limiter()
        try:
            limiter.restore(state)
        except ValueError:
            pass
        else:
            json.dumps(limiter.state(NOW), allow_nan=False)
        self.assertLessEqual(len(self.granted(limiter, MANY[:100])), CHOSEN_BURST)


class CountedAsTests(SynchronousTestCase):
    def test_an_ipv4_address_counts_alone(self) -> None:
        self.assertEqual(counted_as("192.0.2.7"), "192.0.2.7")

    def test_a_64_of_ipv6_counts_as_one(self) -> None:
        counted = {counted_as(f"2001:db8:1:2:{number:x}::1") for number in range(100)}
        self.assertEqual(counted, {"2001:db8:1:2::/64"})

    def test_on_our_links_each_counts_alone(self) -> None:
        for host in ("fe80::1", "fe80::1%eth0"):
            self.assertEqual(counted_as(host), host)
        self.assertEqual(counted_as("2001:db8::1", lambda _: True), "2001:db8::1")
