"""Questions that a model of a million parameters can answer, made of held-out essays.

    cloze.py topic|order|words ESSAYS PER
    cloze.py question ESSAYS WORDS

Prints PER questions of each essay of twelve or more sentences, of four choices each. Which two sentences stand before this one:
`topic` has those of other essays beside the right ones, `order` others of the same essay. What is scored is the sentence behind the
gap, so that no choice is likelier by itself. `words` asks which of four is the sentence; in the others two neighbouring words have
changed places. `question` asks which of four essays' prompts stands before the first WORDS words of this one (`opening`).
"""

import json
import random
import re
import sys

SENTENCE_END = re.compile(r"(?<=[.!?])\s+")


def sentences(text):
    """Those of 8 to 40 words; without the mark of the gap."""
    parts = SENTENCE_END.split(text.replace("~", " "))
    return [part for part in parts if 8 <= len(part.split()) <= 40]


def swapped(words, place):
    return " ".join([*words[:place], words[place + 1], words[place], *words[place + 2 :]])


def question(kind, parts, others, draw):
    """Prompt, right choice, three wrong ones."""
    place = draw.randrange(2, len(parts))

    def before(essay, at):
        return " ".join(essay[at - 2 : at])

    right, sentence = before(parts, place), parts[place]
    if kind == "topic":
        return (
            f"~ {sentence}",
            right,
            [before(o, draw.randrange(2, len(o))) for o in draw.sample(others, 3)],
        )
    if kind == "order":
        places = [at for at in range(2, len(parts)) if abs(at - place) > 1]
        return f"~ {sentence}", right, [before(parts, at) for at in draw.sample(places, 3)]
    words = sentence.split()
    return right, sentence, [swapped(words, at) for at in draw.sample(range(len(words) - 1), 3)]


def openings(records, words):
    for record in records:
        draw = random.Random(f"question {record['id']}")  # noqa: S311
        right = record["prompt"]
        choices = [right, *draw.sample(sorted({r["prompt"] for r in records} - {right}), 3)]
        draw.shuffle(choices)
        opening = " ".join(record["text"].replace("~", " ").split()[:words])
        asked = {"prompt": f"~ {opening}", "opening": opening, "choices": choices}
        print(json.dumps({"id": record["id"], **asked, "answer": choices.index(right)}))


def main(kind, path, per):
    with open(path) as file:
        records = [json.loads(line) for line in file]
    if kind == "question":
        openings(records, int(per))
        return
    essays = {record["id"]: sentences(record["text"]) for record in records}
    essays = {name: parts for name, parts in essays.items() if len(parts) >= 12}
    for name, parts in essays.items():
        others = [essay for other, essay in essays.items() if other != name]
        for number in range(int(per)):
            draw = random.Random(f"{kind} {name} {number}")  # noqa: S311
            prompt, right, wrong = question(kind, parts, others, draw)
            choices = [right, *wrong]
            draw.shuffle(choices)
            record = {
                "id": f"{name}-{number}",
                "prompt": prompt,
                "choices": choices,
                "answer": choices.index(right),
            }
            print(json.dumps(record))


main(*sys.argv[1:])
