"""Units of quantities and their names in six languages: shares, money, time, length, mass and storage.

A unit belongs to a family and has a factor to the family's own unit; quantities of one family can be compared. Every
currency is a family of its own, for rates change. Months and years are apart from days, and so are working days.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

__all__ = ["Unit", "tolerance_of", "unit_after", "unit_before", "unit_of"]


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit: its family and how many of the family's own unit it is."""

    family: str
    factor: float


_NAMES: dict[tuple[str, float], str] = {
    ("share", 0.01): "% ％ percent per_cent pct prozent pour_cent por_ciento por_cento per_cento 百分",
    ("share", 0.0001): "bp bps basis_point basis_points basispunkt basispunkte",
    ("share", 0.001): "‰ per_mille promille",
    ("share", 1.0): "fraction",
    ("time", 0.001): "ms millisecond milliseconds millisekunde millisekunden milliseconde millisecondes milisegundo"
    " milisegundos millisecondo millisecondi",
    ("time", 1.0): "s sec secs second seconds sekunde sekunden seconde secondes segundo segundos secondo secondi 秒",
    ("time", 60.0): "min mins minute minutes minuten minuto minutos minuti 分钟 分",
    ("time", 3_600.0): "h hr hrs hour hours stunde stunden heure heures hora horas ora ore 小时 時間",
    ("time", 86_400.0): "d day days tag tage tagen jour jours día días dia dias giorno giorni calendar_day"
    " calendar_days kalendertag kalendertage kalendertagen 天 日",
    ("time", 604_800.0): "week weeks woche wochen semaine semaines semana semanas settimana settimane 周 週間",
    ("working days", 1.0): "working_day working_days business_day business_days werktag werktage werktagen arbeitstag"
    " arbeitstage arbeitstagen jour_ouvrable jours_ouvrables jour_ouvré jours_ouvrés día_hábil días_hábiles"
    " día_laborable días_laborables giorno_lavorativo giorni_lavorativi dia_útil dias_úteis 工作日 営業日",
    ("months", 1.0): "month months monat monate monaten mois mes meses mese mesi mês 个月 か月",
    ("months", 12.0): "year years yr yrs jahr jahre jahren an ans année années año años anno anni ano anos 年",
    ("length", 0.001): "mm millimetre millimetres millimeter millimeters",
    ("length", 0.01): "cm centimetre centimetres centimeter centimeters zentimeter centimètre centimètres centímetro"
    " centímetros centimetro centimetri",
    ("length", 1.0): "m metre metres meter meters metern mètre mètres metro metros metri",
    ("length", 1_000.0): "km kilometre kilometres kilometer kilometers kilometern kilomètre kilomètres kilómetro"
    " kilómetros chilometro chilometri quilômetro quilômetros",
    ("length", 0.0254): "inch inches zoll",
    ("length", 0.3048): "ft foot feet",
    ("length", 0.9144): "yd yard yards",
    ("length", 1_609.344): "mi mile miles",
    ("mass", 1e-6): "mg milligram milligrams milligramm",
    ("mass", 0.001): "g gram grams gramme grammes gramm gramo gramos grammo grammi grama gramas",
    ("mass", 1.0): "kg kilogram kilograms kilogramm kilogramme kilogrammes kilogramo kilogramos chilogrammo"
    " chilogrammi quilograma quilogramas kilo kilos 公斤",
    ("mass", 1_000.0): "t tonne tonnes tonnen tonelada toneladas tonnellata tonnellate",
    ("mass", 0.028349523125): "oz ounce ounces",
    ("mass", 0.45359237): "lb lbs",
    ("storage", 1.0): "B byte bytes octet octets",
    ("storage", 1e3): "kB KB kilobyte kilobytes ko Ko",
    ("storage", 1e6): "MB megabyte megabytes Mo",
    ("storage", 1e9): "GB gigabyte gigabytes Go",
    ("storage", 1e12): "TB terabyte terabytes To",
    ("storage", 1_024.0): "KiB kibibyte kibibytes",
    ("storage", 1_024.0**2): "MiB mebibyte mebibytes",
    ("storage", 1_024.0**3): "GiB gibibyte gibibytes",
    ("storage", 1_024.0**4): "TiB tebibyte tebibytes",
    ("EUR", 1.0): "€ EUR euro euros",
    ("USD", 1.0): "$ US$ USD dollar dollars dólar dólares dollari",
    ("GBP", 1.0): "£ GBP pounds pound_sterling pounds_sterling",
    ("JPY", 1.0): "¥ JPY yen 円",
    ("CNY", 1.0): "CNY RMB yuan 元",
    ("CHF", 1.0): "CHF Franken francs_suisses",
    ("CAD", 1.0): "C$ CAD",
    ("AUD", 1.0): "A$ AUD",
    ("BRL", 1.0): "R$ BRL reais",
    ("INR", 1.0): "₹ INR rupees",
    ("SEK", 1.0): "SEK",
    ("NOK", 1.0): "NOK",
    ("DKK", 1.0): "DKK",
    ("PLN", 1.0): "zł PLN",
    ("CZK", 1.0): "Kč CZK",
}
_SHORT = "mm cm m km ft yd mi mg g kg t oz lb lbs ms s min h d B kB KB ko Ko MB Mo GB Go TB To"
_SYMBOLS = frozenset(_SHORT.split())
"""Short names that count as they are written only: ``M`` is no metre and ``To`` no byte at the start of a sentence."""


