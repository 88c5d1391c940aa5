"""Backtest: what would an objective have paged in the past, from ClickHouse or from files?

`sources` read rows and end as a `Series` (one matrix of bad and total turns a source), `engine` judges it as the stream
does, `judgement` compares with what is known to have happened, `report` and `picture` show it. A threshold that nobody
counted is judged twice, with the fewest and the most bad turns that histograms allow (`bounds`).
"""
