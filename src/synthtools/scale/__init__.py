"""Where work runs: in threads here, or on a Ray cluster. Knows nothing of records or models.

The glue to Ray is all that is here: tasks and actors, a bounded window of them, results in the order
of the work. What is to be done comes in as a function; Ray itself places it, moves its results and
starts it again when a node is lost.

- ``threads``: a function of each item in threads, results in order
- ``ray_cluster``: connecting to a cluster; tasks in a bounded window, results in order
- ``ray_worker``: what runs on the machines of a cluster
- ``actor_pool``: actors that each hold a model, called as they have room
- ``orphans``: ends what a local Ray or an engine leaves behind when its process is killed
"""
