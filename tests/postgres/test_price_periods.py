"""Two admins who change the price of one model at the same moment: periods never overlap."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from itertools import pairwise
from threading import Barrier

import pytest
from django.db import IntegrityError, connection

from apps.billing import services
from apps.billing.models import Price
from chatvault.lib import clock
from tests.factories import make_price_book

pytestmark = pytest.mark.django_db(transaction=True)
TIMES = 10


def begin(book, model, number, together, *, by_service):
    together.wait(5)
    start = clock.now() + timedelta(seconds=number)
    try:
        if by_service:
            services.start_price(
                book=book,
                model=model,
                rates={"input_nano": number, "output_nano": 0},
                valid_from=start,
            )
        else:
            Price.objects.create(
                book=book,
                model=model,
                input_nano=number,
                output_nano=0,
                valid_from=start,
                valid_to=start + timedelta(days=1),
            )
    except IntegrityError:
        return "refused"
    finally:
        connection.close()
    return "kept"


@pytest.mark.parametrize("by_service", [True, False], ids=["service", "bare row"])
def test_periods_written_at_once_never_overlap(by_service):
    for turn in range(TIMES):
        book, together = make_price_book(), Barrier(2)
        with ThreadPoolExecutor(2) as threads:
            done = [
                threads.submit(begin, book, f"m{turn}", n, together, by_service=by_service)
                for n in (1, 2)
            ]
            told = sorted(each.result(20) for each in done)
        periods = list(book.prices.order_by("valid_from").values_list("valid_from", "valid_to"))
        assert len(periods) == told.count("kept") >= 1
        assert all(a[1] and a[1] <= b[0] for a, b in pairwise(periods))
        if not by_service:
            assert told == ["kept", "refused"]
