"""The tools' command lines: one file a tool, its options and its help, and ten lines of glue.

A command file may import ``typer`` and ``console`` at the top; everything that computes is imported
inside the function, so that ``--help`` costs no more than Python itself.
"""
