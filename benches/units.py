"""Formatting of seconds, bytes and rates in the report."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benches.model import Unit

_SCALES: dict[Unit, tuple[tuple[float, str], ...]] = {
    "s": ((1, "s"), (1e-3, "ms"), (1e-6, "µs")),
    "B": ((1e9, "GB"), (1e6, "MB"), (1e3, "KB"), (1, "B")),
    "1/s": ((1, "/s"),),
}


def format_value(value: float, unit: Unit) -> str:
    """Return three significant digits in the largest unit that is not above the value."""
    scales = _SCALES[unit]
    factor, name = next((scale for scale in scales if value >= scale[0]), scales[-1])
    return f"{_digits(value / factor)} {name}"


def _digits(value: float) -> str:
    """Return three significant digits without an exponent."""
    if value >= 100 or value == 0:
        return f"{value:.0f}"
    decimals = 1 if value >= 10 else 2
    while value * 10**decimals < 10 and decimals < 6:
        decimals += 1
    return f"{value:.{decimals}f}"
