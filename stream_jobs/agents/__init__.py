"""The only place that meets Faust: agents that carry events between Kafka and the operators."""
