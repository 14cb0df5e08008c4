# shellcheck shell=bash
# tools/setup.sh: what ./run and ./test share.  Sourced from the root of the checkout, never run.
#
#   step NAME TEXT COMMAND...   a long command: quiet, but seen to be alive; its log is $logs/NAME.log
#   need_packages PACKAGE...    Debian packages, installed only where they are missing
#   fetch_broker NAME FOLDER    one of Debian's brokers, unpacked there unless it is on the machine
#   build NAME                  build/NAME, made by meson and ninja; when nothing changed it only looks
#
# All of them talk on stderr, so that `./run sub` keeps stdout to itself.

logs=${logs:-build/logs}

# What it takes to build a release.
# shellcheck disable=SC2034 # its users source this
build_packages=(gcc libc6-dev libmimalloc-dev liburing-dev libxxhash-dev meson ninja-build pkg-config)

say() { printf '%s\n' "$*" >&2; }

die()
{
    say "$(basename "$0"): $*"
    exit 1
}

# One line of a terminal, again and again: what goes on, for how long, and the last line of its log.
# Ends when it is killed, or when the shell that started it is gone.
tick()
{
    local text=$1 log=$2 started=$SECONDS last
    while kill -0 $$ 2>/dev/null; do
        last=$(tail -n 1 "$log" 2>/dev/null | tr -cd '[:print:]' | cut -c 1-50)
        printf '\r\033[K%s  %d s  %s' "$text" $((SECONDS - started)) "$last" >&2
        sleep 0.3
    done
}

ticker=
ticker_start()
{
    if [ -t 2 ]; then
        tick "$@" &
        ticker=$!
    fi
}

ticker_stop()
{
    [ -n "$ticker" ] || return 0
    kill "$ticker" 2>/dev/null || true
    wait "$ticker" 2>/dev/null || true
    ticker=
    printf '\r\033[K' >&2
}

step()
{
    local log=$logs/$1.log text=$2 started=$SECONDS status=0
    shift 2
    mkdir -p "$logs"
    [ -t 2 ] || say "$text ..."
    ticker_start "$text" "$log"
    "$@" </dev/null >"$log" 2>&1 || status=$?
    ticker_stop
    if [ "$status" -ne 0 ]; then
        # Without the compilations that went well.
        grep -vE '^\[[0-9]+/[0-9]+\] ' "$log" | tail -n 60 | sed 's/^/    | /' >&2
        say "$text: failed, see $log"
        return "$status"
    fi
    say "$text: done in $((SECONDS - started)) s"
}

# Which of these packages are not installed?
missing_packages()
{
    local installed package
    # dpkg-query fails when it does not know one of the names: then that one is missing.
    installed=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' "$@" 2>/dev/null || true)
    for package in $(printf '%s\n' "$@" | sort -u); do
        grep -qx "installed $package" <<<"$installed" || printf '%s ' "$package"
    done
}

# as_root COMMAND...: with sudo where that is needed and possible.
as_root()
{
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    else
        sudo -n "$@"
    fi
}

# May we install?  Asks for the password here, where it can be seen, rather than inside a step.
may_install()
{
    [ "$(id -u)" -eq 0 ] && return 0
    command -v sudo >/dev/null || return 1
    if [ -t 0 ]; then
        sudo -v
    else
        sudo -n true 2>/dev/null
    fi
}

apt_install()
{
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -y -q -o DPkg::Lock::Timeout=300 \
        -o Dpkg::Use-Pty=0 --no-install-recommends "$@"
}

need_packages()
{
    local missing
    command -v dpkg-query >/dev/null || return 0 # not Debian: the build says what it lacks
    missing=$(missing_packages "$@")
    missing=${missing% }
    [ -n "$missing" ] || return 0
    if ! may_install; then
        say "$(basename "$0"): these Debian packages are missing: $missing"
        say "As root or with sudo this command installs them itself.  Or let somebody who may do it run"
        say "    apt-get update && apt-get install --no-install-recommends $missing"
        exit 1
    fi
    # An old package list may still do, so the install decides.
    step apt-update "Reading Debian's package lists" as_root apt-get -q update || true
    # shellcheck disable=SC2086 # a list of words
    step apt-install "Installing $missing" apt_install install $missing || exit 1
}

