#!/bin/sh
# Install wetgate with its test extra into .venv and run the whole suite. Arguments go to pytest.
# WETGATE_TEST_EXTRAS names other extras, e.g. test,torch,openvino,report: tests of what is not
# installed skip with a reason.
set -eu
cd "$(dirname "$0")/.."
. install/common.sh

find_python
check_compiler
make_venv
install_wetgate "${WETGATE_TEST_EXTRAS:-test}"
exec .venv/bin/python -m pytest "$@"
