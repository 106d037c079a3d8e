"""A kind of value gives an option its placeholder, parsing and bounds, unless the option has its own."""

from dataclasses import dataclass

import pytest

from synthtools.cli.kinds import Count, FieldName, NgramLength, Positive
from synthtools.cli.parameters import Group, option, parameters, values
from synthtools.errors import UsageError


@dataclass(frozen=True)
class Options(Group):
    field: FieldName | None = option(help="")
    fields: list[FieldName] | None = option(commas=True, help="")
    lengths: list[NgramLength] | None = option(commas=True, help="")
    count: Count = option(5, help="")
    seldom: Positive = option(3, metavar="R", min=3, max=9, help="")


def value(name: str, given: str) -> object:
    return values(parameters(Options), {name: given}, lambda one: one.flag)[name]


def test_what_an_option_leaves_open_comes_from_the_kind() -> None:
    by_name = {one.name: one for one in parameters(Options)}
    placeholders = {name: one.metavar for name, one in by_name.items()}
    assert placeholders == {
        "field": "FIELD",
        "fields": "FIELD,…",
        "lengths": "N,…",
        "count": "N",
        "seldom": "R",
    }
    assert by_name["seldom"].option.bounds == "3 to 9"
    assert (by_name["fields"].type, by_name["fields"].many) == (str, True)


def test_values_are_parsed_and_bounded_by_the_kind() -> None:
    assert value("count", "10K") == 10_000
    assert value("lengths", "1,2") == [1, 2]
    for name, given in (("lengths", "1,101"), ("seldom", "2"), ("count", "0")):
        with pytest.raises(UsageError):
            value(name, given)
