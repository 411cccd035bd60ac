import copy
import gc
import pickle

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

import numi_bypass as nb
from numi_bypass._ffi import lib
from numi_sim.model.pool import PoolModel

SIZE = 16


class PoolMachine(RuleBasedStateMachine):
    """The pool against a set of names, through every sequence of takes, gives, lends and reclaims."""

    def __init__(self) -> None:
        super().__init__()
        self.pool = nb.Pool(SIZE, 128, pages="4k")
        self.model = PoolModel(SIZE)

    @rule(wanted=st.integers(1, SIZE))
    def take(self, wanted: int) -> None:
        # The machine keeps the frames beyond the lease, as a port does.
        self.model.take(wanted, self.pool.take(wanted).keep().tolist())

    @rule(index=st.integers(0, SIZE + 2))
    def give(self, index: int) -> None:
        assert self.pool.give(np.array([index], np.uint32)) == self.model.give(index)

    @rule(index=st.integers(0, SIZE - 1))
    def lend(self, index: int) -> None:
        self._moves(self.pool.lend, self.model.lend, index)

    @rule(index=st.integers(0, SIZE - 1))
    def reclaim(self, index: int) -> None:
        self._moves(self.pool.reclaim, self.model.reclaim, index)

    def _moves(self, move: object, model_move: object, index: int) -> None:
        if model_move(index):  # type: ignore[operator]
            move(index)  # type: ignore[operator]
        else:
            with pytest.raises(nb.errors.DoubleGiveError):
                move(index)  # type: ignore[operator]

    @invariant()
    def ledger_closes(self) -> None:
        ledger = self.pool.ledger()
        assert ledger.remainder == 0
        assert (ledger.available, ledger.held, ledger.lent, ledger.misses, ledger.return_drops) == (
            self.model.available,
            len(self.model.held),
            len(self.model.lent),
            self.model.misses,
            self.model.return_drops,
        )

    def teardown(self) -> None:
        self.pool.close()


TestPoolMachine = PoolMachine.TestCase
TestPoolMachine.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)


def test_more_gives_than_takes_are_refused_in_every_build() -> None:
    with nb.Pool(4, 128) as pool:
        assert pool.give(np.arange(4, dtype=np.uint32)) == 0
        assert pool.ledger().return_drops == 4


def test_bad_sizes_name_the_value_and_what_is_allowed() -> None:
    for count, size in ((0, 2048), (-1, 2048), (2**40, 2048), (4, 100), (4, 3000), (4, 2**17)):
        with pytest.raises(nb.errors.ArgumentError, match="allowed"):
            nb.Pool(count, size)


def test_views_are_read_only_and_see_what_was_written() -> None:
    with nb.Pool(4) as pool, pool.take(2) as frames:
        frames.write(1, b"numi", head_room=42)
        data, descriptor = frames.data(1), frames.descriptor(1)
        assert data.tobytes() == b"numi"
        assert (descriptor["data_offset"][0], descriptor["data_size"][0]) == (42, 4)
        with pytest.raises(ValueError, match="read-only"):
            data[0] = 0
        del data, descriptor


def test_a_view_that_outlives_its_lease_is_an_error_and_its_frame_stays_held() -> None:
    pool = nb.Pool(4)
    lease = pool.take(3)
    lease.write(1, b"a packet")
    view = lease.data(1)[2:4]
    with pytest.raises(BufferError, match="1 frame"):
        lease.close()
    assert (pool.ledger().held, pool.available) == (1, 3)
    with pytest.raises(BufferError, match="lease"):
        pool.close()
    del view
    lease.close()
    pool.close()


def test_an_error_in_the_block_is_not_hidden_by_its_views() -> None:
    pool = nb.Pool(4)
    frames = pool.take(1)
    frames.write(0, b"a packet")
    view = frames.data(0)
    with pytest.raises(KeyError), frames:
        raise KeyError
    assert frames.closed is False
    del view
    frames.close()
    pool.close()


def test_memory_lives_as_long_as_anything_looks_at_it() -> None:
    pool = nb.Pool(4)
    lease = pool.take(1)
    lease.write(0, b"still here")
    view = lease.data(0)
    del pool, lease
    gc.collect()
    assert view.tobytes() == b"still here"
    with pytest.warns(ResourceWarning, match="never closed"):
        del view


