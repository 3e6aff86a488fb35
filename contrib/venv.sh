# shellcheck shell=bash
# Sourced by contrib/run and contrib/test: keeps .venv, with a wheel of this tree installed in it.
#
# The wheel is made anew only when something that goes into it has changed, which a stamp in the environment tells.

fail() {
    printf '%s: %s\n' "$0" "$1" >&2
    exit 1
}

# Print a digest of all that the wheel is made from, and of the extras it is installed with.
wheel_stamp() {
    {
        printf 'extras %s\n' "$1"
        find setup.cfg pyproject.toml README.md LICENSE secretd schemas docs/man -type f -not -path '*/__pycache__/*' -print0 |
            LC_ALL=C sort -z | xargs -0 sha256sum
    } | sha256sum
}

# Install the tree into .venv. $1: the extras to install too, as pip takes them ('' or '[test]').
prepare_venv() {
    local extras=$1 stamp
    [[ $(uname -s) == Linux ]] || fail 'secretd needs Linux'
    command -v python3 >/dev/null || fail 'python3 is missing; on Debian: apt-get install python3 python3-venv'
    python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || fail 'Python 3.11 or later is needed'
    if [[ ! -x .venv/bin/pip ]]; then
        python3 -c 'import ensurepip' 2>/dev/null ||
            fail 'the venv module is not complete; on Debian: apt-get install python3-venv'
        python3 -m venv --clear .venv
    fi
    # An environment that has the extras serves without them too.
    stamp=$(wheel_stamp '[test]')
    [[ $(cat .venv/secretd.stamp 2>/dev/null) == "$stamp" ]] && return
    [[ -n $extras ]] || stamp=$(wheel_stamp '')
    [[ $(cat .venv/secretd.stamp 2>/dev/null) == "$stamp" ]] && return
    printf 'Installing secretd into .venv ...\n' >&2
    # What an earlier build left behind would go into the wheel.
    rm -rf build secretd.egg-info
    .venv/bin/python -m pip install --quiet --disable-pip-version-check ".$extras" ||
        fail 'pip could not install what secretd needs, from a package index on the network or from its own cache'
    rm -rf build secretd.egg-info
    printf '%s\n' "$stamp" >.venv/secretd.stamp
}
