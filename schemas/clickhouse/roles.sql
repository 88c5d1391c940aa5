-- Roles of turnwatch, rendered by `turnwatch render` from schemas/roles.py. Apply it in turnwatch's database, and
-- again after every migration; docs/security.md shows how, and how users get a role.

-- Who lands rows? Workers. They read nothing, and change no table.
CREATE ROLE IF NOT EXISTS turnwatch_writer;
GRANT INSERT ON traffic_10s TO turnwatch_writer;
GRANT INSERT ON stage_latency_10s TO turnwatch_writer;
GRANT INSERT ON concurrency_10s TO turnwatch_writer;
GRANT INSERT ON heartbeats_10s TO turnwatch_writer;
GRANT INSERT ON duplex_events_10s TO turnwatch_writer;
GRANT INSERT ON burn_rate_10s TO turnwatch_writer;
GRANT INSERT ON traffic_1m TO turnwatch_writer;
GRANT INSERT ON stage_latency_1m TO turnwatch_writer;
GRANT INSERT ON concurrency_1m TO turnwatch_writer;
GRANT INSERT ON heartbeats_1m TO turnwatch_writer;
GRANT INSERT ON duplex_events_1m TO turnwatch_writer;
GRANT INSERT ON burn_rate_1m TO turnwatch_writer;
GRANT INSERT ON turns_late TO turnwatch_writer;
GRANT INSERT ON stages_late TO turnwatch_writer;
GRANT INSERT ON streams_late TO turnwatch_writer;
GRANT INSERT ON heartbeats_late TO turnwatch_writer;
GRANT INSERT ON duplex_late TO turnwatch_writer;
GRANT INSERT ON outcomes_late TO turnwatch_writer;
GRANT INSERT ON queues_late TO turnwatch_writer;
GRANT INSERT ON quality_late TO turnwatch_writer;
GRANT INSERT ON costs_late TO turnwatch_writer;
GRANT INSERT ON releases_late TO turnwatch_writer;
GRANT INSERT ON privacy_late TO turnwatch_writer;
GRANT INSERT ON burn_windows TO turnwatch_writer;
GRANT INSERT ON pages TO turnwatch_writer;
GRANT INSERT ON exclusions TO turnwatch_writer;
GRANT INSERT ON objectives TO turnwatch_writer;

-- Who asks? Boards and analysts. They write nothing, and one question cannot take the whole server.
CREATE ROLE IF NOT EXISTS turnwatch_reader SETTINGS readonly = 2, max_execution_time = 300, max_memory_usage = 8000000000;
GRANT SELECT ON traffic_10s TO turnwatch_reader;
GRANT SELECT ON stage_latency_10s TO turnwatch_reader;
GRANT SELECT ON concurrency_10s TO turnwatch_reader;
GRANT SELECT ON heartbeats_10s TO turnwatch_reader;
GRANT SELECT ON duplex_events_10s TO turnwatch_reader;
GRANT SELECT ON burn_rate_10s TO turnwatch_reader;
GRANT SELECT ON traffic_1m TO turnwatch_reader;
GRANT SELECT ON stage_latency_1m TO turnwatch_reader;
GRANT SELECT ON concurrency_1m TO turnwatch_reader;
GRANT SELECT ON heartbeats_1m TO turnwatch_reader;
GRANT SELECT ON duplex_events_1m TO turnwatch_reader;
GRANT SELECT ON burn_rate_1m TO turnwatch_reader;
GRANT SELECT ON turns_late TO turnwatch_reader;
GRANT SELECT ON stages_late TO turnwatch_reader;
GRANT SELECT ON streams_late TO turnwatch_reader;
GRANT SELECT ON heartbeats_late TO turnwatch_reader;
GRANT SELECT ON duplex_late TO turnwatch_reader;
GRANT SELECT ON outcomes_late TO turnwatch_reader;
GRANT SELECT ON queues_late TO turnwatch_reader;
GRANT SELECT ON quality_late TO turnwatch_reader;
GRANT SELECT ON costs_late TO turnwatch_reader;
GRANT SELECT ON releases_late TO turnwatch_reader;
GRANT SELECT ON privacy_late TO turnwatch_reader;
GRANT SELECT ON burn_windows TO turnwatch_reader;
GRANT SELECT ON pages TO turnwatch_reader;
GRANT SELECT ON exclusions TO turnwatch_reader;
GRANT SELECT ON objectives TO turnwatch_reader;
GRANT SELECT ON traffic TO turnwatch_reader;
GRANT SELECT ON burn_rate TO turnwatch_reader;
GRANT SELECT ON concurrency TO turnwatch_reader;
GRANT SELECT ON stage_latency TO turnwatch_reader;
GRANT SELECT ON heartbeats TO turnwatch_reader;
GRANT SELECT ON duplex_events TO turnwatch_reader;
GRANT SELECT ON stage_quantiles TO turnwatch_reader;
GRANT SELECT ON late_producers TO turnwatch_reader;
GRANT SELECT ON budgets TO turnwatch_reader;

-- Who changes tables? `turnwatch prepare`, and nothing that runs all day.
CREATE ROLE IF NOT EXISTS turnwatch_admin;
GRANT CREATE DATABASE, CREATE TABLE, CREATE VIEW, ALTER TABLE, ALTER VIEW, DROP TABLE, DROP VIEW, SELECT, INSERT ON * TO turnwatch_admin;
