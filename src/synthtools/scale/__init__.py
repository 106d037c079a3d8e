"""Running work in threads or on a Ray cluster; independent of records and models.

This folder is the interface to Ray: tasks and actors in a bounded window, with results in order. Work is
passed as a function; Ray places it, transfers its results and restarts it when a node is lost.

- ``threads``: a function over items in threads, results in order
- ``prefetch``: items computed ahead in another thread
- ``ray_cluster``: connecting to a cluster; tasks in a bounded window, results in order
- ``ray_worker``: code that runs on the cluster's nodes
- ``actor_pool``: actors that each hold a model, with load balancing
- ``orphans``: ends processes that a local Ray or an engine leaves behind when its parent is killed
"""
