"""What the calendar month (UTC) of the range's end has cost so far, beside its budgets."""

from __future__ import annotations

from decimal import Decimal

from dashboards.queries import Query
from dashboards.queries.constants import listed, literal
from dashboards.queries.spend import CELL
from schemas.slices import EVERYTHING
from schemas.spend_policies import SpendPolicy

_SLICES_MAX = 50


def month(policy: SpendPolicy) -> Query:
    """Everything, each pool, and each slice that has a budget: routes by what they used, wider slices by what was paid for."""
    routes = ", ".join(literal(each.slice) for each in policy.budgets if each.route) or "''"
    return Query(
        "cost_month",
        f"""WITH {_budgets(policy)},
  toStartOfMonth($__toTime, 'UTC') AS month, toDateTime(month, 'UTC') AS began, toDateTime(addMonths(month, 1), 'UTC') AS ends
SELECT spent.slice AS slice, toString(month) AS since, spent.usd AS usd, nullIf(budgets.usd_month, 0) AS budget_usd,
  usd / budget_usd AS share_of_budget,
  dateDiff('second', began, toDateTime($__toTime, 'UTC')) / dateDiff('second', began, ends) AS share_of_month,
  usd / nullIf(share_of_month, 0) AS usd_at_this_pace, pool, route
FROM (
  SELECT told.1 AS slice, told.2 AS pool, told.3 AS route, sum(told.4) / 1e9 AS usd
  FROM (
    SELECT arrayJoin([('{EVERYTHING}', '', '', toFloat64(reserved_nusd)),
      (concat('pool=', pool), toString(pool), '', toFloat64(reserved_nusd)),
      (concat('pool=', pool, ',route=', route), toString(pool), toString(route), toFloat64(used_nusd))]) AS told
    FROM spend_10m FINAL
    WHERE cut = '{",".join(CELL)}' AND bucket_start >= began AND bucket_start < $__toTime)
  WHERE told.3 = '' OR told.1 IN ({routes})
  GROUP BY slice, pool, route) AS spent
LEFT JOIN budgets ON budgets.slice = spent.slice
ORDER BY share_of_budget DESC NULLS LAST, usd DESC, slice
LIMIT {_SLICES_MAX}""",
    )


def _budgets(policy: SpendPolicy) -> str:
    rows = [(each.slice, each.usd_month) for each in policy.budgets]
    return f"budgets AS {listed(('slice', 'usd_month'), rows, ('', Decimal(0)))}"
