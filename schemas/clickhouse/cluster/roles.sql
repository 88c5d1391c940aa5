-- Roles of turnwatch on a cluster, rendered by `turnwatch render` from schemas/roles.py. Put the cluster's name for
-- {cluster}, or define that macro; apply it in turnwatch's database, and again after every migration.

-- Who lands rows? Workers. They read nothing, and change no table.
CREATE ROLE IF NOT EXISTS turnwatch_writer ON CLUSTER '{cluster}';
GRANT ON CLUSTER '{cluster}' INSERT ON traffic_10s TO turnwatch_writer;
GRANT ON CLUSTER '{cluster}' INSERT ON traffic_10s_local TO turnwatch_writer;
GRANT ON CLUSTER '{cluster}' INSERT ON concurrency_10s TO turnwatch_writer;
GRANT ON CLUSTER '{cluster}' INSERT ON concurrency_10s_local TO turnwatch_writer;
GRANT ON CLUSTER '{cluster}' INSERT ON stage_latency_10s TO turnwatch_writer;
GRANT ON CLUSTER '{cluster}' INSERT ON stage_latency_10s_local TO turnwatch_writer;
GRANT ON CLUSTER '{cluster}' INSERT ON heartbeats_10s TO turnwatch_writer;
GRANT ON CLUSTER '{cluster}' INSERT ON heartbeats_10s_local TO turnwatch_writer;
GRANT ON CLUSTER '{cluster}' INSERT ON burn_rate_10s TO turnwatch_writer;
GRANT ON CLUSTER '{cluster}' INSERT ON burn_rate_10s_local TO turnwatch_writer;
GRANT ON CLUSTER '{cluster}' INSERT ON traffic_1m TO turnwatch_writer;
GRANT ON CLUSTER '{cluster}' INSERT ON traffic_1m_local TO turnwatch_writer;
GRANT ON CLUSTER '{cluster}' INSERT ON concurrency_1m TO turnwatch_writer;
GRANT ON CLUSTER '{cluster}' INSERT ON concurrency_1m_local TO turnwatch_writer;
GRANT ON CLUSTER '{cluster}' INSERT ON stage_latency_1m TO turnwatch_writer;
GRANT ON CLUSTER '{cluster}' INSERT ON stage_latency_1m_local TO turnwatch_writer;
GRANT ON CLUSTER '{cluster}' INSERT ON heartbeats_1m TO turnwatch_writer;
GRANT ON CLUSTER '{cluster}' INSERT ON heartbeats_1m_local TO turnwatch_writer;
GRANT ON CLUSTER '{cluster}' INSERT ON burn_rate_1m TO turnwatch_writer;
GRANT ON CLUSTER '{cluster}' INSERT ON burn_rate_1m_local TO turnwatch_writer;
GRANT ON CLUSTER '{cluster}' INSERT ON turns_late TO turnwatch_writer;
GRANT ON CLUSTER '{cluster}' INSERT ON turns_late_local TO turnwatch_writer;
GRANT ON CLUSTER '{cluster}' INSERT ON stages_late TO turnwatch_writer;
GRANT ON CLUSTER '{cluster}' INSERT ON stages_late_local TO turnwatch_writer;
GRANT ON CLUSTER '{cluster}' INSERT ON streams_late TO turnwatch_writer;
GRANT ON CLUSTER '{cluster}' INSERT ON streams_late_local TO turnwatch_writer;
GRANT ON CLUSTER '{cluster}' INSERT ON heartbeats_late TO turnwatch_writer;
GRANT ON CLUSTER '{cluster}' INSERT ON heartbeats_late_local TO turnwatch_writer;
GRANT ON CLUSTER '{cluster}' INSERT ON burn_windows TO turnwatch_writer;
GRANT ON CLUSTER '{cluster}' INSERT ON burn_windows_local TO turnwatch_writer;
GRANT ON CLUSTER '{cluster}' INSERT ON pages TO turnwatch_writer;
GRANT ON CLUSTER '{cluster}' INSERT ON pages_local TO turnwatch_writer;

