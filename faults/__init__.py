"""What goes wrong on real machines, done on purpose: each case says what a user sees and whether
anything was lost.

python -m faults                    all of it
python -m faults kills servers      some families
python -m faults surroundings/fifo  one case

A folder of its own beside ``benchmarks``, for the same reason: it is a command with a result that
people read, takes long, and needs root for some of it. Its quick part is run by ``tests/test_faults.py``.

    cases.py         what a case is, how it is run and told
    surroundings.py  the machine: disks, permissions, memory, pipes, signals, clocks, names
    fuzzing.py       readers given bytes that nobody wrote: by Hypothesis and by atheris
    hostile.py       models, records and prompts that mean harm; pip-audit
    servers.py       servers that die, dawdle and lie
    kills.py         SIGKILL at moments of chance, and ``--resume``
"""
