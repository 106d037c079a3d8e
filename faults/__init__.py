"""What goes wrong on real machines, done on purpose: each case says what a user sees and whether
anything was lost.

python -m faults                    all of it
python -m faults kills servers      some families
python -m faults surroundings/fifo  one case

A folder of its own beside ``benchmarks``, for the same reason: it is a command with a result that
people read, takes long, and needs root for some of it. Its quick part is run by ``tests/test_faults.py``.

    cases.py       what a case is, how it is run, what it is made of
    command.py     the command line and the table
    tools.py       the tools, with what makes them quick
    surroundings/  the machine: disks, permissions, memory, pipes, signals, clocks, names
    readers/       every reader as a function of bytes
    fuzzing/       readers given bytes that nobody wrote: by Hypothesis and by atheris; bombs
    hostile/       models, records and prompts that mean harm; pip-audit
    servers/       servers that die, dawdle and lie
    kills.py       SIGKILL at random moments, and ``--resume``
"""
