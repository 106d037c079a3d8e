"""``python -m synthtools``: the same as ``synth``."""

from synthtools.cli import main

main()
