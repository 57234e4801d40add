#!/bin/sh
# The whole study, one command, under ten minutes on two cores:
#
#   examples/kdf-study/run.sh [FOLDER]
#
# FOLDER (default ./kdf-study) gets plain/ and simd/ with result.json, result.csv
# and report.html each, comparison.txt, policy curves and a challenge set. Run
# it again to go on where it was stopped.
#
# KEPOSS_DATA   folder with pins/rockyou-4-digit-counts.csv; without it the study
#               rests on published points and says so
# STUDY_BUDGET  longest time of the sweep (default 5m)
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
out=${1:-kdf-study}
mkdir -p "$out"
out=$(cd "$out" && pwd)
budget=${STUDY_BUDGET:-5m}

echo "1/6 build" >&2
(cd "$root" && go build -o "$out/keposs" ./cmd/keposs)
simd=
if [ "$(go env GOARCH)" = amd64 ]; then
	(cd "$root" && GOEXPERIMENT=simd go build -o "$out/keposs-simd" ./cmd/keposs) && simd=yes
fi

cd "$here"
set -- --prices prices.json --patterns data/self-reported-patterns.json --total 440
pins="${KEPOSS_DATA:-}/pins/rockyou-4-digit-counts.csv"
if [ -f "$pins" ]; then
	set -- "$@" --pins "$pins"
else
	echo "no real PIN counts: KEPOSS_DATA names no folder with pins/rockyou-4-digit-counts.csv; published points are used" >&2
	pins=
fi

echo "2/6 every KDF at its default cost, plain build" >&2
"$out/keposs" lab kdf "$@" --out "$out/plain" >"$out/plain.txt"
best=$out/keposs
sweep=plain
if [ -n "$simd" ]; then
	best=$out/keposs-simd
	sweep=simd
fi
echo "3/6 the sweep, at most $budget" >&2
"$best" lab kdf --full --budget "$budget" "$@" --out "$out/$sweep" >"$out/$sweep.txt"
"$out/keposs" lab compare "$out/plain/result.json" "$out/$sweep/result.json" >"$out/comparison.txt"

echo "4/6 what people choose" >&2
if [ -n "$pins" ]; then
	"$best" lab ppd pin --data "$pins" >"$out/pin.txt"
else
	"$best" lab ppd pin >"$out/pin.txt"
fi
"$best" lab ppd gesture --data data/self-reported-patterns.json --total 440 >"$out/gesture.txt"

echo "5/6 calibration on this machine" >&2
"$best" kdf calibrate --floor i=1024 --target 250ms >"$out/calibration.txt"

echo "6/6 challenges for outside crackers" >&2
"$best" lab export --out "$out/challenge"
echo "done: open $out/$sweep/report.html" >&2
