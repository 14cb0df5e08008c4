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

has_commands() { [ "$(type -P "$@" | wc -l)" -eq $# ]; }

fetch_mqttjs()
{
    local lock=tests/interop/package-lock.json
    # npm writes the second file when it is through.
    cmp -s $lock $into/package-lock.json && [ -e $into/node_modules/.package-lock.json ] && return
    has_commands node npm || need_packages nodejs npm
    cp tests/interop/package.json $lock $into/
    step npm "Fetching MQTT.js" npm --prefix $into ci --ignore-scripts --no-audit --no-fund
}

unpack_mosquitto()
(
    folder=$(mktemp -d)
    trap 'rm -rf "$folder"' EXIT
    chmod 755 "$folder" # apt fetches as a user of its own
    cd "$folder"
    apt-get download mosquitto
    apt_install satisfy "$(dpkg-deb -f mosquitto_*.deb Depends)"
    dpkg-deb -x mosquitto_*.deb unpacked
    cd "$OLDPWD"
    cp -a "$folder/unpacked" $into/mosquitto
)

fetch_mosquitto()
{
    PATH=$PATH:/usr/sbin command -v mosquitto >/dev/null && return
    [ -x $into/mosquitto/usr/sbin/mosquitto ] && return
    may_install || die "the broker mosquitto is missing, and so is the right to install its libraries"
    step mosquitto "Unpacking the broker mosquitto" unpack_mosquitto
}

mkdir -p $into
fetch_mosquitto
fetch_mqttjs
