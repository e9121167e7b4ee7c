"""What records say beyond the leaderboard: `python examples/explore.py [FOLDER]`, from the repository's root."""

import sys

import pandas as pd

from harness import leaderboard, load_records

records = load_records(*sys.argv[1:])
board = leaderboard(records)
split = board[board["split"] == board["split"].iloc[0]]
print("Ranked, with the 95 % interval of Score A:")
print(split[["rank", "submission", "A", "A_low", "A_high", "A_first"]].to_string(index=False, float_format="%.2f"))

# a record holds the value of every image, so two submissions can be compared image by image
values = {
    record.submission.name: pd.Series({pair.image: pair.values["psnr"] for pair in record.quality.pairs}, dtype=float)
    for record in records
    if record.quality is not None
}
first, second = split["submission"].iloc[:2]
gain_db = (values[first] - values[second]).dropna()
print(f"\n{first} has the higher PSNR on {(gain_db > 0).sum()} of {len(gain_db)} images shared with {second};")
print(f"the largest gains: {', '.join(f'image {i} {db:+.1f} dB' for i, db in gain_db.nlargest(3).items())}.")

# metrics agree on much, not on all
print("\nRank correlation of the metrics over submissions:")
print(split[["psnr", "ms_ssim", "niqe", "speed_up"]].corr(method="spearman").round(2).to_string())
