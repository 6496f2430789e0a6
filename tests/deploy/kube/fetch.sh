#!/bin/bash
# Brings what the deploy suites need of Kubernetes and has no package: fetch.sh INTO [PROGRAM...]
#
#   files      of sources.txt, each module held against its sum, into INTO/crds, INTO/stages, INTO/compose
#   PROGRAM    a folder beside this file (kubernetes, kwok, kubeconform, helm-unittest) with go.mod and
#              go.sum; it is built once for each state of the two and kept in the cache, linked from INTO/bin
#
# The three servers of Kubernetes take about 13 minutes of a processor, so the cache lies outside the
# tree: $SLUICE_CACHE, else ~/.cache/sluice. Another state of go.sum is another folder there; a folder
# that is whole has the file .done. Go's own build cache of these is dropped when all is built.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
into=$(realpath -m "$1")
shift
# Of an absolute path: it is used from other folders, and go refuses a GOCACHE that is none.
cache=$(realpath -m "${SLUICE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/sluice}")
need=1.26
export GOTOOLCHAIN=local GOWORK=off CGO_ENABLED=0 GOFLAGS="-buildvcs=false -p=2"

have=$(go env GOVERSION 2>/dev/null || true)
if [ "$(printf '%s\n' "$need" "${have#go}" | sort -V | head -n 1)" != $need ]; then
    echo "fetch.sh: Go $need or newer is needed, there is ${have:-none}" >&2
    exit 1
fi

mkdir -p "$into/bin" "$cache"
exec 9>"$cache/.lock"
flock 9
# What a list of before has brought would be applied, too.
rm -rf "$into/crds" "$into/stages" "$into/compose"
while read -r module sum files folder; do
    case $module in '' | '#'*) continue ;; esac
    mkdir -p "$into/$folder"
    said=$(cd "$cache" && GOFLAGS=-mod=mod nice go mod download -json "$module") ||
        { echo "fetch.sh: $said" >&2; exit 1; } # go says in its answer why
    [[ $said == *"\"Sum\": \"$sum\""* ]] || { echo "fetch.sh: $module is not $sum" >&2; exit 1; }
    from=$(sed -n 's/^\t"Dir": "\(.*\)",$/\1/p' <<<"$said")
    # Braces are expanded by eval: both words come from sources.txt beside us.
    for file in $(eval "echo $files"); do
        install -m 0644 "$from/$file" "$into/$folder/"
    done
done <"$here/sources.txt"

for program; do
    cd "$here/$program"
    key=$(cat go.mod go.sum tools.go | sha256sum | cut -c 1-16)
    kept=$cache/$program-$key
    if [ ! -e "$kept/.done" ]; then
        echo "building $program, once for this go.sum"
        mkdir -p "$kept"
        version=$(sed -n 's|^.*k8s.io/kubernetes \(v[0-9.]*\).*|\1|p' go.mod | head -n 1)
        # shellcheck disable=SC2046  # one package a word
        GOCACHE=$cache/go-build nice -n 15 go build -trimpath \
            -ldflags "-s -w -X k8s.io/component-base/version.gitVersion=${version:-v0.0.0}" \
            -o "$kept/" $(sed -n 's/^[[:space:]]*\(import \)\?_ "\(.*\)"$/\2/p' tools.go)
        touch "$kept/.done"
    fi
    for binary in "$kept"/*; do
        ln -sf "$binary" "$into/bin/"
    done
done
rm -rf "$cache/go-build"
