"""Units of measurement: which words name the same one, and how they convert.

A unit is a dimension and a factor to its base: 5 km, 5 kilometres and 5,000 m are one length. Factors
are exact by definition (SI; the international yard and pound of 1959).
"""

from __future__ import annotations

from functools import cache

Unit = tuple[str, float]

_DIMENSIONS = {
    "length": """
        m metre metres meter meters = 1
        km kms kilometre kilometres kilometer kilometers = 1e3
        cm centimetre centimetres centimeter centimeters = 1e-2
        mm millimetre millimetres millimeter millimeters = 1e-3
        nm nanometre nanometres nanometer nanometers = 1e-9
        inch inches = 0.0254
        ft foot feet = 0.3048
        yd yds yard yards = 0.9144
        mi mile miles = 1609.344""",
    "mass": """
        g gram grams gramme grammes = 1
        kg kgs kilo kilos kilogram kilograms kilogramme kilogrammes = 1e3
        mg milligram milligrams = 1e-3
        t ton tons tonne tonnes = 1e6
        lb lbs = 453.59237
        oz ounce ounces = 28.349523125""",
    "volume": """
        l litre litres liter liters = 1
        ml millilitre millilitres milliliter milliliters = 1e-3
        gal gallon gallons = 3.785411784""",
    "area": """
        m2 sqm = 1
        km2 sqkm = 1e6
        ha hectare hectares = 1e4
        acre acres = 4046.8564224
        sqft = 0.09290304
        mi2 sqmi = 2589988.110336""",
    "time": """
        s sec secs second seconds = 1
        ms millisecond milliseconds = 1e-3
        min mins minute minutes = 60
        h hr hrs hour hours = 3600
        day days = 86400
        week weeks = 604800""",
    "calendar": "month months = 1 | yr yrs year years = 12 | decade decades = 120",
    "speed": "kmh kph = 1 | mph = 1.609344 | mps = 3.6",
    "temperature, Celsius": "degc celsius centigrade = 1",
    "temperature, Fahrenheit": "degf fahrenheit = 1",
    "degrees": "deg degree degrees = 1",
    "power": "w watt watts = 1 | kw kilowatt kilowatts = 1e3 | mw megawatt megawatts = 1e6",
    "frequency": "hz hertz = 1 | khz kilohertz = 1e3 | mhz megahertz = 1e6 | ghz gigahertz = 1e9",
    "data": "kb kilobyte kilobytes = 1e3 | mb megabyte megabytes = 1e6 | gb gigabyte gigabytes = 1e9 "
    "| tb terabyte terabytes = 1e12",
    "percent": "pct percent = 1",
    "dollars": "usd dollar dollars = 1 | cents cent = 0.01",
    "euros": "eur euro euros = 1",
    "pounds": "gbp pound pounds = 1",
    "yen": "jpy yen = 1",
}  # fmt: skip
_DEGREES = "degrees"


@cache
def _units() -> dict[str, Unit]:
    found: dict[str, Unit] = {}
    for dimension, lines in _DIMENSIONS.items():
        for line in lines.replace("|", "\n").strip().splitlines():
            names, factor = line.split("=")
            found.update((name, (dimension, float(factor))) for name in names.split())
    return found


def unit(word: str) -> Unit | None:
    """The unit that a lower-case word names; None if it is none."""
    return _units().get(word)


def same_quantity(value: float, left: Unit | None, other: float, right: Unit | None) -> bool:
    """Whether two numbers with their units are the same; a number without a unit may be of any."""
    if left is not None and right is not None:
        if left[0] == right[0]:
            value, other = value * left[1], other * right[1]
        elif not (_DEGREES in (left[0], right[0]) and "temperature" in left[0] + right[0]):
            return False
    return abs(value - other) <= 1e-9 * max(abs(value), abs(other))
