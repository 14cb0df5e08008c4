# shellcheck shell=bash
# tools/check.sh: runs one test program after another, and counts.  Sourced by ./test, after setup.sh.
#
#   check NAME COMMAND...   the command's log is $logs/NAME.log.  What it counted is in the log's last
#                           line "N passed, N failed"; a program that counts nothing is one test.
#   fail NAME TEXT          one failed test, for what could not even start
#
# A command runs in a process group of its own, and nothing of that group outlives it, however it
# ends: after its time is up, after Ctrl-C, after a signal to ./test.

logs=${logs:?setup.sh comes first}
passed_total=0
failed_total=0
running=
check_limit_s=600

report()
{
    local name=$1 passed=$2 failed=$3 seconds=$4
    passed_total=$((passed_total + passed))
    failed_total=$((failed_total + failed))
    printf '%-28s %6d passed, %d failed  %4d s\n' "$name" "$passed" "$failed" "$seconds"
}

show_log() { tail -n 150 "$1" | sed 's/^/    | /'; }

fail()
{
    report "$1" 0 1 0
    echo "    $2"
}

counts_in() { sed -nE 's/^([0-9]+) passed, ([0-9]+) failed.*$/\1 \2/p' "$1" | tail -n 1; }

is_running() { [ -n "$running" ] && kill -0 -- "-$running" 2>/dev/null; }

# First asks, so that the programs can stop what they started; insists after five seconds.
stop_running()
{
    local tries
    is_running || return 0
    kill -TERM -- "-$running" 2>/dev/null
    for ((tries = 0; tries < 50; tries++)); do
        is_running || return 0
        sleep 0.1
    done
    kill -KILL -- "-$running" 2>/dev/null
}

stop_all()
{
    ticker_stop
    stop_running
}

check()
{
    local name=$1 log=$logs/$1.log started=$SECONDS status=0 passed failed
    shift
    mkdir -p "$(dirname "$log")"
    ticker_start "$name" "$log"
    setsid timeout -k 10 "$check_limit_s" "$@" </dev/null >"$log" 2>&1 &
    running=$!
    wait "$running" || status=$?
    ticker_stop
    stop_running
    running=

    [ "$status" -ne 124 ] || echo "stopped after $check_limit_s s" >>"$log"
    read -r passed failed <<<"$(counts_in "$log")"
    if [ -z "$passed" ]; then
        passed=$((status == 0))
        failed=$((status != 0))
    elif [ "$status" -ne 0 ] && [ "$failed" -eq 0 ]; then
        failed=1
    fi
    report "$name" "$passed" "$failed" $((SECONDS - started))
    [ "$failed" -eq 0 ] || show_log "$log"
    [ "$failed" -eq 0 ] || echo "    The whole log: $log"
    [ "$failed" -eq 0 ]
}
