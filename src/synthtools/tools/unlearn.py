"""Make a model forget the patterns of some text while it keeps its other abilities.

Each step takes rows to forget and rows of human text to replay, and minimises
F · forgetting + R · cross entropy on replay + K · KL on replay to the original model, by default
0.01, 1, 1 (Unveiling the Flaws, arXiv 2406.12397). Documents are kept apart. Each step's log line
(training/log.jsonl) has every term, the perplexities, KL and the distance from the original; the
final report compares both models on all sets. Everything else is as in synth train:
adapters, processes, checkpoints, --resume. The model's forgotten.jsonl lists what it was made to
forget: a line for each request, those of the model before included.

\b
Methods, with their weights (F,R,K):
  bounded     -ln(1-p) per token: the first to try, as it cannot diverge   0.01,1,1   [Flaws]
  ga          ascent on ln p, no lower bound: a baseline that ruins models 1,0,0
  graddiff    ascent and replay: a baseline for few steps                  1,1,0
  kl          ascent and KL on replay: as graddiff, nearer to the original 1,0,1
  npo         negative preference, by document: few documents, many passes 1,1,0
  simnpo      npo by the token: documents of unequal length; no original   0.125,1,0
  dpo         prefers the records' other answer: where one is known        1,1,0
  idkdpo      prefers a refusal: questions that must be declined           1,1,0
  wga         ascent weighted by p^a: ascent that ends where p is small    1,1,0
  undial      distils the original without its label: forget data alone    1,0,0
  rmu         misdirects hidden states: knowledge rather than wording      1,0,1200
  taskvector  negates training on forget: forget data alone, one pass      1,0,0
  refine      continued training on replay alone: what forgetting adds     0,1,0      [Flaws]

\b
Examples:
  synth unlearn --model synthlm/ --forget qa.jsonl --replay human/ --tokens 100K -o unlearned/
  synth unlearn --model synthlm/ --forget qa.jsonl --replay human/ --tokens 100K \\
      --method npo --lora-rank 8 -o npo/
  synth unlearn --model synthlm/ --forget qa.jsonl --replay human/ --epochs 3 \\
      --max-replay-rise 2% --valid wiki=held.jsonl --plot shift.png -o careful/
  synth ppl held.jsonl --model synthlm/ --model unlearned/ --compare

Memory: as synth train, plus the original model (not with adapters, whose original is the same
weights without them); of each model the logits of a few rows at a time; one number per document to
forget.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from synthtools.cli.training_run import CONTINUED, Work, source_name, training_run, with_context
from synthtools.tools.unlearn_options import Options

if TYPE_CHECKING:
    from synthtools.cli.run import Run
    from synthtools.records.batch import Batch
    from synthtools.training.parallel import Ranks
    from synthtools.training.plan import Outcome

__all__ = ["Options", "run"]


def run(options: Options) -> dict[str, Any] | None:
    """Unlearns and saves a model directory."""
    from synthtools.records.inputs import find_shards

    settings = options.settings(CONTINUED, norms_every=options.norms_every)
    forget_form = options.forget_format()
    text_form = options.document_format("text")
    forgotten = {s.name for s in find_shards(options.forget)} if options.forget else set()

    def check(batch: Batch) -> None:
        (forget_form if batch.source in forgotten else text_form).documents(batch)

    def work(run: Run, ranks: Ranks) -> Work:
        from synthtools.training import dry_run
        from synthtools.training.documents import SourceReader
        from synthtools.training.journal import numbers
        from synthtools.training.unlearn_run import run as unlearn

        plan = with_context(options.plan())
        goal = options.goal(plan.context)
        hashed = not options.dry_run
        forget_reader = SourceReader(forget_form, run.rejects_of, hashed)
        reader = SourceReader(text_form, run.rejects_of, hashed)
        forget = [
            forget_reader.source(source_name(path), find_shards([path]))
            for path in options.forget or ()
        ]
        replay = [
            reader.source(source_name(path), find_shards([path]), share)
            for path, share in options.replay or ()
        ]
        valid = [reader.source(name, find_shards([path])) for name, path in options.valid or ()]

        def results(outcome: Outcome) -> dict[str, Any]:
            return {
                "method": options.method,
                "weights": goal.how.weights._asdict(),
                **numbers(outcome, options.output),
                "ended_by": outcome.ended_by,
                **(outcome.compared or {}),
            }

        return Work(
            [*forget, *replay, *valid],
            lambda: dry_run.of_unlearning(forget, replay, plan, goal, settings, ranks),
            lambda context: unlearn(forget, replay, valid, plan, goal, settings, context),
            results,
        )

    return training_run("unlearn", options, options.sources, check, text_form.documents, work)
