# Shared by try.sh and test.sh: find Python and a compiler, make .venv, install wetgate into it.
# Sourced, not run; expects to stand in the repository root.

say() { printf '%s\n' "$*"; }
fail() { printf 'wetgate: %s\n' "$*" >&2; exit 1; }

find_python() {
    # WETGATE_PYTHON wins; otherwise the newest supported python3 on PATH.
    for candidate in ${WETGATE_PYTHON:-python3 python3.13 python3.12 python3.11 python3.10}; do
        if command -v "$candidate" >/dev/null 2>&1 &&
            "$candidate" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then
            PYTHON=$candidate
            return 0
        fi
    done
    found=$(python3 --version 2>/dev/null || echo "no python3")
    fail "needs Python 3.10 to 3.13, found $found. Install one (Debian/Ubuntu: apt install python3 python3-venv; macOS: brew install python@3.13), or name it: WETGATE_PYTHON=/path/to/python3 sh $0"
}

check_compiler() {
    for candidate in ${CXX:-c++ g++ clang++}; do
        if command -v "$candidate" >/dev/null 2>&1; then
            return 0
        fi
    done
    fail "needs a C++ compiler, found none. Install one (Debian/Ubuntu: apt install g++; Fedora: dnf install gcc-c++; macOS: xcode-select --install), or name it: CXX=/path/to/c++ sh $0"
}

make_venv() {
    if [ -x .venv/bin/python ] &&
        .venv/bin/python -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null &&
        .venv/bin/python -m pip --version >/dev/null 2>&1; then
        return 0
    fi
    # An environment without pip is what a failed "python3 -m venv" leaves behind.
    if [ -e .venv ] && [ ! -f .venv/pyvenv.cfg ]; then
        fail ".venv exists and is not a virtual environment; move it away"
    fi
    rm -rf .venv
    "$PYTHON" -m venv .venv ||
        fail "$PYTHON cannot make a virtual environment. Debian/Ubuntu: apt install python3-venv"
}

# install_wetgate [EXTRA]: exact versions, built with pinned tools; quick when nothing changed.
install_wetgate() {
    pip_quiet="-q --disable-pip-version-check --no-input"
    # shellcheck disable=SC2086
    .venv/bin/python -m pip install $pip_quiet -c install/constraints.txt \
        "scikit-build-core>=1.1" "pybind11>=3.0" cmake ninja || fail "could not install the build tools"
    # Without isolation the pinned tools build the native module, not the newest ones.
    # shellcheck disable=SC2086
    PATH="$PWD/.venv/bin:$PATH" .venv/bin/python -m pip install $pip_quiet --no-build-isolation \
        -c install/constraints.txt -e ".${1:+[$1]}" || fail "could not install wetgate"
}
