"""Colours of annotations in genome browsers and figures, which depend on a number alone."""

import os

# Okabe and Ito 2008, https://jfly.uni-koeln.de/color: told apart with any colour vision.
COLOURS = ((0, 114, 178), (230, 159, 0), (0, 158, 115), (204, 121, 167), (86, 180, 233), (213, 94, 0), (240, 228, 66))
# Of what is in no cluster: noise, and unknown bases.
NO_CLUSTER = {-1: (190, 190, 190), -2: (225, 225, 225)}
# As they are, towards black, and towards white.
_SHADES = (((0, 0, 0), 0.0), ((0, 0, 0), 0.45), ((255, 255, 255), 0.55))


def colour_of(number: int) -> tuple[int, int, int]:
    """Return red, green and blue, 0 to 255, of a cluster or class.

    The first seven are told apart with any colour vision; then they come darker, then lighter, and from number 21 on
    again. Negative numbers are greys.
    """
    if number < 0:
        return NO_CLUSTER[number]
    end, share = _SHADES[number // len(COLOURS) % len(_SHADES)]
    colour = COLOURS[number % len(COLOURS)]
    red, green, blue = (round(own + (to - own) * share) for own, to in zip(colour, end, strict=True))
    return red, green, blue


def track_line(path: str | os.PathLike, name: str) -> str | None:
    """Return the `track` of `write_bed` by which browsers show colours; None for a file with .gz.

    Such a file is looked up by an index, and `tabix -p bed` reads no track line.
    """
    return None if os.fspath(path).endswith(".gz") else f'name="{name}" itemRgb="On"'
