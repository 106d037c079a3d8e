"""The options of ``synth eval`` about who answers and who judges."""

from __future__ import annotations

from dataclasses import dataclass

from synthtools.cli.kinds import FileName, FolderName, ModelId, Name, Positive, Url
from synthtools.cli.model_options import JudgeReplies, Model
from synthtools.cli.parameters import Group, operand, option
from synthtools.errors import UsageError


def domain(text: str) -> tuple[str, str]:
    """``NAME=PATH``, or a path that is its own name. Raises ValueError: one of them is empty."""
    name, equals, path = text.partition("=")
    if not name or (equals and not path):
        raise ValueError("give NAME=PATH")
    return name, path or name


@dataclass(frozen=True)
class EvaluatedModel(Model):
    """Like ``Model``, but named without an option, and some suites need none."""

    model: ModelId | None = operand(  # type: ignore[assignment]
        help="The language model: builtin, smollm2, a directory, a Hub id, or a GGUF file "
        "(FILE.gguf, REPO:FILE.gguf). Pickle weights are never loaded; code from a model's "
        "repository is never run."
    )


@dataclass(frozen=True)
class AnswerFiles(Group):
    """Answers and judgments from files, and what they are compared with."""

    group = "Answers and judges"
    answers: list[FileName] | None = option(
        help="Answers of one or several models as records (prompt, response, model), evaluated "
        "instead of, or beside, a live model's; FastChat, FollowBench and AlpacaEval formats are "
        "read, too. With --suite self-preference the judge compares every pair, in both orders. "
        "Repeatable."
    )
    pairs: FileName | None = option(
        help="Pairwise probabilities of a judge as records, for --suite self-preference."
    )
    judgments: FileName | None = option(
        help="Preferences of other judges as records (judge, prompt_id, model, reference, "
        "preference from 1 to 2), for --suite self-preference: a table of judges and families, and "
        "agreement with them; for --suite alpaca_eval: win rates without a judge (AlpacaEval's "
        "annotations are read too). For --suite mt_bench: FastChat's judgments. Of several judges "
        "(a directory of their files) these two take the mean, as of a panel."
    )
    reference: FileName | None = option(
        help="Answers of one model that others are compared with (--suite alpaca_eval), or "
        "reference answers in FastChat's format (--suite mt_bench)."
    )
    target: Name | None = option(
        help="The model whose texts are the judge's own in --suite self-preference (default: the "
        "one of the judge's name)."
    )
    human: Name = option("human", help="The model name of human text in the records.")
    length_controlled: bool = option(
        False,
        help="Also report the win rates of --suite alpaca_eval that answers of equal length would "
        "have.",
    )
    author_files: FolderName | None = option(
        help="Write answers and judgments here in the formats of the benchmarks' authors: "
        "FastChat's model_answer/ and model_judgment/, FollowBench's api_output/, AlpacaEval's "
        "annotations."
    )


@dataclass(frozen=True)
class AnswersAndJudge(JudgeReplies, AnswerFiles):
    """How a live model answers, and who judges."""

    group = "Answers and judges"
    max_new_tokens: Positive = option(1024, help="Maximum length of an answer, in tokens.")
    temperature: float = option(
        0.0,
        metavar="T",
        min=0,
        help="Sampling temperature of the answers; 0 is greedy decoding [ours].",
    )
    top_p: float = option(
        1.0,
        metavar="P",
        help="Sample answers from the fewest tokens that together have this probability.",
    )
    judge: list[ModelId] | None = option(
        help="The model that judges, in suites with a judge: builtin, a directory, a Hub id, or a "
        "name that --judge-server serves. It runs as the model does (--backend, --server), or on "
        "its own server. Repeatable: several judges are a panel, whose verdict is the mean of theirs "
        "(of choices the majority), where all have one; with their agreement."
    )
    judge_server: list[Url] | None = option(
        help="An OpenAI-compatible server for the judge; of several judges one for all, or one each "
        "in their order."
    )
    show_prompts: bool = option(False, help="Show the prompts of the suites' judges, and exit.")

    def check(self) -> None:
        super().check()
        judges, servers = self.judge or [], self.judge_server or []
        if servers and not judges:
            raise UsageError("--judge-server needs --judge NAME, the model that it serves")
        if len(servers) not in (0, 1, len(judges)):
            raise UsageError(
                f"--judge-server: {len(servers)} servers of {len(judges)} judges; give one for all, or "
                "one for each"
            )
        if twice := [name for name in judges if judges.count(name) > 1]:
            raise UsageError(
                f"--judge {twice[0]}: is named twice; judges of a panel have own names"
            )
