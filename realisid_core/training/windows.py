"""Windows of a picture's latent round a face.

Most of a picture is background that is soon learnt. A window of half its side costs a quarter and holds the face;
SDXL's crop conditioning tells the model which part of the picture it sees (after Patch Diffusion, Wang et al. 2023).
"""

from collections.abc import Sequence

from ..geometry import LATENT_CELL

ROUND_THE_FACE = 0.5  # of its side: hair and neck, kept in the window where there is room


def place_window(
    box: Sequence[float], cells: Sequence[int], window: int, chance: Sequence[float]
) -> tuple[int, int, int, int]:
    """(top, left, window, window) of a square that holds the face, and as much round it as there is room for.

    Of a face larger than the window it holds some part.

    Args:
        box: the face, (x0, y0, x1, y1) in latent cells.
        cells: (height, width) of the latent.
        window: the square's side.
        chance: two numbers in 0..1, which of the possible places down and across is taken.
    """
    x0, y0, x1, y1 = box
    return _start(y0, y1, cells[0], window, chance[0]), _start(x0, x1, cells[1], window, chance[1]), window, window


def _start(low: float, high: float, cells: int, window: int, chance: float) -> int:
    side = high - low
    room = max(0.0, min(ROUND_THE_FACE * side, (window - side) / 2))
    ends = sorted((high + room - window, low - room))
    first, last = (min(max(end, 0), cells - window) for end in ends)
    return round(first + chance * (last - first))


def window_sizes(sizes: Sequence[int], area: tuple[int, int, int, int]) -> tuple[int, ...]:
    """SDXL's six numbers for this part of a picture that has `sizes` itself."""
    height, width, crop_top, crop_left, *_ = sizes
    top, left, *sides = (value * LATENT_CELL for value in area)
    return height, width, crop_top + top, crop_left + left, *sides
