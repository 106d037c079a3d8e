"""Fonts that have the letters of a figure's names."""

from __future__ import annotations

import unicodedata

_ORDINARY = "DejaVu Sans"
# Has a box for every character.
_LAST_RESORT = "Last Resort"


def families(text: str) -> tuple[list[str], str]:
    """Font families of this machine that together have the characters of a text.

    A script comes out of one font where one has it all: sans serif and regular before others, Han characters
    as Japanese or Korean write them where the text has their letters, else as in mainland China.

    Returns:
        The families, matplotlib's own first; the characters that none has, in order.
    """
    from matplotlib import font_manager

    manager = font_manager.fontManager
    names = [_ORDINARY]
    missing = {c for c in text if not _is_invisible(c)}
    missing -= _held(font_manager.findfont(_ORDINARY), missing)
    lacking: set[str] = set()
    if missing:
        # Fonts that were installed since matplotlib made its list are not in it.
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
                best = max(
                    fonts,
                    key=lambda font: (
                        len(held[font.fname] & left),
                        "Sans" in font.name,
                        "Mono" not in font.name,
                        font.name.endswith(region),
                        font.weight == 400,
                    ),
                )
                if not held[best.fname] & left:
                    lacking |= left
                    missing -= left
                    break
                names.append(best.name)
                missing -= held[best.fname]
    return names, "".join(sorted(lacking))


def left_to_right(line: str) -> str:
    """A line that runs from left to right though it may begin with Arabic or Hebrew, as the names of files and
    what stands behind them do."""
    first = next((d for d in map(unicodedata.bidirectional, line) if d in ("L", "R", "AL")), "L")
    return line if first == "L" else "\u200e" + line


def packages(missing: str) -> str:
    """The Debian packages of fonts that have such characters; none of characters of nobody's."""
    held = [one for one in missing if unicodedata.category(one) not in ("Co", "Cn")]
    return " ".join(sorted({_package(one) for one in held}))


def _held(path: str, characters: set[str]) -> set[str]:
    from matplotlib.ft2font import FT2Font

    try:
        font = FT2Font(path)
    except (OSError, RuntimeError):
        return set()
    return {character for character in characters if font.get_char_index(ord(character))}


def _script(character: str) -> str:
    """The first word of its name: DEVANAGARI, CJK."""
    return unicodedata.name(character, "").split(" ")[0]


def _region(text: str) -> str:
    """How the names of fonts end that write Han characters as this text's language does."""
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
    """Whether nothing is drawn for it: format characters and the selectors of a variant."""
    return unicodedata.category(character) in ("Cc", "Cf") or "\ufe00" <= character <= "\ufe0f"
