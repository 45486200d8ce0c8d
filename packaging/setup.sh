#!/bin/sh
# Makes a fresh checkout ready: system packages, .venv, the project. Run by make; harmless to run again.
# Usage: packaging/setup.sh PYTHON    (asks nothing, needs no standard input)
set -eu
cd "$(dirname "$0")/.."
python=${1:-python3}
venv=.venv

say() { printf 'setup: %s\n' "$*"; }
fail() { printf 'setup: %s\n' "$*" >&2; exit 1; }

wanted() { sed 's/#.*//' packaging/system-packages.txt | tr -s ' \t' '\n' | sed '/^$/d'; }

suits() { # a Python that is new enough and can make an environment
    "$1" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

missing_packages() {
    for package in $(wanted); do
        case $package in
            # any other Python that suits does as well
            python3 | python3-venv) ! suits "$python" || continue ;;
            # renamed in later releases; the new name provides the old one
            libglib2.0-0) ! installed libglib2.0-0t64 || continue ;;
            git) ! command -v git >/dev/null 2>&1 || continue ;;
        esac
        installed "$package" || printf '%s ' "$package"
    done
}

installed() { [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

install_packages() {
    if ! command -v dpkg-query >/dev/null 2>&1; then
        say "this is no Debian: these packages, or what they are called here, must be there: $(wanted | tr '\n' ' ')"
        return
    fi
    missing=$(missing_packages)
    [ -n "$missing" ] || return 0
    if [ "$(id -u)" = 0 ]; then
        root="env"
    elif command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
        root="sudo -n env"
    elif command -v sudo >/dev/null 2>&1 && [ -t 0 ]; then
        root="sudo env"
    else
        fail "system packages are missing, and there is no right to install them. As root: apt-get install --no-install-recommends $missing"
    fi
    say "installing $missing"
    apt="$root DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=300"
    { $apt update && $apt install -y --no-install-recommends $missing; } </dev/null >build/apt.log 2>&1 ||
        { tail -n 20 build/apt.log >&2; fail "apt-get failed (all of it: build/apt.log)"; }
}

find_python() {
    for candidate in "$python" python3 python3.13 python3.12 python3.11 /usr/bin/python3; do
        if suits "$candidate"; then python=$candidate; return; fi
    done
    fail "no Python 3.11 or newer with venv and ensurepip was found; install python3 and python3-venv, or name one: make PYTHON=/path/to/python"
}

usable_venv() {
    grep -qF " $(pwd -P)/$venv" $venv/pyvenv.cfg 2>/dev/null && suits $venv/bin/python && $venv/bin/python -m pip --version >/dev/null 2>&1
}

make_venv() {
    # scripts in it hold its path: one that was moved here from elsewhere does not work
    if [ -e $venv ] && ! usable_venv; then
        say "making $venv again: it was made elsewhere, or it is not whole"
        rm -rf $venv
    fi
    if [ ! -e $venv ]; then
        say "making $venv with $($python --version)"
        "$python" -m venv $venv || fail "$python cannot make an environment; on Debian: apt-get install python3-venv"
    fi
    say "installing the project into $venv"
    $venv/bin/python -m pip install --quiet --disable-pip-version-check --no-input -e '.[dev]' </dev/null
}

mkdir -p build
install_packages
find_python
make_venv
say "done"
