"""What a person at a terminal sees and types, once for all tools.

- ``app``: the tools by name; errors as exit codes
- ``options``, ``model_options``: the options that tools share, in groups
- ``quantities``: ``8.4B`` and ``512MB``
- ``run``: one run of a tool: inputs, output, bad records, progress, report, clean-up
- ``reports``: what made a report; a report as JSON or as a table
- ``terminal``: the progress bar, messages, histograms
- ``recipe``, ``sources``, ``planning``, ``watching``, ``training``: the options and the run of ``synth train``

No algorithm lives here, and nothing here is imported by the folders that hold them.
"""


def main() -> None:
    """Runs the command line and exits."""
    from synthtools.cli.app import main as run

    run()
