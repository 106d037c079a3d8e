"""Where work runs: in threads here, or on a Ray cluster. Knows nothing of records or models.

The glue to Ray is all that is here: tasks and actors, a bounded window of them, results in the order
of the work. What is to be done comes in as a function; Ray itself places it, moves its results and
starts it again when a node is lost.
"""
