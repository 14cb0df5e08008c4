#!/usr/bin/env bash
# tests/interop/fetch.sh: brings what Debian's ordinary installation does not give, into build/interop.
#
#   MQTT.js     with npm, in the versions that package-lock.json pins
#   mosquitto   the broker, unpacked and not installed: its package would start a service on port 1883
#
# What is already on the machine is left alone.
set -euo pipefail
cd "$(dirname "$0")/../.."
source tools/setup.sh

into=build/interop

fetch_mqttjs()
{
    local lock=tests/interop/package-lock.json
    # npm writes the second file when it is through.
    cmp -s $lock $into/package-lock.json && [ -e $into/node_modules/.package-lock.json ] && return
    has_commands node npm || need_packages nodejs npm
    cp tests/interop/package.json $lock $into/
    step npm "Fetching MQTT.js" npm --prefix $into ci --ignore-scripts --no-audit --no-fund
}

mkdir -p $into
fetch_broker mosquitto $into
fetch_mqttjs
