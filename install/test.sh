#!/bin/sh
# Install wetgate with its test extra into .venv and run the whole suite. Arguments go to pytest.
set -eu
cd "$(dirname "$0")/.."
. install/common.sh

find_python
check_compiler
make_venv
install_wetgate test
exec .venv/bin/python -m pytest "$@"
