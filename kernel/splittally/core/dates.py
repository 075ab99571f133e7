"""Days since 1970-01-01 and the proleptic Gregorian dates that they are, in integers alone.

Rule 1. A day of a month that the month does not have is its last: the 31st of April is the 30th.
"""

from functools import lru_cache

DAY_S = 86_400


def day_number(year: int, month: int, day: int = 1) -> int:
    """Days from 1970-01-01 to a date."""
    return _first_of(year, month) + min(day, month_days(year, month)) - 1


def year_and_month(days: int) -> tuple[int, int]:
    """The year and the month that hold a day."""
    days += 719_468
    era = days // 146_097
    day_of_era = days - era * 146_097
    year_of_era = (day_of_era - day_of_era // 1460 + day_of_era // 36_524 - day_of_era // 146_096) // 365
    day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    shifted = (5 * day_of_year + 2) // 153
    month = shifted + (3 if shifted < 10 else -9)
    return year_of_era + era * 400 + (month <= 2), month


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
    return era * 146_097 + day_of_era - 719_468
