"""From frames to answers: pure operators, the Faust agents that carry them, and the sinks."""