def test_closed_things_say_so() -> None:
    pool = nb.Pool(4)
    lease = pool.take(1)
    lease.close()
    pool.close()
    with pytest.raises(ValueError, match="lease is over"):
        lease.data(0)
    with pytest.raises(ValueError, match="pool is closed"):
        pool.take(1)


@pytest.mark.parametrize("pages", ["auto", "4k", "transparent", "2m"])
def test_what_was_got_is_what_was_asked_or_the_reason_is_given(pages: str) -> None:
    with nb.Pool(2048, 2048, pages=pages) as pool:
        assert pool.pages == pages or pool.fallback or pages == "auto"


def test_unknown_pages_are_refused() -> None:
    with pytest.raises(ValueError, match="allowed auto"):
        nb.Pool(4, pages="3m")


def test_soak_in_c_leaves_the_pool_whole() -> None:
    with nb.Pool(128, 256) as pool:
        assert lib.numi_hot_pool_soak(pool._pool, 100, 64) == 6400
        ledger = pool.ledger()
        assert (ledger.available, ledger.misses, ledger.return_drops) == (128, 0, 0)


def test_a_second_thread_is_refused_not_let_in() -> None:
    pool = nb.Pool(4096, 128)
    with pool._turn:
        for use in (lambda: pool.take(1), lambda: pool.give(np.zeros(1, np.uint32)), pool.close):
            with pytest.raises(nb.errors.BusyError, match="another thread"):
                use()
    pool.close()


def test_owners_are_not_copied() -> None:
    pool = nb.Pool(4)
    lease = pool.take(1)
    for one in (pool, lease, nb.Ring("u8", 8), nb.Histogram(), nb.Clock(1)):
        with pytest.raises(TypeError, match="cannot be copied"):
            copy.copy(one)
        with pytest.raises(TypeError, match="cannot be copied"):
            pickle.dumps(one)
    lease.close()


def test_a_lent_frame_is_nobody_else_s() -> None:
    with nb.Pool(4) as pool:
        kept = pool.take(2).keep()
        pool.lend(int(kept[0]))
        assert pool.give(kept) == 1
        assert int(kept[0]) not in pool.take(3).keep()
        pool.reclaim(int(kept[0]))
        assert pool.give(kept[:1]) == 1
        with pytest.raises(nb.errors.DoubleGiveError):
            pool.lend(int(kept[0]))


def test_a_leased_frame_cannot_be_given_behind_the_lease() -> None:
    with nb.Pool(4) as pool, pool.take(2) as frames:
        assert pool.give(frames.indices) == 0
        assert pool.ledger().return_drops == 2


def test_only_whole_numbers_name_frames() -> None:
    with nb.Pool(4) as pool:
        kept = pool.take(4).keep()
        for wrong in (np.array([1.9]), np.array([True]), kept.reshape(2, 2)):
            with pytest.raises(TypeError, match="allowed whole numbers"):
                pool.give(wrong)
        assert pool.give(np.array([2**32, -1])) == 0
        assert pool.give(kept.astype(np.int64)) == 4


def test_payloads_are_bytes_and_a_taken_frame_has_none() -> None:
    with nb.Pool(1) as pool:
        with pool.take(1) as frames:
            frames.write(0, np.arange(4, dtype="<u2").data, head_room=100)
            assert bytes(frames.data(0)) == b"\0\0\1\0\2\0\3\0"
        with pool.take(1) as frames:
            assert len(frames.data(0)) == 0
            for wrong in (np.zeros((2000, 0), np.uint8).data, np.array([object()]).data):
                with pytest.raises((TypeError, ValueError)):
                    frames.write(0, wrong)


def test_a_forgotten_lease_warns_and_gives_its_frames_back() -> None:
    with nb.Pool(4) as pool:
        with pytest.warns(ResourceWarning, match="never closed"):
            pool.take(2)
        assert pool.available == 4


def test_positions_stay_when_a_lease_ends_in_part() -> None:
    pool = nb.Pool(4)
    lease = pool.take(3)
    for position, payload in enumerate((b"zero", b"one", b"two")):
        lease.write(position, payload)
    view = lease.data(2)
    with pytest.raises(BufferError):
        lease.close()
    assert bytes(lease.data(2)) == b"two"
    with pytest.raises(ValueError, match="lease is over"):
        lease.data(0)
    del view
    lease.close()
    pool.close()
