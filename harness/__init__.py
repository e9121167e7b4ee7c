"""Evaluate and rank image-enhancement models by quality and cost.

    from harness import leaderboard, load_records
    leaderboard(load_records("reports/records/pirm2018b"))    # a pandas frame

cli          the table of commands, which parse, call and print
evaluate     one submission on one dataset -> one Record
isolation    drives worker, the child process in which a model runs; formats lists what it takes, conversion prepares it
dataset      pairs of source (phone) and target (DSLR) photos; assets fetches their files
metrics      PSNR, SSIM, MS-SSIM, NIQE and the MOS proxy: pure functions
challenge    a challenge as data (challenges/*.toml); scoring evaluates its formulas
boards       records -> ranked tables; render and export write them; regression compares them
published    the paper's and the challenge's figures, beside those that the records give
gallery      keeps pictures of some outputs; showcase lists them, contact_sheet lays them out
records      every stored type
progress     what is told while work goes on; forecast estimates the time left, display shows both
"""

import importlib
from typing import Any

__version__ = "0.1.0"
__all__ = ["leaderboard", "load_records"]


def __getattr__(name: str) -> Any:
    """Import what Python programs use when it is asked for: commands and models' processes start without it."""
    if name not in __all__:
        raise AttributeError(f"module 'harness' has no attribute {name!r}")
    return getattr(importlib.import_module("harness.api"), name)
