"""Frames taken and given back without end: the pool must never miss, never drop a return, and be whole at the end."""

import argparse

from numi_bypass._ffi import lib
from numi_bypass.bench import Report
from numi_bypass.cli import EXIT_USAGE, CommandError
from numi_bypass.cores import faults
from numi_bypass.options import power_of_two, whole
from numi_bypass.pool import Pool

_ROUNDS_A_CALL = 1000
"""Rounds between two looks at Ctrl-C."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Size of the pool and of the work."""
    parser.add_argument("--pool", type=whole(1, int(lib.NUMI_POOL_FRAME_COUNT_MAX)), default=65536, help="frames")
    parser.add_argument(
        "--frame",
        type=power_of_two(int(lib.NUMI_POOL_FRAME_SIZE_MIN), int(lib.NUMI_POOL_FRAME_SIZE_MAX)),
        default=2048,
        help="bytes a frame, a power of two",
    )
    parser.add_argument("--rounds", type=whole(1, 10**12), default=10000, help="rounds of taking and giving a batch")
    parser.add_argument("--batch", type=whole(1, 4096), help="frames taken at once (default: 64, or the whole pool)")


def run(options: argparse.Namespace, report: Report, quick: bool) -> None:
    """Soak the pool and settle its ledger."""
    options.batch = options.batch or min(64, options.pool)
    if options.batch > options.pool:
        raise CommandError(f"pool-soak: --batch {options.batch}: allowed 1 to --pool ({options.pool})", EXIT_USAGE)
    with Pool(options.pool, options.frame) as pool:
        operations = 0
        lib.numi_hot_pool_soak(pool._pool, 1, options.batch)
        before = faults()
        left = options.rounds
        try:
            while left > 0:
                rounds = min(left, _ROUNDS_A_CALL)
                operations += lib.numi_hot_pool_soak(pool._pool, rounds, options.batch)
                left -= rounds
        finally:
            minor = faults().thread_minor - before.thread_minor
            ledger = pool.ledger()
            right = ledger.misses == 0 and ledger.return_drops == 0 and ledger.available == ledger.size
            right = right and ledger.remainder == 0 and operations == (options.rounds - left) * options.batch
            report.finish(
                "interrupted" if left and right else "ok" if right else "failed",
                operations=operations,
                misses=ledger.misses,
                return_drops=ledger.return_drops,
                pool_available=ledger.available,
                pool_size=ledger.size,
                pages=pool.pages,
                page_faults=minor,
            )
