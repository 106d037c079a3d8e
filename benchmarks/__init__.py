"""Benchmarks: each prints a ratio to a peer or a bare ceiling that ran beside it, in turns.

python -m benchmarks              all that this environment can run
python -m benchmarks scoring      one of them
"""
