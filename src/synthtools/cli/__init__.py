"""The command line, once for all tools. No algorithm lives here.

- ``app``: the tools by name; errors as exit codes
- ``commands``: a tool's options as a command, its help in sections
- ``tool_descriptions``: tools and options for programs, as JSON
- ``parameters``: how a field of a tool's options is named, explained, parsed and bounded
- ``options``: the options that tools share, in groups that a tool's ``Options`` inherit
- ``model_options``: the groups of options for language models
- ``text_shape``: the text of chats and instructions
- ``quantities``: ``8.4B``, ``512MB``, ``PATH=SHARE``, ``3%``: text to values
- ``run_inputs``: what a run reads
- ``run_journal``: what a run that may be killed keeps beside its output
- ``run_progress``: what the progress bar of a run shows
- ``run_remarks``: what a run says on stderr
- ``run``: one run of a tool: inputs, output, bad records, report, clean-up
- ``training_run``: a run of ``train`` or ``unlearn``: its directory, its processes, its sources
- ``training_progress``: the line of each step, TensorBoard, Weights & Biases
- ``publish``: a report kept in a file, drawn, shown at a terminal or printed as JSON
- ``terminal``: the progress bar, remarks, stdout
- ``interrupts``: Ctrl-C, SIGTERM and SIGHUP
"""


def main() -> None:
    """Runs the command line and exits."""
    from synthtools.cli.app import main as run

    run()
