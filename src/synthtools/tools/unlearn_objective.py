"""What ``synth unlearn`` minimises, as options."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from synthtools.cli.parameters import Group, option
from synthtools.errors import UsageError

if TYPE_CHECKING:
    from synthtools.training.unlearn_methods import UnlearnLoss


@dataclass(frozen=True)
class UnlearnObjective(Group):
    """The method, the weights of its terms and its numbers."""

    group = "Method"
    method: Literal["bounded", "ga", "graddiff", "kl", "npo", "simnpo", "wga", "refine"] = option(
        "bounded", help="How to forget; see Methods above."
    )
    weights: list[float] | None = option(
        None,
        metavar="F,R,K",
        commas=True,
        min=0,
        help="Weights of forgetting, of cross entropy on replay, of KL on replay (default: the "
        "method's).",
    )
    beta: float | None = option(
        None, metavar="B", min=1e-6, help="β of npo (0.1) and simnpo (4.5), α of wga (1)."
    )
    margin: float = option(0.0, metavar="G", min=0, help="γ of simnpo.")
    kl_direction: Literal["forward", "reverse"] = option(
        "forward", help="KL(original ‖ current), or KL(current ‖ original) [direction: ours]."
    )
    reference: str | None = option(
        None,
        metavar="MODEL",
        help="The original model for KL, npo and the report (default: the model before "
        "unlearning).",
    )

    def loss(self) -> UnlearnLoss:
        """The method with its numbers settled.

        Raises:
            UsageError: a number does not go with it.
        """
        from synthtools.training.unlearn_methods import Weights, unlearn_loss

        if self.weights is not None and len(self.weights) != 3:
            raise UsageError("--weights: write three numbers, none below 0: 0.01,1,1")
        weights = None if self.weights is None else Weights(*self.weights)
        reverse = self.kl_direction == "reverse"
        try:
            return unlearn_loss(self.method, weights, self.beta, self.margin, reverse)
        except ValueError as error:
            raise UsageError(f"--{error}") from error
