"""When a window starts and ends, in integers alone.

Rule 1. Calendar windows start at the world's fixed offset from UTC; weeks start on Monday.
Rule 2. A duration window (`60s`) starts with its first use.
"""

from splittally.core.types import duration_ns

SECOND_NS = 10**9
HOUR_NS = 3600 * SECOND_NS
DAY_NS = 24 * HOUR_NS
_MONTHS = {"month": 1, "quarter": 3, "year": 12}
_MONDAY_DAYS = 4  # 1970-01-05, the first Monday, in days


def window_start(per: str, now_ns: int, offset_ns: int) -> int:
    """The start of the window of kind `per` that holds `now_ns`."""
    local = now_ns + offset_ns
    if per == "hour":
        return local // HOUR_NS * HOUR_NS - offset_ns
    if per == "day":
        return local // DAY_NS * DAY_NS - offset_ns
    if per == "week":
        weeks = (local // DAY_NS - _MONDAY_DAYS) // 7
        return (weeks * 7 + _MONDAY_DAYS) * DAY_NS - offset_ns
    if per == "month":
        year, month = _year_and_month(local // DAY_NS)
        return _days_of_month(year, month) * DAY_NS - offset_ns
    if per in ("quarter", "year"):
        year, month = _year_and_month(local // DAY_NS)
        first = 1 if per == "year" else (month - 1) // 3 * 3 + 1
        return _days_of_month(year, first) * DAY_NS - offset_ns
    return now_ns


def window_end(per: str, start_ns: int, offset_ns: int) -> int:
    """The end of the window that starts at `start_ns`, which is the start of the next."""
    if per == "hour":
        return start_ns + HOUR_NS
    if per == "day":
        return start_ns + DAY_NS
    if per == "week":
        return start_ns + 7 * DAY_NS
    months = _MONTHS.get(per)
    if months:
        year, month = _year_and_month((start_ns + offset_ns) // DAY_NS)
        month += months
        year, month = (year, month) if month <= 12 else (year + 1, month - 12)
        return _days_of_month(year, month) * DAY_NS - offset_ns
    return start_ns + duration_ns(per)


def _days_of_month(year: int, month: int) -> int:
    """Days from 1970-01-01 to the first of the month (proleptic Gregorian)."""
    year -= month <= 2
    era = year // 400
    year_of_era = year - era * 400
    day_of_year = (153 * (month + (-3 if month > 2 else 9)) + 2) // 5
    day_of_era = year_of_era * 365 + year_of_era // 4 - year_of_era // 100 + day_of_year
    return era * 146_097 + day_of_era - 719_468


def _year_and_month(days: int) -> tuple[int, int]:
    days += 719_468
    era = days // 146_097
    day_of_era = days - era * 146_097
    year_of_era = (day_of_era - day_of_era // 1460 + day_of_era // 36_524 - day_of_era // 146_096) // 365
    day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    shifted = (5 * day_of_year + 2) // 153
    month = shifted + (3 if shifted < 10 else -9)
    return year_of_era + era * 400 + (month <= 2), month
