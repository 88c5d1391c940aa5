"""The local stack: a real Kafka broker, the real ClickHouse engine and Alertmanager, on loopback, without root."""
