"""Readers given bytes that nobody wrote: no traceback, no hang, no memory beyond a bound.

damage.py    sound files with changes in places: bytes, or values of JSON
files.py     damaged files for every reader, by Hypothesis and by atheris
bombs.py     small files and streams that are large when read
__main__.py  one reader in a process of its own
"""
