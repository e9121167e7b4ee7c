"""A challenge as a competition on Codabench: the bundle that an organiser uploads, and what scores in it.

competition.py   what the competition is: phases, dates, columns, data; checked before anything is written
reference.py     what only the scoring program sees: challenge, baseline, pairs and photos
program.py       the scoring program: this package, the versions of what it needs, and settings
kit.py           the starting kit and a submission to try
pages.py         competition.yaml, the pages and the logo
bundle.py        all of it in one zip
bootstrap.py     the first to run on the worker, as score.py: sees that the packages are there
scoring.py       runs `harness run` on one submission there, and writes scores.json
sample.py        makes a submission to start from; a script of its own in the starting kit

What Codabench asks of a bundle, and how its worker lays out a run, is in docs/codabench.md.
"""
