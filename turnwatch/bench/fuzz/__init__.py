"""Fuzzing: a million broken frames through the decoders, judged by somebody who shares no code with them.

`specimens` makes sound frames, `mutations` breaks them, `judge` says what is wrong with a frame by the contract's text,
`trial` lets intake decide and compares, `records` does the like for the topics and the state of our own, and `campaign`
runs it all in a process that may die.
"""
