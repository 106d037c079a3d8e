"""The command line of all tools, without algorithms.

- ``app``: the application; exit codes
- ``commands``: a tool's options as a command, its help in sections
- ``tool_descriptions``: tools and options for programs, as JSON
- ``parameters``: an option's names, help, parsing and bounds, from a field of ``Options``
- ``kinds``: kinds of option values that several tools share
- ``options``: shared options, in groups that a tool's ``Options`` inherit
- ``model_options``: shared options for language models
- ``text_shape``: the text field of chats and instructions
- ``quantities``: ``8.4B``, ``512MB``, ``PATH=SHARE``, ``3%``: text to values
- ``run_inputs``: the inputs of a run
- ``run_journal``: the journal of a resumable run
- ``run_progress``: the progress of a run
- ``run_remarks``: the remarks of a run on stderr
- ``run``: one run of a tool: inputs, output, bad records, report, clean-up
- ``training_run``: a run of ``train`` or ``unlearn``: directory, processes, sources
- ``training_progress``: the line of each step, TensorBoard, Weights & Biases
- ``publish``: a report written to a file, plotted, and printed
- ``terminal``: the progress bar, remarks, stdout
- ``interrupts``: Ctrl-C, SIGTERM and SIGHUP
"""


def main() -> None:
    """Runs the command line and exits."""
    from synthtools.cli.app import main as run

    run()
