#!/bin/sh
# Regenerates the Go code of the plugin protocol. With -check nothing is
# written and the exit status tells whether the committed code is fresh.
set -eu
cd "$(dirname "$0")/../.."
PATH="$PATH:$(go env GOPATH)/bin"
src=plugins/proto
dst=plugins/internal/wire
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
protoc -I "$src" \
	--go_out="$tmp" --go_opt=module=github.com/keposs/keposs \
	--go-grpc_out="$tmp" --go-grpc_opt=module=github.com/keposs/keposs \
	"$src"/keposs/plugin/v1/*.proto
if [ "${1:-}" = -check ]; then
	for f in "$tmp/$dst"/*.go; do
		cmp "$f" "$dst/$(basename "$f")" || { echo "plugin protocol: run internal/tools/proto.sh and commit" >&2; exit 1; }
	done
	exit 0
fi
cp "$tmp/$dst"/*.go "$dst/"
