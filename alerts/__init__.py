"""From objectives to pages: SLO files, burn-rate policies, the life of an alert, Alertmanager."""
