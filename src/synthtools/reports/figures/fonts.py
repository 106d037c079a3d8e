"""Fonts that have the letters of a figure's names."""

from __future__ import annotations

import unicodedata

_ORDINARY = "DejaVu Sans"
# Has a box for every character.
_LAST_RESORT = "Last Resort"


def families(text: str) -> tuple[list[str], str]:
    """Font families of this machine that together have the characters of a text.

    Returns:
        The families, matplotlib's own first; the characters that none has, in order.
    """
    from matplotlib import font_manager

    manager = font_manager.fontManager
    names = [_ORDINARY]
    missing = {c for c in text if not _is_invisible(c)}
    missing -= _held(font_manager.findfont(_ORDINARY), missing)
    if missing:
        # Fonts that were installed since matplotlib made its list are not in it.
        known = {font.fname for font in manager.ttflist}
        for path in sorted(set(font_manager.findSystemFonts()) - known):
            try:
                manager.addfont(path)
            except (OSError, RuntimeError):
                continue  # not a font that FreeType reads
        upright = [font for font in manager.ttflist if font.style == "normal"]
        upright.sort(key=lambda font: (font.weight != 400, font.name, font.fname))
        for font in upright:
            if font.name.startswith(_LAST_RESORT) or font.name in names:
                continue
            held = _held(font.fname, missing)
            if held:
                names.append(font.name)
                missing -= held
            if not missing:
                break
    return names, "".join(sorted(missing))


def packages(missing: str) -> str:
    """The Debian packages of fonts that have such characters."""
    return " ".join(sorted({_package(character) for character in missing}))


def _held(path: str, characters: set[str]) -> set[str]:
    from matplotlib.ft2font import FT2Font

    try:
        held = FT2Font(path).get_charmap()
    except (OSError, RuntimeError):
        return set()
    return {character for character in characters if ord(character) in held}


def _package(character: str) -> str:
    name = unicodedata.name(character, "")
    if name.startswith(("CJK", "HIRAGANA", "KATAKANA", "HANGUL", "BOPOMOFO", "IDEO", "FULLWIDTH")):
        return "fonts-noto-cjk"
    return "fonts-symbola" if unicodedata.category(character) == "So" else "fonts-noto-core"


def _is_invisible(character: str) -> bool:
    """Whether nothing is drawn for it: format characters and the selectors of a variant."""
    return unicodedata.category(character) in ("Cc", "Cf") or "\ufe00" <= character <= "\ufe0f"
