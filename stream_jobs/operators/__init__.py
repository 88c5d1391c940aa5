"""Pure operators: state and an event in, new state and emissions out. No Kafka, no ClickHouse, no clock, no logger."""
