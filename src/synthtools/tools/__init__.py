"""One file a tool: its help (the module's docstring), its ``Options``, its checks, its ``run``.

``NAME_options`` and the like hold options that would fill a tool's file; ``training_options`` those of ``train``
and ``unlearn``. What computes is imported inside ``run``, so that ``--help`` costs no more than Python itself.
"""
