"""The machine: what goes wrong around a tool that is sound.

disks.py    disks that are full or read-only, limits on files, permissions
inputs.py   inputs that vanish or change while they are read
memory.py   memory that does not suffice
streams.py  stdin, stdout, pipes
signals.py  a run that is told to end
clocks.py   clocks that jump, files of odd times
names.py    links and names
"""
