"""Shapes of chats and instructions: recognition by fields, and conversion.

A record has the first shape here all of whose fields it has. Its answer is the last message, or the field
beside the prompt.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    from synthtools.records.batch import Batch

Messages = list[dict[str, str]]
ShapeName = Literal[
    "messages",
    "conversations",
    "instruction-output",
    "prompt-completion",
    "prompt-response",
    "question-answer",
]


class Shape(NamedTuple):
    """A format for a chat or an instruction with its answer.

    Attributes:
        fields: required fields, that of the answer last.
        answer: path of the answer.
        known_as: the format's common name, if any.
    """

    fields: tuple[str, ...]
    answer: str
    known_as: str


SHAPES: dict[ShapeName, Shape] = {
    "messages": Shape(("messages",), "messages[-1].content", "OpenAI's chat format"),
    "conversations": Shape(("conversations",), "conversations[-1].value", "ShareGPT"),
    "instruction-output": Shape(("instruction", "output"), "output", "Alpaca"),
    "prompt-completion": Shape(("prompt", "completion"), "completion", ""),
    "prompt-response": Shape(("prompt", "response"), "response", ""),
    "question-answer": Shape(("question", "answer"), "answer", ""),
}
# Further fields of an instruction's prompt, if not empty.
_INPUT = "input"
FIELDS_OF = {
    name: (*shape.fields, *([_INPUT] if name == "instruction-output" else []))
    for name, shape in SHAPES.items()
}
# All fields of all shapes.
FIELDS = tuple(dict.fromkeys(name for fields in FIELDS_OF.values() for name in fields))

_ROLES = {"human": "user", "gpt": "assistant", "chatgpt": "assistant", "model": "assistant"}
_SENDERS = {"user": "human", "assistant": "gpt"}


def shape_of(names: Sequence[str] | Mapping[str, Any]) -> ShapeName | None:
    """The shape of a record with these field names; None if no shape fits."""
    for name, shape in SHAPES.items():
        if all(field in names for field in shape.fields):
            return name
    return None


def recognized(record: Batch | None) -> ShapeName | None:
    """The shape of a batch's first record; None if it has a text field, or no shape fits."""
    names = [] if record is None else record.field_names(0)
    return None if "text" in names else shape_of(names)


def text_path(record: Batch | None) -> str:
    """The path of the text in records like this one."""
    shape = recognized(record)
    return "text" if shape is None else SHAPES[shape].answer


def described(name: ShapeName) -> str:
    """A shape's description for remarks."""
    fields, _, known_as = SHAPES[name]
    return " and ".join(fields) + (f" ({known_as})" if known_as else "")


def conversation(record: Mapping[str, Any], name: ShapeName) -> Any:
    """The messages of a record of this shape, each {role, content}.

    Raises:
        ValueError: the values of the fields do not fit the shape.
    """
    if name == "messages":
        return record["messages"]
    if name == "conversations":
        return _from_turns(record["conversations"])
    prompt, answer = (record[field] for field in SHAPES[name].fields)
    more = record.get(_INPUT) if name == "instruction-output" else None
    if not isinstance(prompt, str) or not isinstance(answer, str) or not _is_text_or_none(more):
        raise ValueError(f"{' and '.join(SHAPES[name].fields)} are not both text")
    if more:
        prompt = f"{prompt}\n\n{more}"
    return [{"role": "user", "content": prompt}, {"role": "assistant", "content": answer}]


def _is_text_or_none(value: Any) -> bool:
    return value is None or isinstance(value, str)


def _from_turns(turns: Any) -> Messages:
    if not isinstance(turns, list) or not turns:
        raise ValueError("conversations is not a list of {from, value}")
    messages = []
    for turn in turns:
        if not isinstance(turn, dict) or not all(
            isinstance(turn.get(key), str) for key in ("from", "value")
        ):
            raise ValueError("conversations is not a list of {from, value} with text in both")
        role = _ROLES.get(turn["from"], turn["from"])
        if role not in ("system", "user", "assistant"):
            raise ValueError(
                f'conversations has a turn from "{role}" (human, gpt and system are read)'
            )
        messages.append({"role": role, "content": turn["value"]})
    return messages


def members_of(messages: Any, name: ShapeName) -> dict[str, Any]:
    """A conversation as the fields of a shape.

    Raises:
        ValueError: not a conversation, or the shape cannot hold it.
    """
    sound = isinstance(messages, list) and all(
        isinstance(m, dict) and isinstance(m.get("role"), str) and isinstance(m.get("content"), str)
        for m in messages
    )
    if not sound or not messages:
        raise ValueError("messages is not a list of {role, content} with text in both")
    if name == "messages":
        return {"messages": messages}
    if name == "conversations":
        turns = [
            {"from": _SENDERS.get(m["role"], m["role"]), "value": m["content"]} for m in messages
        ]
        return {"conversations": turns}
    roles = [message["role"] for message in messages]
    if roles != ["user", "assistant"]:
        raise ValueError(
            f"a conversation of {', '.join(roles)} does not fit into {name}, which holds one user's "
            "message and its answer"
        )
    values = (message["content"] for message in messages)
    return dict(zip(SHAPES[name].fields, values, strict=True))
