#!/usr/bin/env bash
# bench/peers/fetch.sh PEER...: makes or fetches what bench/compare and bench/scaling start.
#
#   chappe       build/release, as ./run makes it
#   relay        build/bench, the floor
#   mosquitto    Debian's packages, unpacked into build/peers and not installed: their services
#   nats-server  would start, and stay
#   aedes        with npm, in the versions that package-lock.json pins, into build/peers
#
# What is already on the machine is left alone.
set -euo pipefail
cd "$(dirname "$0")/../.."
source tools/setup.sh

into=build/peers

make_chappe()
{
    is_up_to_date release && return
    need_packages "${build_packages[@]}"
    build release
}

# With the options of the release, or the floor would be another one.  Only the relay: the micro
# benchmarks beside it take longer to build, and nobody here needs them.
make_relay()
{
    local how=setup
    need_packages "${build_packages[@]}"
    [ ! -e build/bench/build.ninja ] || how=configure
    # shellcheck disable=SC2046 # a list of words
    step setup-bench "Configuring build/bench" \
        meson $how $(build_options release) -Dbenches=true build/bench
    step build-relay "Building the relay" ninja -C build/bench bench/relay
}

fetch_aedes()
{
    local source=bench/peers/aedes
    has_commands node npm || need_packages nodejs npm
    mkdir -p $into/aedes
    cp $source/server.mjs $into/aedes/
    # npm writes the second file when it is through.
    cmp -s $source/package-lock.json $into/aedes/package-lock.json &&
        [ -e $into/aedes/node_modules/.package-lock.json ] && return
    cp $source/package.json $source/package-lock.json $into/aedes/
    step npm "Fetching Aedes" npm --prefix $into/aedes ci --ignore-scripts --no-audit --no-fund
}

mkdir -p $into
for peer; do
    case $peer in
    chappe) make_chappe ;;
    relay) make_relay ;;
    mosquitto | nats-server) fetch_broker "$peer" $into ;;
    aedes) fetch_aedes ;;
    *) die "there is no peer \"$peer\"" ;;
    esac
done
