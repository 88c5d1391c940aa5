#!/bin/sh
# Writes .env for docker-compose, with passwords made here and now; an .env that exists is left as it is.
set -eu
cd "$(dirname "$0")/../.."
if [ -e .env ]; then
    echo ".env is there already and stays as it is; remove it to have new passwords made (and the volumes with the old)." >&2
    exit 0
fi
secret() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }
umask 077
cat > .env <<END
CLICKHOUSE_PASSWORD=$(secret)
CLICKHOUSE_READER_PASSWORD=$(secret)
GRAFANA_ADMIN_PASSWORD=$(secret)
END
echo "Wrote .env; Grafana's user is admin, with GRAFANA_ADMIN_PASSWORD from there." >&2
