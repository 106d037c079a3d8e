"""Styles of the series of a figure: colour, dashes and marks, legend, and fonts."""

from __future__ import annotations

import unicodedata
from typing import Any

from synthtools.reports.document import columns as columns_of
from synthtools.reports.document import cut
from synthtools.reports.figures.chart import Figure, Panel, Series, literal

# Okabe and Ito's colours and five of Tol's, alternating dark and light, each with its own dashes and marks:
# distinguishable without colour and for the colour-blind.
_COLOURS = (
    *("#0072B2", "#E69F00", "#000000", "#56B4E9", "#D55E00", "#009E73"),
    *("#CC79A7", "#332288", "#999933", "#882255", "#8C8C8C", "#661100"),
)
_DASHES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (1.5, 1)), (0, (6, 1.5, 1.5, 1.5)), (0, (3, 1)))
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
_REFERENCE = "0.55"
_NEUTRAL = "0.45"  # of bars that do not belong to a corpus
# Fill of the bars of the first, second … series.
_FILLS = ((0.85, ""), (0.4, "///"), (0.2, "..."), (0.1, "xxx"))
_FEW_POINTS = 30
_MANY_STEPS = 100
CHARACTER = 0.052  # inches, of a name or a legend at 7 points


class Styles:
    """Styles by name: the same in all panels of a figure, and distinct. Corpora come first, in the order in which they
    were named, so that each has the same colour in all figures of a run."""

    def __init__(self, figure: Figure) -> None:
        curves = [
            series.corpus or series.name
            for panel in figure.panels
            for series in panel.series
            if not series.reference and series.form != "named"
        ]
        self._numbers = {
            name: n for n, name in enumerate(dict.fromkeys([*figure.corpora, *curves]))
        }
        self._corpora = frozenset(figure.corpora)
        self._panels = [panel for panel in figure.panels if len(panel.series) > 1]

    def _number(self, series: Series) -> int:
        return self._numbers[series.corpus or series.name]

    def colour(self, series: Series) -> str:
        if series.reference:
            return _REFERENCE
        return _COLOURS[self._number(series) % len(_COLOURS)]

    def marker(self, series: Series) -> str:
        return _MARKERS[self._number(series) % len(_MARKERS)]

    def of_bars(self, panel: Panel, series: Series) -> tuple[list[str], dict[str, Any]]:
        """A colour for each name of the panel, and how this series fills it."""
        alone = series.name in self._corpora
        keys = [series.name if alone else name for name in panel.names]
        of = {key: _COLOURS[self._numbers[key] % len(_COLOURS)] for key in self._corpora}
        colours = [of.get(key, _NEUTRAL) for key in keys]
        place = 0 if alone else panel.series.index(series)
        alpha, hatch = _FILLS[place % len(_FILLS)]
        return colours, {"alpha": alpha, "hatch": hatch}

    def legend(self, width: float) -> list[list[tuple[str, Any]]]:
        """Rows of (name, handle) that fit into ``width`` inches; none with a single series."""
        from matplotlib.lines import Line2D
        from matplotlib.patches import Patch

        handles: dict[str, Any] = {}
        for panel in self._panels:
            for series in panel.series:
                if series.form == "named":
                    colours, fill = self.of_bars(panel, series)
                    colour = colours[0] if series.name in self._corpora else _NEUTRAL
                    handle: Any = Patch(facecolor=colour, edgecolor="white", **fill)
                elif series.form == "pies":
                    handle = Patch(facecolor=self.colour(series))
                elif series.form == "points" or panel.is_map:
                    mark = {"marker": self.marker(series), "linestyle": ""}
                    handle = Line2D([], [], color=self.colour(series), **mark)
                else:
                    handle = Line2D([], [], color=self.colour(series), **self.line(series))
                handles.setdefault(short(series.name), handle)
        if not handles:
            return []
        columns = int(width / (0.6 + CHARACTER * max(map(columns_of, handles))))
        columns = min(max(1, columns), len(handles))
        entries = list(handles.items())
        return [entries[start : start + columns] for start in range(0, len(entries), columns)]

    def line(self, series: Series) -> dict[str, Any]:
        """Dashes and marks of a curve; for a reference, noise behind a curve or a line beside it."""
        few = len(series.x) <= _FEW_POINTS
        if series.reference:
            noise = len(series.x) > _MANY_STEPS
            style = {"linewidth": 0.5, "alpha": 0.7} if noise else {"linewidth": 0.9}
            return {"linestyle": "-" if noise else _DASHES[2], **style}
        marker = self.marker(series) if few and series.form == "line" else None
        dashes = _DASHES[self._number(series) % len(_DASHES)]
        return {"linestyle": dashes, "marker": marker, "markersize": 3}


