"""``python -m synthtools``: the same as ``synth``."""

from synthtools.cli.app import main

main()
