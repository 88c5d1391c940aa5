"""From what serving hosts observe to frames on Kafka: aggregate, protect, frame, send; with replay and simulation."""
