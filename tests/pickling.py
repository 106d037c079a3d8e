"""A cluster for tests of what goes through one."""

import pickle

import cloudpickle


class Pickling:
    """A cluster as far as data goes: what is sent and what comes back is pickled, in tasks of their
    own; nothing runs at the same time."""

    cpus = 2

    def __init__(self):
        self.moved = 0

    def _back(self, value):
        data = pickle.dumps(value)
        self.moved += len(data)
        return pickle.loads(data)

    def in_order(self, items, function):
        for item in list(items):  # far ahead of the results
            yield self._back(cloudpickle.loads(cloudpickle.dumps(function))(self._back(item)))

    def streams_in_order(self, items, function, ahead):
        for item in items:
            sent = cloudpickle.loads(cloudpickle.dumps(function))(self._back(item))
            yield item, map(self._back, sent)
