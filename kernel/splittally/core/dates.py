"""Logical time as people read it, in integers alone: a date and a time of day in UTC.

Rule 1. It is for reading. Nothing is decided by a text.
"""

SECOND_NS, DAY_SECONDS = 10**9, 86_400
ERA_DAYS = 146_097  # of 400 years


def shown_time(now_ns: int) -> str:
    """A time such as `2026-03-03T00:00:00Z`, with what is left of a second where something is."""
    seconds, rest = divmod(now_ns, SECOND_NS)
    days, second = divmod(seconds, DAY_SECONDS)
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
