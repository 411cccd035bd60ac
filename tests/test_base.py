"""Errors, CRC32C, ledgers, cores: the rest of the ground floor, through its Python face."""

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

import numi_bypass as nb
from numi_bypass import errors
from numi_bypass._ffi import lib, text
from numi_bypass.checksum import portable_crc32c
from numi_bypass.ledger import FRAME_ROWS, MESSAGE_ROWS


def bitwise_crc32c(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


@given(st.binary(max_size=2000), st.integers(0, 2000))
def test_crc32c_in_one_piece_in_two_and_bit_by_bit(data: bytes, cut: int) -> None:
    expected = bitwise_crc32c(data)
    assert nb.crc32c(data) == portable_crc32c(data) == expected
    assert nb.crc32c(data[cut:], nb.crc32c(data[:cut])) == expected


def test_every_error_code_has_its_exception() -> None:
    codes = {name: getattr(lib, name) for name in dir(lib) if name.startswith("NUMI_ERR_")}
    assert set(codes) == set(errors.BY_NAME)
    for name, code in codes.items():
        assert text(lib.numi_error_name(code)) == name
        assert text(lib.numi_error_message(code))
        assert type(errors.exception_of(code, name, "")) is errors.BY_NAME[name]
    assert text(lib.numi_error_name(-999)) == "NUMI_ERR_UNKNOWN"


def test_an_error_carries_its_name_and_detail() -> None:
    with pytest.raises(errors.ArgumentError) as caught:
        nb.Histogram(0)
    assert (caught.value.name, caught.value.code) == ("NUMI_ERR_ARGUMENT", lib.NUMI_ERR_ARGUMENT)
    assert "allowed" in caught.value.detail
    assert str(caught.value) == f"NUMI_ERR_ARGUMENT: {caught.value.detail}"


rows = st.integers(0, 2**40)


@given(st.lists(rows, min_size=9, max_size=9), st.lists(rows, min_size=5, max_size=5), st.integers(-5, 5))
def test_ledgers_tell_what_no_row_explains(frames: list[int], messages: list[int], off: int) -> None:
    ledger = nb.Ledger(
        dict(zip(FRAME_ROWS, [sum(frames) + 5 + off, *frames], strict=True)),
        dict(zip(MESSAGE_ROWS, [sum(messages), *messages], strict=True)),
    )
    assert ledger.frames_remainder == 5 + off
    assert ledger.messages_remainder == 0
    assert ledger.whole == (off == -5)


def test_pinning_moves_the_thread_and_unpinning_frees_it() -> None:
    cpus = [cpu.cpu for cpu in nb.topology() if cpu.allowed]
    seen: list[int] = []

    def walk() -> None:
        for cpu in cpus:
            nb.pin(cpu)
            seen.append(lib.numi_core_current())
        nb.unpin()

    thread = threading.Thread(target=walk)
    thread.start()
    thread.join()
    assert seen == cpus


def test_a_cpu_that_is_not_ours_is_refused() -> None:
    with pytest.raises(errors.ArgumentError, match="may not run there"):
        nb.pin(1023)
    with pytest.raises(errors.ArgumentError, match="allowed 0 to 99"):
        nb.fifo(100)


def test_touching_new_memory_is_a_fault_and_using_it_again_is_none() -> None:
    before = nb.faults()
    pool = nb.Pool(1024, 2048, pages="4k")
    opened = nb.faults()
    assert opened.thread_minor - before.thread_minor >= 512
    lib.numi_hot_pool_soak(pool._pool, 10, 64)
    settled = nb.faults()
    lib.numi_hot_pool_soak(pool._pool, 1000, 64)
    assert nb.faults().thread_major == settled.thread_major
