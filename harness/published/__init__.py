"""Published figures beside those measured here: the paper's Tables 2 to 5 and the challenge's final table."""
