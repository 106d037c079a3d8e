"""Quick starts: a process that has imported what the tools import, and forks a child for each start.

server: that process; client: what stands for ``synth`` meanwhile; starting: both around a command.
"""
