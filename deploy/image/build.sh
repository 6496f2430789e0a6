#!/bin/sh
# Makes the OCI image without a daemon, from the Debian package and the libraries that it names.
#
#   deploy/image/build.sh DEB OUTPUT        OUTPUT is an oci-archive, for `skopeo copy` or `podman load`
#
# Needs mmdebstrap and buildah. Two runs over the same package, with the same packages on the mirror,
# give the same digest: times are SOURCE_DATE_EPOCH, the last commit's when nobody says.
set -eu

deb=$(realpath "$1") output=$(realpath -m "$2")
here=$(realpath "$(dirname "$0")")
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git -C "$here" log -1 --format=%ct 2>/dev/null || echo 0)}
export SOURCE_DATE_EPOCH
version=$(dpkg-deb -f "$deb" Version)
# adduser is for the package's scripts, which do not run here.
libraries=$(dpkg-deb -f "$deb" Depends | tr -d ' ' | tr ',' '\n' | sed 's/[(|].*//' | grep -vx adduser |
    paste -sd,)

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/root"
mmdebstrap --quiet --variant=extract --include="$libraries,ca-certificates" bookworm "$work/base.tar"
tar -C "$work/root" -xf "$work/base.tar" --exclude='./dev/*'
dpkg-deb -x "$deb" "$work/root"

cd "$work/root"
# Nobody reads them here, and those that name times or the mirror differ from build to build.
rm -rf usr/share/doc usr/share/man usr/share/locale usr/share/bash-completion usr/share/zsh usr/share/fish \
    usr/lib/systemd usr/lib/sysusers.d usr/lib/tmpfiles.d var/cache var/log var/lib/dpkg var/lib/apt etc/apt \
    etc/sluice
# The maintainer scripts did not run: what they would have made and we need.
mkdir -p etc/ssl/certs tmp var/lib/sluice
find usr/share/ca-certificates -name '*.crt' | LC_ALL=C sort | xargs cat >etc/ssl/certs/ca-certificates.crt
printf 'root:x:0:0::/:/sbin/nologin\nsluice:x:65532:0::/var/lib/sluice:/sbin/nologin\n' >etc/passwd
printf 'root:x:0:\n' >etc/group
chmod 1777 tmp
chmod 0770 var/lib/sluice
cd "$work"
tar --sort=name --mtime="@$SOURCE_DATE_EPOCH" --clamp-mtime --owner=0 --group=0 --numeric-owner \
    -C root -cf root.tar .
cp "$here/Containerfile" .

buildah --storage-driver vfs --root "$work/store" --runroot "$work/run" bud --quiet --isolation chroot \
    --timestamp "$SOURCE_DATE_EPOCH" --label org.opencontainers.image.title=sluice \
    --label org.opencontainers.image.version="$version" \
    --label org.opencontainers.image.licenses=Apache-2.0 -t "sluice:$version" -f Containerfile . >/dev/null
rm -f "$output"
buildah --storage-driver vfs --root "$work/store" --runroot "$work/run" push --quiet \
    "sluice:$version" "oci-archive:$output:sluice:$version"