@cache
def _units() -> dict[str, Unit]:
    found: dict[str, Unit] = {}
    for (family, factor), names in _NAMES.items():
        for name in names.split():
            unit = Unit(family, factor)
            found[name.replace("_", " ")] = unit
            if name not in _SYMBOLS:
                found.setdefault(name.replace("_", " ").casefold(), unit)
    return found


def unit_of(name: str) -> Unit | None:
    """The unit of a name, whatever its case where it is no symbol; None for a name that is none."""
    lower = name.casefold()
    return _units().get(name) or (None if lower in _SYMBOLS else _units().get(lower))


@cache
def _after() -> re.Pattern[str]:
    """A name behind a number; ASCII names must end there."""
    return re.compile(r"[ \u00a0\u202f]?(?:" + "|".join(_alternatives(_units())) + r")", re.IGNORECASE)


def _alternatives(names: dict[str, Unit]) -> Iterator[str]:
    for name in sorted(names, key=len, reverse=True):
        ends = name[-1].isalpha() and name[-1] < "\u3000"
        yield re.escape(name).replace(r"\ ", r"[ \u00a0]") + (r"(?![^\W\d_])" if ends else "")


_BEFORE = re.compile(
    r"(?<![A-Za-z])(US\$|C\$|A\$|R\$|[€$£¥₹]|EUR|USD|GBP|JPY|CNY|RMB|CHF|CAD|AUD|BRL|INR|SEK|NOK|DKK|PLN|CZK)"
    r"[ \u00a0]?$"
)


def unit_after(text: str, place: int) -> tuple[Unit | None, int]:
    """The unit that is named from a place in a text on, and where its name ends; None and the place without one."""
    match = _after().match(text, place)
    if match is None:
        return None, place
    unit = unit_of(match.group().strip(" \u00a0\u202f").replace("\u00a0", " "))
    return (unit, match.end()) if unit else (None, place)


def unit_before(text: str, place: int) -> Unit | None:
    """The currency that is named just before a place in a text."""
    match = _BEFORE.search(text[max(0, place - 5) : place])
    return unit_of(match.group(1)) if match else None


def tolerance_of(given: Any) -> tuple[float, float] | None:
    """How far a number may be off, absolutely and as a share of it: ``0.01`` or ``"1%"``; None where it is neither."""
    relative = isinstance(given, str) and given.strip().endswith("%")
    if relative:
        try:
            given = float(given.strip().removesuffix("%")) / 100
        except ValueError:
            return None
    if isinstance(given, bool) or not isinstance(given, (int, float)) or not math.isfinite(given) or given < 0:
        return None
    return (0.0, float(given)) if relative else (float(given), 0.0)
