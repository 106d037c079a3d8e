"""Tools as Python functions: ``synthtools.ppl("human.jsonl", summary=True)``.

A function takes what the command line takes, by the same names: inputs first, then options as
keywords. Inputs are paths, or records: an iterable of dicts, or anything with ``__arrow_c_stream__``
(pyarrow, pandas, polars, datasets, DuckDB); of plot, diff and table also reports. A tool that writes records gives them as dicts, one after
the other, unless ``output`` names a place; every other call gives the report. Errors are those of
``synthtools.errors``. Nothing is printed: what the command line would say on stderr goes to the
logger ``synthtools``.
"""

from __future__ import annotations

import importlib
import inspect
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextvars import Context, copy_context
from queue import Queue
from typing import Any

from synthtools.cli import parameters as options
from synthtools.cli import terminal
from synthtools.cli.options import Inputs, checked, claim_outputs
from synthtools.cli.parameters import Parameter
from synthtools.cli.publish import keep
from synthtools.errors import KEYWORDS, OutputClosed, PartialReportError, UsageError

# What belongs to a terminal.
_HIDDEN = ("json_output", "quiet")
_AHEAD = 4  # batches that a tool may be ahead of the consumer of its records


def function(tool: str) -> Callable[..., Any]:
    """The function of a tool.

    Args:
        tool: its name in Python: ``ngram_hash``.
    """
    module = importlib.import_module(f"synthtools.tools.{tool}")
    known = parameters(module)
    operand = next((one for one in known if not one.option.flags), None)

    def call(*inputs: Any, **keywords: Any) -> Any:
        # What is set for the call ends with it.
        return copy_context().run(_call, module, operand, inputs, keywords)

    call.__name__ = call.__qualname__ = tool
    call.__doc__ = inspect.cleandoc(module.__doc__ or "").replace("\b\n", "")
    vars(call)["__signature__"] = signature(known, operand)
    return call


def parameters(module: Any) -> list[Parameter]:
    """What a tool's function takes: inputs first, then options, without what is for terminals."""
    shown = [one for one in options.parameters(module.Options) if one.name not in _HIDDEN]
    return sorted(shown, key=lambda one: bool(one.option.flags))


def signature(known: list[Parameter], operand: Parameter | None) -> inspect.Signature:
    """The signature of a tool's function: inputs by position, options by keyword."""
    signature_parameters = []
    if operand is not None and operand.many:
        signature_parameters.append(
            inspect.Parameter(operand.name, inspect.Parameter.VAR_POSITIONAL)
        )
    elif operand is not None:
        kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
        signature_parameters.append(inspect.Parameter(operand.name, kind, default=operand.default))
    for one in known:
        if one is not operand:
            default = inspect.Parameter.empty if one.required else one.default
            signature_parameters.append(
                inspect.Parameter(one.name, inspect.Parameter.KEYWORD_ONLY, default=default)
            )
    return inspect.Signature(signature_parameters)


def _call(module: Any, operand: Parameter | None, inputs: Any, keywords: dict[str, Any]) -> Any:
    names = {one.name for one in parameters(module)}
    for name in keywords:
        if name not in names:
            raise UsageError(f"{name}: no such option (options: {', '.join(sorted(names))})")
    given = {name: _report(value, name) for name, value in keywords.items()}
    if operand is None and inputs:
        raise UsageError("takes its inputs by keyword, none by position")
    if operand is not None and operand.many:
        alone = getattr(module.Options, "without_inputs", False)
        if not inputs and issubclass(module.Options, Inputs) and not alone:
            raise UsageError(f"{operand.name}: name files or directories, or give records")
        given[operand.name] = _inputs(inputs) if inputs else None
    elif operand is not None and inputs:
        given[operand.name] = os.fspath(inputs[0])
        if len(inputs) > 1:
            raise UsageError(f"{operand.name}: give one, not {len(inputs)}")
    if hasattr(module.Options, "quiet"):
        given["quiet"] = True
    terminal.LOGGED.set(True)
    KEYWORDS.set(True)
    chosen = checked(module.Options, given, _name)
    if not chosen.prints_report() and getattr(chosen, "output", "") is None:
        return _records(module, given, copy_context())
    with claim_outputs(module.Options, given, _name):
        try:
            report = module.run(chosen)
        except PartialReportError as error:
            keep(error.report, chosen)
            raise
        if isinstance(report, dict) and chosen.prints_report():
            keep(report, chosen)
    return report


def _name(one: Parameter) -> str:
    return one.name


def _inputs(inputs: Any) -> list[Any]:
    """Paths as they are, shares as PATH=SHARE, records and reports as such."""
    if len(inputs) == 1 and isinstance(inputs[0], Mapping) and not _is_report(inputs[0]):
        return [f"{path}={share}" for path, share in inputs[0].items()]
    if len(inputs) == 1 and _are_paths(inputs[0]):
        return inputs[0]
    converted: list[Any] = []
    for one in inputs:
        if isinstance(one, str) or hasattr(one, "__fspath__"):
            converted.append(str(one))
        elif _is_report(one):
            converted.append(_report(one, f"report {len(converted) + 1}"))
        else:
            from synthtools.records.memory_input import MemoryRecords

            converted.append(MemoryRecords(one, f"<records {len(converted) + 1}>"))
    return converted


def _report(given: Any, name: str) -> Any:
    """A report as tools read one; any other value as it is."""
    if not _is_report(given):
        return given
    from synthtools.records.memory_input import MemoryRecords

    return MemoryRecords([given], f"<{name}>")


def _is_report(given: Any) -> bool:
    return isinstance(given, Mapping) and isinstance(given.get("kind"), str)


def _are_paths(given: Any) -> bool:
    return isinstance(given, list) and bool(given) and all(isinstance(one, str) for one in given)


def _records(module: Any, given: dict[str, Any], context: Context) -> Iterator[dict[str, Any]]:
    """The records that a tool writes, while it runs beside in a thread of its own."""
    from synthtools.records.sink import RecordSink

    queue: Queue[list[dict[str, Any]] | BaseException | None] = Queue(_AHEAD)
    stopped = threading.Event()
    given = {**given, "output": RecordSink(queue, stopped)}

    def work() -> None:
        end: BaseException | None = None
        try:
            with claim_outputs(module.Options, given, _name):
                module.run(checked(module.Options, given, _name))
        except OutputClosed:
            pass
        except BaseException as error:  # it is raised where the records are taken
            end = error
        if not stopped.is_set():
            queue.put(end)

    thread = threading.Thread(target=context.run, args=(work,), daemon=True)
    thread.start()
    try:
        while isinstance(item := queue.get(), list):
            yield from item
        if item is not None:
            raise item
    finally:
        stopped.set()
        while thread.is_alive():  # it may wait for room
            while not queue.empty():
                queue.get_nowait()
            thread.join(0.02)
