#!/bin/sh
# Install wetgate into .venv, make the sample shot, restore it, and show the report.
# May be run again: what is there already is used again.
set -eu
cd "$(dirname "$0")/.."
. install/common.sh

now() { date +%s; }
SECONDS_START=$(now)
OUT=${WETGATE_TRY_DIR:-try-out}
SPACE="Cineon Log - Film Scan"

find_python
check_compiler
say "1/3  installing into .venv ($("$PYTHON" --version))"
make_venv
install_wetgate
T_INSTALL=$(now)

say "2/3  making the sample shot: a film scan with grain, dirt and weave, 24 frames of 10-bit log DPX"
mkdir -p "$OUT"
if [ ! -f "$OUT/.plate-complete" ]; then
    rm -rf "$OUT/plate" "$OUT/.plate-complete"
    .venv/bin/wetgate simulate install/sample/dandelions.jpg --out "$OUT/plate" --preset film-print \
        --input-space "sRGB Encoded Rec.709 (sRGB)" --size 960x540 --frames 1001-1024 --seed 7
    : >"$OUT/.plate-complete"
fi
T_SAMPLE=$(now)

say "3/3  restoring it"
.venv/bin/wetgate restore "$OUT/plate" --out "$OUT/restored" --recipe denoise \
    --input-space "$SPACE" --resume
T_END=$(now)

REPORT="$PWD/$OUT/restored/report.html"
case $OUT in /*) REPORT="$OUT/restored/report.html" ;; esac
[ -f "$REPORT" ] || fail "no report at $REPORT"
say ""
say "install $((T_INSTALL - SECONDS_START)) s, sample $((T_SAMPLE - T_INSTALL)) s, restore $((T_END - T_SAMPLE)) s"
say "report: $REPORT"
if [ "$(uname)" = Darwin ] && [ -z "${CI:-}" ]; then
    open "$REPORT" || true
elif [ -n "${DISPLAY:-}${WAYLAND_DISPLAY:-}" ] && [ -z "${CI:-}" ] && command -v xdg-open >/dev/null 2>&1; then
    xdg-open "$REPORT" >/dev/null 2>&1 || true
fi
