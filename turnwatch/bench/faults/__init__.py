"""`turnwatch bench faults`: the whole flow under a random schedule of faults, reckoned up afterwards.

`schedule` draws what will go wrong and `world` what is true; `sending` and `processes` make it happen to real servers
and real workers; `expectation` and `paging` say what must follow, sharing no code with the operators; `settling` waits
until nobody has anything left to read; `reckoning` compares; `report` shows. `play` runs it all.
"""
