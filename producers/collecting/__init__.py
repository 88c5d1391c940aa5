"""The collector as a process: HTTP in, a journal and an outbox on disk, Kafka out; every observation counted once."""
