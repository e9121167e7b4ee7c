"""Evaluate and rank image-enhancement models by quality and cost.

cli          the commands; parses, calls, prints
evaluate     one submission on one dataset -> one Record
isolation    drives worker, the child process in which a model runs
dataset      pairs of source (phone) and target (DSLR) photos; assets fetches their files
metrics      PSNR, SSIM, MS-SSIM, NIQE and the MOS proxy: pure functions
challenge    a challenge as data (challenges/*.toml); scoring evaluates its formulas
leaderboard  records -> a ranked table; render writes it; regression compares it
records      every stored type
"""

__version__ = "0.1.0"
