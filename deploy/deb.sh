#!/bin/sh
# Makes the Debian package from an installed tree, without debhelper: the tree is the package.
#
#   deploy/deb.sh TREE OUTPUT VERSION      TREE as `make install DESTDIR=TREE PREFIX=/usr` leaves it
#
# Two runs over the same sources give the same bytes: times are SOURCE_DATE_EPOCH (the last commit's
# when nobody says), owners are root, and xz is told its level.
set -eu

tree=$1 output=$2 version=$3
here=$(dirname "$0")
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git -C "$here" log -1 --format=%ct 2>/dev/null || echo 0)}
export SOURCE_DATE_EPOCH

strip --strip-unneeded "$tree"/usr/bin/sluice "$tree"/usr/bin/sluice-loadtest
gzip -9n "$tree"/usr/share/man/man1/* "$tree"/usr/share/man/man5/*

# dpkg-shlibdeps wants a source package's folder around it.
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/debian"
printf 'Source: sluice\n\nPackage: sluice\nArchitecture: any\n' >"$work/debian/control"
tree=$(cd "$tree" && pwd)
depends=$(cd "$work" && dpkg-shlibdeps -O "$tree"/usr/bin/sluice "$tree"/usr/bin/sluice-loadtest \
    2>"$work/said" | sed -n 's/^shlibs:Depends=//p') || { cat "$work/said" >&2; exit 1; }

mkdir -p "$tree/DEBIAN"
sed -e "s/@VERSION@/$version/" -e "s/@ARCHITECTURE@/$(dpkg --print-architecture)/" \
    -e "s/@SIZE@/$(du -sk --apparent-size --exclude=DEBIAN "$tree" | cut -f1)/" \
    -e "s/@DEPENDS@/$depends/" "$here/debian/control" >"$tree/DEBIAN/control"
cp "$here/debian/conffiles" "$tree/DEBIAN/"
for script in postinst prerm postrm; do
    install -m 0755 "$here/debian/$script" "$tree/DEBIAN/$script"
done
find "$tree" -newermt "@$SOURCE_DATE_EPOCH" -exec touch -hd "@$SOURCE_DATE_EPOCH" {} +
dpkg-deb --root-owner-group -Zxz -z6 --build "$tree" "$output" >/dev/null