has_commands() { [ "$(type -P "$@" | wc -l)" -eq $# ]; }

unpack() # PACKAGE FOLDER
(
    folder=$(mktemp -d) || exit
    trap 'rm -rf "$folder"' EXIT
    chmod 755 "$folder" # apt fetches as a user of its own
    cd "$folder" && apt-get download "$1" &&
        apt_install satisfy "$(dpkg-deb -f "$1"_*.deb Depends)" &&
        dpkg-deb -x "$1"_*.deb unpacked && cd "$OLDPWD" && cp -a "$folder/unpacked" "$2/$1"
)

# A broker that is not here already is unpacked into FOLDER and not installed: its package would
# start a service, and leave it running.
fetch_broker() # PACKAGE FOLDER
{
    PATH=$PATH:/usr/sbin command -v "$1" >/dev/null && return
    [ -x "$2/$1/usr/sbin/$1" ] && return
    may_install || die "the broker $1 is missing, and so is the right to install its libraries"
    step apt-update "Reading Debian's package lists" as_root apt-get -q update || true
    step "$1" "Unpacking the broker $1" unpack "$1" "$2"
}

# How each build is made.  Sanitizer builds stop at the first report, and do not turn the warnings
# that instrumentation provokes into errors.
build_options()
{
    local strict=-fno-sanitize-recover=all
    case $1 in
    release) echo --buildtype=release -Db_lto=true -Dtests=false ;;
    guard) echo --buildtype=release -Db_lto=true -Dbenches=true -Dc_args=-gdwarf-4 ;; # what valgrind reads
    debug) echo --buildtype=debug -Dtests=true ;;
    clang) echo --buildtype=debug -Dtests=true -Dbenches=true ;;
    asan) echo --buildtype=debugoptimized -Dtests=true -Dwerror=false -Db_lundef=false \
        -Db_sanitize=address,undefined -Dc_args=$strict ;;
    tsan) echo --buildtype=debugoptimized -Dtests=true -Dwerror=false -Db_lundef=false \
        -Db_sanitize=thread ;;
    fuzz) echo --buildtype=debugoptimized -Dtests=true -Dfuzz=true -Dwerror=false \
        -Db_lundef=false -Db_sanitize=address,undefined \
        -Dc_args=$strict ;;
    *) return 1 ;;
    esac
}

compiler_of()
{
    case $1 in
    clang | fuzz) echo clang-14 ;;
    *) echo "${CC:-gcc}" ;;
    esac
}

# Where and how a build folder was made: when the options above change, or the checkout moves, it is
# made again from scratch.
build_identity() { echo "$PWD: $(build_options "$1")"; }

is_configured() { [ "$(cat "build/$1/identity" 2>/dev/null)" = "$(build_identity "$1")" ]; }

is_up_to_date()
{
    is_configured "$1" && ninja -C "build/$1" -n 2>/dev/null | grep -q '^ninja: no work to do'
}

configure()
{
    local name=$1
    rm -rf "build/${name:?}"
    # shellcheck disable=SC2046 # a list of words
    CC=$(compiler_of "$name") step "setup-$name" "Configuring build/$name" \
        meson setup $(build_options "$name") "build/$name" || return 1
    build_identity "$name" >"build/$name/identity"
}

build_locked()
{
    local name=$1
    is_up_to_date "$name" && return 0
    is_configured "$name" || configure "$name" || return 1
    step "build-$name" "Building build/$name" ninja -C "build/$name"
}

# One at a time, for two terminals may ask for the same.
build()
{
    mkdir -p build
    (
        flock -n 9 || { say "Waiting for another build ..." && flock 9; }
        build_locked "$1" 9>&-
    ) 9>build/.lock
}
