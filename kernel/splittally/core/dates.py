"""Dates in integers alone: days since 1970-01-01 and what they are in the proleptic Gregorian calendar.

Rule 1. A day of a month that the month does not have is its last: the 31st of April is the 30th.
Rule 2. A time as text is for reading. Nothing is decided by a text.
"""

from functools import lru_cache

SECOND_NS, DAY_S = 10**9, 86_400
ERA_DAYS = 146_097  # of 400 years


def shown_time(now_ns: int) -> str:
    """A time such as `2026-03-03T00:00:00Z`, with what is left of a second where something is."""
    seconds, rest = divmod(now_ns, SECOND_NS)
    days, second = divmod(seconds, DAY_S)
    year, month, day = civil(days)
    fraction = f".{rest:09d}".rstrip("0") if rest else ""
    clock = f"{second // 3600:02d}:{second // 60 % 60:02d}:{second % 60:02d}{fraction}"
    return f"{year:04d}-{month:02d}-{day:02d}T{clock}Z"


def civil(days: int) -> tuple[int, int, int]:
    """Year, month and day of the day that is so many after 1970-01-01 (proleptic Gregorian)."""
    era, day_of_era = divmod(days + 719_468, ERA_DAYS)
    year_of_era = (day_of_era - day_of_era // 1460 + day_of_era // 36_524 - day_of_era // 146_096) // 365
    day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    shifted = (5 * day_of_year + 2) // 153  # March is 0
    month = shifted + (3 if shifted < 10 else -9)
    return year_of_era + era * 400 + (month <= 2), month, day_of_year - (153 * shifted + 2) // 5 + 1


def day_number(year: int, month: int, day: int = 1) -> int:
    """Days from 1970-01-01 to a date."""
    return _first_of(year, month) + min(day, month_days(year, month)) - 1


def year_and_month(days: int) -> tuple[int, int]:
    """The year and the month that hold a day."""
    year, month, _ = civil(days)
    return year, month


def is_leap(year: int) -> bool:
    """Whether a year has 366 days."""
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)


@lru_cache(maxsize=4096)
def month_days(year: int, month: int) -> int:
    """How many days a month has."""
    year_after, month_after = (year + 1, 1) if month == 12 else (year, month + 1)
    return _first_of(year_after, month_after) - _first_of(year, month)


def _first_of(year: int, month: int) -> int:
    year -= month <= 2
    era = year // 400
    year_of_era = year - era * 400
    day_of_year = (153 * (month + (-3 if month > 2 else 9)) + 2) // 5
    day_of_era = year_of_era * 365 + year_of_era // 4 - year_of_era // 100 + day_of_year
    return era * ERA_DAYS + day_of_era - 719_468
