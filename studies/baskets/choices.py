"""Which answer to a question does a model find likeliest? The answers of all writers to each question, cut to equal lengths.

    choices.py ANSWERS WRITER [WORDS]

ANSWERS holds prompt, response and model; WRITER's answer is the right one. Questions that a writer has not answered, or in fewer words
than WORDS, are left out.
"""

import json
import sys


def main(path, writer, words="60"):
    with open(path) as file:
        records = [json.loads(line) for line in file]
    writers = sorted({record["model"] for record in records})
    answers = {}
    for record in records:
        cut = record["response"].split()[: int(words)]
        if len(cut) == int(words):
            answers.setdefault(record["prompt"], {})[record["model"]] = " ".join(cut)
    for number, (prompt, by) in enumerate(answers.items()):
        if len(by) == len(writers):
            choices = [by[name] for name in writers]
            print(
                json.dumps(
                    {
                        "id": str(number),
                        "prompt": prompt,
                        "choices": choices,
                        "answer": writers.index(writer),
                    }
                )
            )


main(*sys.argv[1:])