-- Who asks? Boards and analysts. They write nothing, and one question cannot take the whole server.
CREATE ROLE IF NOT EXISTS turnwatch_reader ON CLUSTER '{cluster}' SETTINGS readonly = 2, max_execution_time = 300, max_memory_usage = 8000000000;
GRANT ON CLUSTER '{cluster}' SELECT ON traffic_10s TO turnwatch_reader;
GRANT ON CLUSTER '{cluster}' SELECT ON traffic_10s_local TO turnwatch_reader;
GRANT ON CLUSTER '{cluster}' SELECT ON concurrency_10s TO turnwatch_reader;
GRANT ON CLUSTER '{cluster}' SELECT ON concurrency_10s_local TO turnwatch_reader;
GRANT ON CLUSTER '{cluster}' SELECT ON stage_latency_10s TO turnwatch_reader;
GRANT ON CLUSTER '{cluster}' SELECT ON stage_latency_10s_local TO turnwatch_reader;
GRANT ON CLUSTER '{cluster}' SELECT ON heartbeats_10s TO turnwatch_reader;
GRANT ON CLUSTER '{cluster}' SELECT ON heartbeats_10s_local TO turnwatch_reader;
GRANT ON CLUSTER '{cluster}' SELECT ON burn_rate_10s TO turnwatch_reader;
GRANT ON CLUSTER '{cluster}' SELECT ON burn_rate_10s_local TO turnwatch_reader;
GRANT ON CLUSTER '{cluster}' SELECT ON traffic_1m TO turnwatch_reader;
GRANT ON CLUSTER '{cluster}' SELECT ON traffic_1m_local TO turnwatch_reader;
GRANT ON CLUSTER '{cluster}' SELECT ON concurrency_1m TO turnwatch_reader;
GRANT ON CLUSTER '{cluster}' SELECT ON concurrency_1m_local TO turnwatch_reader;
GRANT ON CLUSTER '{cluster}' SELECT ON stage_latency_1m TO turnwatch_reader;
GRANT ON CLUSTER '{cluster}' SELECT ON stage_latency_1m_local TO turnwatch_reader;
GRANT ON CLUSTER '{cluster}' SELECT ON heartbeats_1m TO turnwatch_reader;
GRANT ON CLUSTER '{cluster}' SELECT ON heartbeats_1m_local TO turnwatch_reader;
GRANT ON CLUSTER '{cluster}' SELECT ON burn_rate_1m TO turnwatch_reader;
GRANT ON CLUSTER '{cluster}' SELECT ON burn_rate_1m_local TO turnwatch_reader;
GRANT ON CLUSTER '{cluster}' SELECT ON turns_late TO turnwatch_reader;
GRANT ON CLUSTER '{cluster}' SELECT ON turns_late_local TO turnwatch_reader;
GRANT ON CLUSTER '{cluster}' SELECT ON stages_late TO turnwatch_reader;
GRANT ON CLUSTER '{cluster}' SELECT ON stages_late_local TO turnwatch_reader;
GRANT ON CLUSTER '{cluster}' SELECT ON streams_late TO turnwatch_reader;
GRANT ON CLUSTER '{cluster}' SELECT ON streams_late_local TO turnwatch_reader;
GRANT ON CLUSTER '{cluster}' SELECT ON heartbeats_late TO turnwatch_reader;
GRANT ON CLUSTER '{cluster}' SELECT ON heartbeats_late_local TO turnwatch_reader;
GRANT ON CLUSTER '{cluster}' SELECT ON burn_windows TO turnwatch_reader;
GRANT ON CLUSTER '{cluster}' SELECT ON burn_windows_local TO turnwatch_reader;
GRANT ON CLUSTER '{cluster}' SELECT ON pages TO turnwatch_reader;
GRANT ON CLUSTER '{cluster}' SELECT ON pages_local TO turnwatch_reader;
GRANT ON CLUSTER '{cluster}' SELECT ON traffic TO turnwatch_reader;
GRANT ON CLUSTER '{cluster}' SELECT ON burn_rate TO turnwatch_reader;
GRANT ON CLUSTER '{cluster}' SELECT ON concurrency TO turnwatch_reader;
GRANT ON CLUSTER '{cluster}' SELECT ON stage_latency TO turnwatch_reader;
GRANT ON CLUSTER '{cluster}' SELECT ON heartbeats TO turnwatch_reader;
GRANT ON CLUSTER '{cluster}' SELECT ON stage_quantiles TO turnwatch_reader;
GRANT ON CLUSTER '{cluster}' SELECT ON late_producers TO turnwatch_reader;

-- Who changes tables? `turnwatch prepare`, and nothing that runs all day.
CREATE ROLE IF NOT EXISTS turnwatch_admin ON CLUSTER '{cluster}';
GRANT ON CLUSTER '{cluster}' CREATE DATABASE, CREATE TABLE, CREATE VIEW, ALTER TABLE, ALTER VIEW, DROP TABLE, DROP VIEW, SELECT, INSERT ON * TO turnwatch_admin;
GRANT ON CLUSTER '{cluster}' CLUSTER, REMOTE ON *.* TO turnwatch_admin;
