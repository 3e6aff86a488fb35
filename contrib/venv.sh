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

# Print the interpreter to make the environment with: the system's own, if it can. It is optimised, which a version
# manager's often is not and which makes a read half as long, and it gets the system's security updates.
choose_python() {
    local python
    for python in /usr/bin/python3 python3; do
        if "$python" -c 'import sys, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            printf '%s\n' "$python"
            return
        fi
    done
    fail 'Python 3.11 or later is needed, with its venv module; on Debian: apt-get install python3 python3-venv'
}

# Install the tree into .venv. $1: the extras to install too, as pip takes them ('' or '[test]').
prepare_venv() {
    local extras=$1 stamp python
    [[ $(uname -s) == Linux ]] || fail 'secretd needs Linux'
    if [[ ! -x .venv/bin/pip ]]; then
        python=$(choose_python)
        "$python" -m venv --clear .venv
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
