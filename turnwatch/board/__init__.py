"""`turnwatch board`: the boards on this machine, without Grafana."""
