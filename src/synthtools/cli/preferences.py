"""Preferences of judges as a person reads them at a terminal."""

from __future__ import annotations

from typing import Any

from synthtools.reports.document import number


def preference_lines(section: dict[str, Any]) -> list[str]:
    """What ``--suite self-preference`` found beside its figures: how each judge judged, other judges by
    family of models, agreement."""
    lines = []
    for judge in section.get("judges", []):
        consistent = judge["consistent"]
        lines.append(
            f"  {judge['judge']}: {judge['n']:,} pairs about {judge['items']:,} items, mass on A and B "
            f"{number(judge['mass'], 3)}, first preferred {number(judge['first_preferred'], 3)}, one "
            f"winner in both orders {number(consistent, 3)}"
        )
    told = section.get("judgments")
    if told:
        lines += ["  other judges: mean preference for each family, 95 %"]
        for judge in told["judges"]:
            of = ", ".join(judge["references"])
            lines.append(f"    {judge['judge']} (against {of}): {number(judge['share'], 3)}")
            for family, row in sorted(judge["families"].items(), key=lambda f: -f[1]["share"]):
                ends = row["interval"]
                reach = f" [{number(ends[0], 3)}, {number(ends[1], 3)}]" if ends else ""
                lines.append(
                    f"      {family:<20} {number(row['share'], 3):>6}{reach}  {row['models']} models, "
                    f"{row['n']:,} judgments"
                )
        for row in told["between"]:
            note = "" if row["same_reference"] else ", against different references"
            lines.append(
                f"    {row['left']} and {row['right']}: agree in {number(row['agreement'], 3)} of "
                f"{row['n']:,}{note} (κ {number(row['kappa'], 2)})"
            )
    for one in section.get("agreement", []):
        for row in one["with"]:
            lines.append(
                f"  {one['judge']} agrees with {row['judge']} on {row['family']} in "
                f"{number(row['agreement'], 3)} of {row['n']:,} (κ {number(row['kappa'], 2)})"
            )
    return lines