def short(name: str) -> str:
    return cut(literal(name), 60)


_ORDINARY = "DejaVu Sans"
# A font with a box for every character.
_LAST_RESORT = "Last Resort"


def families(text: str) -> tuple[list[str], str]:
    """Font families of this machine that together cover the characters of a text.

    Each script uses one font if one covers it: sans serif and regular preferred; Han characters in the Japanese or
    Korean form if the text has their letters, otherwise in that of mainland China.

    Returns:
        The families, matplotlib's own first; the characters missing in all, in order.
    """
    from matplotlib import font_manager

    manager = font_manager.fontManager
    names = [_ORDINARY]
    missing = {c for c in text if not _is_invisible(c)}
    missing -= _held(font_manager.findfont(_ORDINARY), missing)
    lacking: set[str] = set()
    if missing:
        # Fonts installed after matplotlib made its list are not in it.
        known = {font.fname for font in manager.ttflist}
        for path in sorted(set(font_manager.findSystemFonts()) - known):
            try:
                manager.addfont(path)
            except (OSError, RuntimeError):
                continue  # not a font that FreeType reads
        held = {path: _held(path, missing) for path in {font.fname for font in manager.ttflist}}
        fonts = [
            font
            for font in sorted(manager.ttflist, key=lambda font: (font.name, font.fname))
            if font.style == "normal" and not font.name.startswith(_LAST_RESORT)
        ]
        region = _region(text)
        for script in sorted(set(map(_script, missing))):
            while left := {c for c in missing if _script(c) == script}:

                def rank(font: Any, left: set[str] = left) -> tuple[int, bool, bool, bool, bool]:
                    name, count = font.name, len(held[font.fname] & left)
                    kind = "Sans" in name, "Mono" not in name, name.endswith(region)
                    return count, *kind, font.weight == 400

                best = max(fonts, key=rank)
                if not held[best.fname] & left:
                    lacking |= left
                    missing -= left
                    break
                names.append(best.name)
                missing -= held[best.fname]
    return names, "".join(sorted(lacking))


def left_to_right(line: str) -> str:
    """A line in left-to-right order even if it begins with Arabic or Hebrew, as names of files may."""
    first = next((d for d in map(unicodedata.bidirectional, line) if d in ("L", "R", "AL")), "L")
    return line if first == "L" else "\u200e" + line


def packages(missing: str) -> str:
    """The Debian packages of fonts with such characters; none for unassigned or private ones."""
    assigned = [one for one in missing if unicodedata.category(one) not in ("Co", "Cn")]
    return " ".join(sorted({_package(one) for one in assigned}))


def _held(path: str, characters: set[str]) -> set[str]:
    from matplotlib.ft2font import FT2Font

    try:
        font = FT2Font(path)
    except (OSError, RuntimeError):
        return set()
    return {character for character in characters if font.get_char_index(ord(character))}


def _script(character: str) -> str:
    """The first word of its Unicode name: DEVANAGARI, CJK."""
    return unicodedata.name(character, "").split(" ")[0]


def _region(text: str) -> str:
    """The suffix of fonts with the Han characters of this text's language."""
    scripts = set(map(_script, text))
    if scripts & {"HIRAGANA", "KATAKANA"}:
        return " JP"
    return " KR" if "HANGUL" in scripts else " SC"


def _package(character: str) -> str:
    name = unicodedata.name(character, "")
    if name.startswith(("CJK", "HIRAGANA", "KATAKANA", "HANGUL", "BOPOMOFO", "IDEO", "FULLWIDTH")):
        return "fonts-noto-cjk"
    symbol = unicodedata.category(character) in ("So", "Sk")
    return "fonts-symbola" if symbol else "fonts-noto-core"


def _is_invisible(character: str) -> bool:
    """Whether it is invisible: format characters and variation selectors."""
    return unicodedata.category(character) in ("Cc", "Cf") or "\ufe00" <= character <= "\ufe0f"
