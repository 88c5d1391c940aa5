"""x"""

import polars as pl

from dashboards.queries import capacity, findings, queues
from tests.board.conftest import Boards

pl.Config.set_tbl_cols(30)
pl.Config.set_tbl_width_chars(300)


def test_x(boards: Boards) -> None:
    for q in (
        queues.DEPTH,
        queues.MEAN_WAIT,
        queues.GROWTH,
        queues.UTILISATION,
        queues.KV_CACHE,
        queues.QUEUES_NOW,
        queues.WORST_NOW,
        capacity.REPLICAS,
        capacity.WARM,
        capacity.LEAST_WARM,
        findings.found("a", ("saturation",), {"depth": findings.NUMBER, "first_queue": findings.TEXT}, "queue"),
    ):
        print(q.name, boards.rows(q.sql, queue=""))
        print(q.name, boards.rows(q.sql, boards.last(86400), queue="").height)
